"""A unit's outcomes as objects of the lake: tars sorted by key, then the parts that say where each utterance lies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from lake import layout
from lake.parts import write_part
from lake.tar import TarWriter
from pipelines.prepare import Outcome, Piece
from pipelines.rows import Row, RunNames
from schemas.instants import to_text
from schemas.records import StoredObject
from schemas.tables import PLACE_FIELDS, RECORDINGS_SCHEMA, utterances_schema

_PLACE = tuple(field.name for field in PLACE_FIELDS)


@dataclass(frozen=True, slots=True)
class Finished:
    """An object that lies finished on the worker's own disk, and what the commit will say of it."""

    local_path: Path
    stored: StoredObject


def write_objects(
    outcomes: Sequence[Outcome],
    scratch: BinaryIO,
    names: RunNames,
    folder: Path,
    *,
    codec: str,
    shard_max_bytes: int,
    declared_columns: dict[str, str],
) -> list[Finished]:
    """Writes tars and parts below `folder`; the same outcomes give the same bytes, in any order of arrival."""
    folder.mkdir(parents=True, exist_ok=True)
    # With its dot, as members are named: what is derived of an utterance comes before it.
    pieces = sorted((p for outcome in outcomes for p in outcome.pieces), key=lambda piece: f"{piece.row['key']}.")
    _check_unique(pieces)
    finished: list[Finished] = []
    rows: list[Row] = []
    for number, group in enumerate(_tars(pieces, shard_max_bytes)):
        tar, placed = _write_tar(group, scratch, names, folder / f"{number:05d}.tar", codec)
        finished.append(tar)
        rows += placed
    if rows:
        rows.sort(key=lambda row: str(row["key"]))
        path = folder / "utterances.parquet"
        size, sha256 = write_part(path, rows, utterances_schema(declared_columns))
        where = layout.utterances_path(names.run_id, names.unit_id, sha256)
        finished.append(Finished(path, _stored("utterances", where, size, sha256, len(rows))))
    recordings = sorted((outcome.row for outcome in outcomes), key=lambda row: str(row["recording_id"]))
    path = folder / "recordings.parquet"
    size, sha256 = write_part(path, recordings, RECORDINGS_SCHEMA)
    where = layout.recordings_path(names.run_id, names.unit_id, sha256)
    finished.append(Finished(path, _stored("recordings", where, size, sha256, len(recordings))))
    return finished


def _stored(kind: str, path: str, size: int, sha256: str, rows: int) -> StoredObject:
    return StoredObject(kind=kind, path=path, size_bytes=size, sha256=sha256, rows=rows)


def _check_unique(pieces: Sequence[Piece]) -> None:
    for one, other in pairwise(pieces):
        if one.row["key"] == other.row["key"]:
            raise RuntimeError(f"two utterances are called {one.row['key']}")


def _tars(pieces: Sequence[Piece], max_bytes: int) -> Iterator[list[Piece]]:
    """Consecutive pieces, as many to a tar as its limit allows (headers and JSON taken as 4 KiB each)."""
    group: list[Piece] = []
    size = 0
    for piece in pieces:
        need = piece.size + 4096
        if group and size + need > max_bytes:
            yield group
            group, size = [], 0
        group.append(piece)
        size += need
    if group:
        yield group


def _write_tar(
    pieces: Sequence[Piece], scratch: BinaryIO, names: RunNames, path: Path, codec: str
) -> tuple[Finished, list[Row]]:
    placed: list[Row] = []
    with TarWriter(path) as writer:
        for piece in pieces:
            placed.append({**piece.row, **_add(writer, piece, scratch, codec)})
        size, sha256 = writer.close()
    where = layout.shard_path(names.run_id, names.unit_id, sha256)
    for row in placed:
        row["shard"] = where
    return Finished(path, _stored("shard", where, size, sha256, len(placed))), placed


def _add(writer: TarWriter, piece: Piece, scratch: BinaryIO, codec: str) -> Row:
    """Adds an utterance's members, by name as tars are sorted; returns where each lies."""
    key, text = piece.row["key"], piece.row["text"]
    scratch.seek(piece.offset)
    members = {codec: ("audio", scratch.read(piece.size)), "json": ("json", as_json(piece.row))}
    if text is not None:
        members["txt"] = "text", text.encode()
    place: Row = {}
    for suffix, (name, data) in sorted(members.items()):
        place |= {f"{name}_offset": writer.add(f"{key}.{suffix}", data), f"{name}_size": len(data)}
    return place


def as_json(row: Row) -> bytes:
    """`{key}.json`: the row but for its place, one line; maps are objects, instants RFC 3339."""
    lineage = {**row["lineage"], "models": dict(row["lineage"]["models"])}
    shown = {**row, "extra": dict(row["extra"]), "lineage": lineage}
    return json.dumps(shown, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_instant).encode()


def _instant(value: object) -> str:
    if isinstance(value, datetime):
        return to_text(value)
    raise TypeError(f"a row holds a {type(value).__name__}, which JSON has no word for")
