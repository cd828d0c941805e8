"""A unit without some people: its rows and tars written anew, every other row and member as it was but for its place.

A tar from which nothing goes is not touched: the new commit names it as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from lake import layout
from lake.lake import Lake
from lake.parts import read_part, write_table
from lake.tar import TarWriter
from pipelines.shards import Finished
from schemas.errors import LakeError
from schemas.records import Commit, Counts, StoredObject
from schemas.tables import PLACE_FIELDS, RECORDING_FIELDS, UTTERANCE_FIELDS

_PLACE = tuple(field.name for field in PLACE_FIELDS)
_MEMBERS = (("audio", None), ("json", "json"), ("text", "txt"))
"""Columns of a place, and the suffix of the member's name; that of the audio is its codec."""
_HEADER, _NAME = 512, 100
_CHUNK = 1 << 22
_ROW_GROUP_ROWS = 65_536
_PARTS = ("utterances", "recordings")

Row = dict[str, Any]
_KNOWN = {field.name: field for field in (*UTTERANCE_FIELDS, *RECORDING_FIELDS)}


@dataclass(frozen=True)
class Left:
    """What is left of a unit: finished files, what they are called, and the account."""

    made: tuple[Finished, ...]
    objects: tuple[StoredObject, ...]
    """Those, and the tars that stay as they are."""
    counts: Counts


@dataclass(frozen=True)
class Going:
    """Whose, and which recordings: true where all that was cut from a recording goes, false where it depends on whom
    the cut names."""

    subjects: frozenset[str]
    recordings: Mapping[str, bool]


def rewritten(lake: Lake, commit: Commit, going: Going, folder: Path) -> Left | None:
    """The unit without what goes, written below `folder`; None where nothing of it is in the unit."""
    spoken, recordings = _part(lake, commit, "utterances"), _part(lake, commit, "recordings")
    goes = _goes(spoken, going) if spoken is not None else pa.array([], pa.bool_())
    if recordings is None:
        raise LakeError(f"unit {commit.unit_id} of run {commit.run_id} has rows of utterances and none of recordings")
    left = spoken.filter(pc.invert(goes)) if spoken is not None else None
    kept_of = _by_recording(left)
    rows, gone, redacted = _recordings(recordings, going, kept_of)
    if not gone and not redacted and not pc.any(goes, min_count=0).as_py():
        return None
    folder.mkdir(parents=True)
    finished, same = _tars(lake, commit, spoken, goes, folder)
    made: list[Finished] = list(finished)
    if left is not None and left.num_rows:
        placed = _replaced(left, finished)
        made.append(_stored(commit, "utterances", placed, folder))
    if rows.num_rows:
        made.append(_stored(commit, "recordings", rows, folder))
    objects = _in_order([*(one.stored for one in made), *same])
    return Left(tuple(made), objects, _counts(commit.counts, gone, redacted, left))


def _part(lake: Lake, commit: Commit, kind: str) -> pa.Table | None:
    parts = [read_part(lake.root, stored.path) for stored in commit.objects if stored.kind == kind]
    if not parts:
        return None
    return pa.concat_tables(parts).combine_chunks() if len(parts) > 1 else parts[0].combine_chunks()


def _goes(spoken: pa.Table, going: Going) -> pa.Array:
    """Of each utterance whether it goes."""
    ids = spoken["recording_id"].to_pylist()
    links = spoken["consent"].to_pylist()
    return pa.array(
        [
            name in going.recordings
            and (going.recordings[name] or any(link["subject_id"] in going.subjects for link in linked or ()))
            for name, linked in zip(ids, links, strict=True)
        ],
        pa.bool_(),
    )


def _by_recording(left: pa.Table | None) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    if left is not None:
        names = ["recording_id", "channel", "start_sample", "end_sample", "speaker", "duration_s"]
        for row in left.select(names).to_pylist():
            found.setdefault(row["recording_id"], []).append(row)
    return found


def _recordings(
    rows: pa.Table, going: Going, kept_of: Mapping[str, Sequence[Row]]
) -> tuple[pa.Table, list[Row], list[tuple[Row, Row]]]:
    """The rows that are left, those that go, and (before, after) of those that only lose somebody."""
    touched = pc.is_in(rows["recording_id"], pa.array(sorted(going.recordings), pa.string())).combine_chunks()
    gone: list[Row] = []
    redacted: list[tuple[Row, Row]] = []
    for row in rows.filter(touched).to_pylist():
        kept = kept_of.get(row["recording_id"], ())
        if row["status"] == "emitted" and kept:
            after = _without(row, going.subjects, kept)
            if after != row:
                redacted.append((row, after))
        else:
            gone.append(row)
    out = [row["recording_id"] for row in gone] + [row["recording_id"] for row, _ in redacted]
    left = rows.filter(pc.invert(pc.is_in(rows["recording_id"], pa.array(out, pa.string()))))
    if redacted:
        said = [_storable(after, rows.schema) for _, after in redacted]
        left = pa.concat_tables([left, pa.Table.from_pylist(said, schema=rows.schema)])
        left = left.take(pc.sort_indices(left["recording_id"]))
    return left.combine_chunks(), gone, redacted


def _without(row: Row, subjects: frozenset[str], kept: Sequence[Row]) -> Row:
    """The row of a recording in which others are heard, too, without when and how those spoke who go."""
    names = [link["subject_id"] for link in row["consent"] or ()]
    if not subjects & set(names):
        return row
    spans = [(one["channel"], one["start_sample"], one["end_sample"], one["speaker"]) for one in kept]
    regions = _clipped(row["regions"], [span[:3] for span in spans])
    turns = [
        piece
        for turn in row["turns"] or ()
        for piece in _clipped([turn], [span[:3] for span in spans if span[3] == turn["speaker"]])
    ]
    rate = row["sample_rate_hz"] or 1
    return {
        **row,
        "consent": [link for link in row["consent"] if link["subject_id"] not in subjects],
        "regions": regions,
        "turns": turns,
        "voices": None,
        "notes": [],
        "speech_s": round(sum(one["end_sample"] - one["start_sample"] for one in regions) / rate, 6),
        "utterances": len(kept),
        "utterance_s": round(sum(one["duration_s"] for one in kept), 6),
    }


def _clipped(pieces: Sequence[Row] | None, spans: Sequence[tuple[int, int, int]]) -> list[Row]:
    """What of the pieces lies within spans of (channel, start, end)."""
    found = [
        {**piece, "start_sample": max(piece["start_sample"], start), "end_sample": min(piece["end_sample"], end)}
        for piece in pieces or ()
        for channel, start, end in sorted(set(spans))
        if channel == piece["channel"] and piece["start_sample"] < end and start < piece["end_sample"]
    ]
    return sorted(found, key=lambda one: (one["channel"], one["start_sample"], one["end_sample"]))


def _storable(row: Row, schema: pa.Schema) -> Row:
    return {field.name: row.get(field.name) for field in schema}


# --- tars -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Made(Finished):
    """A new tar, and where its utterances lie in it."""

    old: str = ""
    places: Mapping[str, Row] | None = None


def _tars(
    lake: Lake, commit: Commit, spoken: pa.Table | None, goes: pa.Array, folder: Path
) -> tuple[list[_Made], list[StoredObject]]:
    """Tars that were written anew, and those that stay; of some nothing is left."""
    made: list[_Made] = []
    same: list[StoredObject] = []
    shards = [stored for stored in commit.objects if stored.kind == "shard"]
    if spoken is None:
        return made, shards
    names = spoken.select(["key", "audio_sha256", *_PLACE]).append_column("goes", goes)
    for number, stored in enumerate(shards):
        rows = names.filter(pc.equal(names["shard"], stored.path))
        left = rows.filter(pc.invert(rows["goes"]))
        if left.num_rows == rows.num_rows:
            same.append(stored)
        elif left.num_rows:
            made.append(_copied(lake, commit, stored, left.to_pylist(), folder / f"{number:05d}"))
    return made, same


def _copied(lake: Lake, commit: Commit, stored: StoredObject, rows: Sequence[Row], base: Path) -> _Made:
    """A tar of these utterances alone, byte for byte from the old one, which must be what was committed."""
    old, new = base.with_suffix(".old"), base.with_suffix(".tar")
    if _downloaded(lake, stored.path, old) != stored.sha256:
        raise LakeError(f"{lake.root.uri_of(stored.path)} is not, to the byte, what was committed; nothing was changed")
    places: dict[str, Row] = {}
    with old.open("rb") as file, TarWriter(new) as writer:
        for row in sorted(rows, key=lambda one: f"{one['key']}."):
            places[row["key"]] = _copy(writer, file, row, lake.root.uri_of(stored.path))
        size, sha256 = writer.close()
    old.unlink()
    where = layout.shard_path(commit.run_id, commit.unit_id, sha256)
    for place in places.values():
        place["shard"] = where
    named = StoredObject(kind="shard", path=where, size_bytes=size, sha256=sha256, rows=len(rows))
    return _Made(new, named, stored.path, places)


def _copy(writer: TarWriter, file: BinaryIO, row: Row, where: str) -> Row:
    """Copies an utterance's members, and returns where each lies now. Raises LakeError where one is not what its row
    says."""
    members: dict[str, tuple[str, bytes]] = {}
    for column, suffix in _MEMBERS:
        offset, size = row[f"{column}_offset"], row[f"{column}_size"]
        if offset is None:
            continue
        file.seek(offset - _HEADER)
        header = file.read(_HEADER)
        name = header[:_NAME].rstrip(b"\0").decode("utf-8", "replace")
        key, _, ending = name.partition(".")
        data = file.read(size)
        if key != row["key"] or suffix not in (None, ending) or len(data) != size:
            raise LakeError(f"{where} does not hold {row['key']} where its row says; nothing was changed")
        members[name] = column, data
    place: Row = {}
    for name, (column, data) in sorted(members.items()):
        place |= {f"{column}_offset": writer.add(name, data), f"{column}_size": len(data)}
    return place


def _downloaded(lake: Lake, path: str, to: Path) -> str:
    digest = hashlib.sha256()
    with lake.root.open(path) as source, to.open("xb") as file:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def _replaced(left: pa.Table, made: Sequence[_Made]) -> pa.Table:
    """The rows with their new places; those of tars that stay keep theirs."""
    moved = {one.old: one.places for one in made}
    places = left.select(["key", *_PLACE]).to_pylist()
    now = [(moved[row["shard"]] or {})[row["key"]] if row["shard"] in moved else row for row in places]
    for name in _PLACE:
        at = left.schema.get_field_index(name)
        column = pa.array([row.get(name) for row in now], left.schema.field(at).type)
        left = left.set_column(at, left.schema.field(at), column)
    return left


def _stored(commit: Commit, kind: str, table: pa.Table, folder: Path) -> Finished:
    path = folder / f"{kind}.parquet"
    size, sha256 = write_table(path, _as_written(table).combine_chunks(), _ROW_GROUP_ROWS)
    name = layout.utterances_path if kind == "utterances" else layout.recordings_path
    where = name(commit.run_id, commit.unit_id, sha256)
    return Finished(path, StoredObject(kind=kind, path=where, size_bytes=size, sha256=sha256, rows=table.num_rows))


def _as_written(table: pa.Table) -> pa.Table:
    """With the names of inner fields that a worker gives them; Parquet gives them back under its own."""
    fields = []
    for field in table.schema:
        known = _KNOWN.get(field.name)
        fields.append(field.with_type(known.type) if known is not None and known.type == field.type else field)
    return table.cast(pa.schema(fields, metadata=table.schema.metadata))


def _in_order(objects: Sequence[StoredObject]) -> tuple[StoredObject, ...]:
    """Tars first, then parts, as a worker commits them."""
    kinds = ("shard", *_PARTS)
    return tuple(sorted(objects, key=lambda one: (kinds.index(one.kind), one.path)))


# --- the account ------------------------------------------------------------------------------------------------------


def _counts(before: Counts, gone: Sequence[Row], redacted: Sequence[tuple[Row, Row]], left: pa.Table | None) -> Counts:
    """The account: what goes counts as erased, whatever became of it before."""
    rejected, held, cuts = dict(before.rejected), dict(before.held), dict(before.utterances_rejected)
    emitted = before.emitted
    for row in gone:
        if row["status"] == "emitted":
            emitted -= 1
        else:
            _less(rejected if row["status"] == "rejected" else held, row["reason"], 1)
        for entry in row["utterances_rejected"] or ():
            _less(cuts, entry["reason"], entry["count"])
    speech_s = sum(row["speech_s"] or 0.0 for row in gone)
    speech_s += sum((row["speech_s"] or 0.0) - (after["speech_s"] or 0.0) for row, after in redacted)
    counts = before.model_copy(
        update={
            "emitted": emitted,
            "rejected": rejected,
            "held": held,
            "erased": before.erased + len(gone),
            "utterances": left.num_rows if left is not None else 0,
            "utterances_rejected": cuts,
            "source_bytes": before.source_bytes - sum(row["source_size_bytes"] or 0 for row in gone),
            "source_s": _at_least_0(before.source_s - sum(row["duration_s"] or 0.0 for row in gone)),
            "speech_s": _at_least_0(before.speech_s - speech_s),
            "utterance_s": _at_least_0(sum(left["duration_s"].to_pylist()) if left is not None else 0.0),
        }
    )
    if not counts.is_conserved:
        raise LakeError(f"an erasure lost count of the sources of a unit: {before!r} became {counts!r}")
    return counts


def _less(counts: dict[str, int], reason: str, by: int) -> None:
    counts[reason] = counts.get(reason, 0) - by
    if not counts[reason]:
        del counts[reason]


def _at_least_0(value: float) -> float:
    return round(max(0.0, value), 6)
