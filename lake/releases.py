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
from schemas.errors import AlreadyExists, ConfigError, ConsentError, LakeError
from schemas.model import nearest, parse
from schemas.records import StoredObject
from schemas.releases import ReleaseRecord, Replaced

if TYPE_CHECKING:
    import pyarrow as pa

_RECORD = re.compile(r"releases/(?P<name>[^/]+)/(?P<version>[1-9]\d*)/release\.json")
_REPLACED = re.compile(r"releases/(?P<name>[^/]+)/(?P<version>[1-9]\d*)/replaced\.json")


def list_releases(lake: Lake) -> list[ReleaseRecord]:
    """Every release, by name and version; of those that were replaced, `index` is empty, for it is removed."""
    listed = list(lake.root.list("releases"))
    records = [
        (match["name"], int(match["version"]), info) for info in listed if (match := _RECORD.fullmatch(info.path))
    ]
    gone = {(match["name"], int(match["version"])) for info in listed if (match := _REPLACED.fullmatch(info.path))}
    found = sorted(records, key=lambda one: (one[0], one[1]))
    infos = [info for _, _, info in found]
    texts = read_each(lake.root, infos)
    releases = [_parsed(lake, info.path, text) for info, text in zip(infos, texts, strict=True)]
    return [_as_replaced(lake, one) if (one.name, one.version) in gone else one for one in releases]


def newest_version(lake: Lake, name: str) -> int:
    """The highest version of `name`, after which the next one is numbered; 0 where there is none."""
    return max((version for known, version, _ in _records(lake, name) if known == name), default=0)


def current_version(lake: Lake, name: str) -> int:
    """The version that is opened by name alone; 0 where there is none.

    That is the newest choice. A version that an erasure made stands where the one stood that it replaces, so it is the
    current one only if that was.
    """
    newest = newest_version(lake, name)
    best, place = newest, _place(lake, name, newest)
    # What was chosen after the choice that the newest version stands for has a number between the two.
    for version in range(newest - 1, place, -1):
        record = _read(lake, name, version)
        if record is not None and record.replaced is None and (stands := _place(lake, name, version)) > place:
            best, place = version, stands
    return best


def _place(lake: Lake, name: str, version: int) -> int:
    """The version of which this one is what erasures have left; itself, if it replaces none."""
    record = _read(lake, name, version) if version else None
    while record is not None and record.replaces is not None:
        version = record.replaces.version
        record = _read(lake, name, version)
    return version


def _read(lake: Lake, name: str, version: int) -> ReleaseRecord | None:
    path = layout.release_path(name, version)
    try:
        return _as_replaced(lake, _parsed(lake, path, lake.root.read(path)))
    except Missing:
        return None


def read_release(lake: Lake, name: str, version: int | None = None) -> ReleaseRecord:
    """The release, the current version unless told. Raises ConfigError where there is none, LakeError where it is not
    what was once written."""
    wanted = version if version is not None else current_version(lake, name)
    path = layout.release_path(name, wanted)
    try:
        if wanted < 1 or not _RECORD.fullmatch(path):
            raise Missing(path)
        text = lake.root.read(path)
    except Missing:
        raise ConfigError(_unknown(lake, name, version)) from None
    return _as_replaced(lake, _parsed(lake, path, text))


def check_not_replaced(record: ReleaseRecord) -> None:
    """Raises ConsentError, with the version that stands in for it, where something was erased from the release."""
    if record.replaced is None:
        return
    named = f"release {record.name}@{record.version}"
    if record.replaced.by is None:
        raise ConsentError(f"{named} is gone: everything in it was erased")
    raise ConsentError(
        f"{named} was replaced, for something in it was erased: open {record.name}@{record.replaced.by} in its place"
    )


def replace_release(lake: Lake, record: ReleaseRecord, said: Replaced) -> Replaced:
    """Marks a version as replaced, and returns the mark that holds: this one, or one that was there."""
    path = layout.replaced_path(record.name, record.version)
    try:
        lake.root.create(path, said.model_dump_json(indent=1).encode())
    except AlreadyExists:
        return _replaced(lake, path, lake.root.read(path))
    return said


def _as_replaced(lake: Lake, record: ReleaseRecord) -> ReleaseRecord:
    path = layout.replaced_path(record.name, record.version)
    try:
        said = _replaced(lake, path, lake.root.read(path))
    except Missing:
        return record
    return record.model_copy(update={"replaced": said, "index": ()})


def _replaced(lake: Lake, path: str, text: bytes) -> Replaced:
    where = lake.root.uri_of(path)
    try:
        return parse(Replaced, json.loads(text), where)
    except (ValueError, ConfigError) as error:
        raise LakeError(f"{where} does not say what replaced its release: {error}") from None


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
