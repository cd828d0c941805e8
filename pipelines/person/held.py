"""The rows in which one person is heard, without reading everybody's: a snapshot's files are sorted by person, so of
most row groups the least and greatest name tell that they hold nobody of that name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lake.parquet_sql import files, open_duckdb, quoted, reading
from lake.reader import LakeReader
from schemas.snapshots import CURRENT

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_WHO = "consent.list.element.subject_id"
_UTTERANCE = ("consent", "recording_id", "lineage.run_id", "duration_s", "text", "accent")
_RECORDING = (
    "consent", "recording_id", "run_id", "source_root", "source_path", "collected_at", "status", "reason",
)  # fmt: skip
_PLANNED = """
select source_root, source_path from {files} where {near}
    and list_contains(json_extract_string(catalogue_row, '$.subjects[*].subject_id'), ?)
"""
_PLAIN = re.compile(r"[A-Za-z0-9 ._:@-]+")
"""A name that JSON spells in one way only."""
Row = dict[str, Any]


@dataclass
class Held:
    """Rows with somebody in them; `is_current` is false for those that a later run has made anew."""

    utterances: list[Row]
    recordings: list[Row]
    planned: list[tuple[str, str]]
    """Root and path of sources that a plan names with them, and of which nothing was prepared so far."""


def held_of(reader: LakeReader, subject_id: str) -> Held:
    """Everything of `subject_id` that the lake holds as of the reader's moment."""
    stale = _stale(reader)
    utterances = list(_rows(reader, "utterances", _UTTERANCE, subject_id, stale))
    recordings = list(_rows(reader, "recordings", _RECORDING, subject_id, stale))
    places = {(row["source_root"], row["source_path"]) for row in recordings}
    return Held(utterances, recordings, sorted(_planned(reader, subject_id) - places))


def _stale(reader: LakeReader) -> set[tuple[str, str]]:
    if reader.stale_sql() is None:
        return set()
    rows = reader.stale()
    return set(zip(rows["recording_id"].to_pylist(), rows["run_id"].to_pylist(), strict=True))


def _rows(
    reader: LakeReader, kind: str, columns: Sequence[str], subject_id: str, stale: set[tuple[str, str]]
) -> Iterator[Row]:
    old = CURRENT[kind]
    paths = [(file.path, True) for file in reader.merged(kind)] + [(part.path, True) for part in reader.parts(kind)]
    for path, is_new in [*paths, *((file.path, False) for file in reader.merged(old))]:
        with reader.lake.root.open(path) as file:
            for row in _of(file, columns, subject_id):
                row["run_id"] = row["lineage"]["run_id"] if "lineage" in row else row["run_id"]
                yield {**row, "is_current": is_new and (row["recording_id"], row["run_id"]) not in stale}


def _of(file: Any, columns: Sequence[str], subject_id: str) -> Iterator[Row]:
    """Rows of a part or merged file with this person in them."""
    import pyarrow.parquet as pq

    part = pq.ParquetFile(file, pre_buffer=True)
    groups = [n for n in range(part.num_row_groups) if _may_hold(part.metadata.row_group(n), subject_id)]
    for n in groups:
        # Whose they are first, which is narrow; the rest where it is somebody.
        mask = _is_theirs(part.read_row_group(n, [_WHO], use_threads=False)["consent"], subject_id)
        if mask is not None:
            yield from part.read_row_group(n, list(columns), use_threads=False).filter(mask).to_pylist()


def _may_hold(group: pq.RowGroupMetaData, subject_id: str) -> bool:
    for n in range(group.num_columns):
        column = group.column(n)
        if column.path_in_schema == _WHO:
            said = column.statistics
            if said is None:
                return True
            if not said.has_min_max:
                return not said.has_null_count or int(said.null_count) < int(column.num_values)
            return bool(said.min <= subject_id <= said.max)
    return False


def _is_theirs(consent: pa.ChunkedArray, subject_id: str) -> pa.Array | None:
    """Which rows name the person; None where none does."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    links = consent.combine_chunks()
    names = pc.equal(pc.struct_field(links.flatten(), ["subject_id"]), subject_id)
    rows = np.asarray(pc.list_parent_indices(links))[np.asarray(pc.fill_null(names, False))]
    if not len(rows):
        return None
    mask = np.zeros(len(links), np.bool_)
    mask[rows] = True
    return pa.array(mask)


def _planned(reader: LakeReader, subject_id: str) -> set[tuple[str, str]]:
    """Sources whose catalogue row, in any plan, names the person."""
    if not reader.runs:
        return set()
    found: set[tuple[str, str]] = set()
    # Most rows name somebody else, which is seen sooner than JSON is read.
    near = f"contains(catalogue_row, {quoted(subject_id)})" if _PLAIN.fullmatch(subject_id) else "true"
    with reading(), open_duckdb(reader.lake.root) as connection:
        for run in reader.runs:
            query = _PLANNED.format(files=files([reader.lake.root.uri_of(run.plan.path)]), near=near)
            found.update(connection.execute(query, [subject_id]).fetchall())
    return found
