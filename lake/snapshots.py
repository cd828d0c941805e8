"""Snapshots as stored: numbered heads, of which the newest is read, and whatever each of them names."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

from lake import layout
from lake.lake import Lake
from lake.storage import ObjectInfo
from schemas.errors import AlreadyExists, ConfigError, LakeError
from schemas.model import parse
from schemas.records import FORMAT_VERSION
from schemas.snapshots import SnapshotHead

_FILE = re.compile(r"snapshots/(?P<number>\d{8,})/(?P<name>[^/]+)")
_HEAD = "snapshot.json"
_TAKES_A_NUMBER = (_HEAD, ".manifest")


def newest_snapshot(lake: Lake) -> SnapshotHead | None:
    """The snapshot of the highest number that has a head; None where there is none yet."""
    numbers = [number for number, name, _ in _files(lake) if name == _HEAD]
    return read_snapshot(lake, max(numbers)) if numbers else None


def read_snapshot(lake: Lake, number: int) -> SnapshotHead:
    """The head of one snapshot. Raises Missing, LakeError where it is none, ConfigError where it is of a later
    version."""
    path = layout.snapshot_head_path(number)
    where, text = lake.root.uri_of(path), lake.root.read(path)
    try:
        value = json.loads(text)
    except ValueError as error:
        raise LakeError(f"{where} is not a snapshot: {error}") from None
    version = value.get("format_version") if isinstance(value, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise ConfigError(f"{where} has format {version}; this provoice reads up to {FORMAT_VERSION}")
    try:
        return parse(SnapshotHead, value, where)
    except ConfigError as error:
        raise LakeError(f"{where} is not a snapshot: {error}") from None


def next_number(lake: Lake) -> int:
    """The number after the newest, to be asked for before the first commit is read: who reads later gets a higher one.

    A manifest takes its number as well: it is named by the number and not by its content, so whoever died between it
    and the head would be in the way of every later snapshot.
    """
    return 1 + max((number for number, name, _ in _files(lake) if name.endswith(_TAKES_A_NUMBER)), default=0)


def put_file(lake: Lake, number: int, kind: str, path: Path) -> tuple[str, int, str]:
    """Stores a finished Parquet file under its digest, and gives it up; its path within the lake, size and SHA-256."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    size, where = path.stat().st_size, layout.snapshot_file_path(number, kind, sha256)
    lake.root.put(where, path, sha256)
    return where, size, sha256


def create_snapshot(lake: Lake, head: SnapshotHead) -> None:
    """Writes the manifests, then the head, each exclusively. Raises AlreadyExists where another has the number."""
    for kind in sorted({file.kind for file in head.files}):
        uris = "".join(f"{lake.root.uri_of(file.path)}\n" for file in head.merged(kind))
        _create(lake, layout.snapshot_manifest_path(head.number, kind), uris.encode())
    _create(lake, layout.snapshot_head_path(head.number), head.model_dump_json(indent=1).encode())


def _create(lake: Lake, path: str, text: bytes) -> None:
    try:
        lake.root.create(path, text)
    except AlreadyExists:
        # The same bytes are as good as our own: the store had created them, and the answer was lost.
        if lake.root.read(path) != text:
            raise


def _files(lake: Lake) -> Iterator[tuple[int, str, ObjectInfo]]:
    for info in lake.root.list("snapshots"):
        if name := _FILE.fullmatch(info.path):
            yield int(name["number"]), name["name"], info
