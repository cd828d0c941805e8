"""Releases as stored: index parts first, then `release.json`, created exclusively; without it there is no release."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lake import layout
from lake.lake import Lake
from lake.parts import read_part
from lake.reading import read_each
from lake.storage import Missing, ObjectInfo
from schemas.errors import AlreadyExists, ConfigError, LakeError
from schemas.model import nearest, parse
from schemas.records import StoredObject
from schemas.releases import ReleaseRecord

if TYPE_CHECKING:
    import pyarrow as pa

_RECORD = re.compile(r"releases/(?P<name>[^/]+)/(?P<version>[1-9]\d*)/release\.json")


def list_releases(lake: Lake) -> list[ReleaseRecord]:
    """Every release, by name and version."""
    found = sorted(_records(lake), key=lambda one: (one[0], one[1]))
    infos = [info for _, _, info in found]
    texts = read_each(lake.root, infos)
    return [_parsed(lake, info.path, text) for info, text in zip(infos, texts, strict=True)]


def newest_version(lake: Lake, name: str) -> int:
    """The highest version of `name`; 0 where there is none."""
    return max((version for known, version, _ in _records(lake, name) if known == name), default=0)


def read_release(lake: Lake, name: str, version: int | None = None) -> ReleaseRecord:
    """The release, the newest version unless told. Raises ConfigError where there is none, LakeError where it is not
    what was once written."""
    wanted = version if version is not None else newest_version(lake, name)
    path = layout.release_path(name, wanted)
    try:
        if wanted < 1 or not _RECORD.fullmatch(path):
            raise Missing(path)
        text = lake.root.read(path)
    except Missing:
        raise ConfigError(_unknown(lake, name, version)) from None
    return _parsed(lake, path, text)


def create_release(lake: Lake, record: ReleaseRecord) -> ReleaseRecord:
    """Creates the sealed record under its version. Raises AlreadyExists when another has taken that version."""
    path, text = layout.release_path(record.name, record.version), record.model_dump_json(indent=1).encode()
    try:
        lake.root.create(path, text)
    except AlreadyExists:
        # The same bytes are our own: the store had created them, and the answer was lost.
        if lake.root.read(path) != text:
            raise
    return record


def put_index_part(lake: Lake, name: str, version: int, number: int, made: tuple[Path, int, str, int]) -> StoredObject:
    """Stores a finished part of the index (file, bytes, SHA-256, rows) and gives up the local file."""
    local, size, sha256, rows = made
    path = layout.release_index_path(name, version, number, sha256)
    lake.root.put(path, local, sha256)
    return StoredObject(kind="release_index", path=path, size_bytes=size, sha256=sha256, rows=rows)


def index_table(lake: Lake, record: ReleaseRecord, columns: Sequence[str] | None = None) -> pa.Table:
    """All rows of a release's index, or some of its columns, in order."""
    import pyarrow as pa

    from schemas.consent_tables import RELEASE_INDEX_SCHEMA

    names = list(columns) if columns is not None else RELEASE_INDEX_SCHEMA.names
    schema = pa.schema([RELEASE_INDEX_SCHEMA.field(name) for name in names])
    parts = [read_part(lake.root, stored.path, names).select(names).cast(schema) for stored in record.index]
    return pa.concat_tables([schema.empty_table(), *parts])


def changed_parts(lake: Lake, record: ReleaseRecord) -> list[str]:
    """Paths of index parts that are not, to the byte, what the record names. Reads them all."""

    def is_whole(stored: StoredObject) -> bool:
        return lake.root.size(stored.path) == stored.size_bytes and lake.root.sha256(stored.path) == stored.sha256

    return [stored.path for stored in record.index if not is_whole(stored)]


def _records(lake: Lake, name: str | None = None) -> list[tuple[str, int, ObjectInfo]]:
    folder = "releases" if name is None else f"releases/{name}"
    found = ((info, _RECORD.fullmatch(info.path)) for info in lake.root.list(folder))
    return [(match["name"], int(match["version"]), info) for info, match in found if match]


def _unknown(lake: Lake, name: str, version: int | None) -> str:
    known: dict[str, list[int]] = {}
    for one, number, _ in _records(lake):
        known.setdefault(one, []).append(number)
    if name in known and version is not None:
        versions = ", ".join(map(str, sorted(known[name])))
        return f"{lake.root.uri}: release {name} has no version {version}; its versions: {versions}"
    said = (
        f"; releases: {', '.join(sorted(known))}" if known else "; it has none yet: `provoice release create` makes one"
    )
    return f"{lake.root.uri} has no release {name}{nearest(name, known)}{said}"


def _parsed(lake: Lake, path: str, text: bytes) -> ReleaseRecord:
    where = lake.root.uri_of(path)
    try:
        record = parse(ReleaseRecord, json.loads(text), where)
    except (ValueError, ConfigError) as error:
        raise LakeError(f"{where} is not a release: {error}") from None
    if record.digest() != record.sha256 or layout.release_path(record.name, record.version) != path:
        raise LakeError(f"{where} is not what was once written: its digest is another")
    return record
