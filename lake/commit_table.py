"""Commits as rows: the columns of `schemas.snapshots.COMMITS_SCHEMA`, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from schemas.quick_arrow import never_import_pandas_for_a_question
from schemas.records import Commit, Counts, StoredObject

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_AT_ONCE = 4_096
_COUNTED = ("sources", "emitted", "erased", "utterances", "source_bytes", "source_s", "speech_s", "utterance_s")
_SAME = (
    "run_id", "unit_id", "generation", "ledger_position", "decided_at", "committed_at", "wall_s", "peak_memory_bytes",
    "host", "cpu", "attempt", "format_version", "writer", "recipe_sha256",
    "collected_at",
)  # fmt: skip


def commit_row(run_number: int, commit: Commit) -> dict[str, Any]:
    """The commit as a row; maps are lists of pairs."""
    counts = commit.counts
    return {
        "run_number": run_number,
        **{name: getattr(commit, name) for name in _SAME},
        **{name: getattr(counts, name) for name in _COUNTED},
        "rejected": counts.rejected_total,
        "held": counts.held_total,
        "rejected_by_reason": list(counts.rejected.items()),
        "held_by_reason": list(counts.held.items()),
        "utterances_rejected": list(counts.utterances_rejected.items()),
        "cpu_s": round(sum(commit.seconds.values()), 3),
        "seconds": list(commit.seconds.items()),
        "objects": [
            {"kind": o.kind, "path": o.path, "size_bytes": o.size_bytes, "sha256": o.sha256, "rows": o.rows}
            for o in commit.objects
        ],
    }


def commit_batches(commits: Iterable[tuple[int, Commit]]) -> Iterator[pa.RecordBatch]:
    """Pairs of run number and commit as record batches of a bounded number of rows, in the order given."""
    import pyarrow as pa

    from schemas.snapshots import COMMITS_SCHEMA

    never_import_pandas_for_a_question()
    rows = (commit_row(number, commit) for number, commit in commits)
    while batch := list(islice(rows, _ROWS_AT_ONCE)):
        columns = [pa.array([row[field.name] for row in batch], type=field.type) for field in COMMITS_SCHEMA]
        yield pa.RecordBatch.from_arrays(columns, schema=COMMITS_SCHEMA)


def commits_in(batch: pa.RecordBatch) -> Iterator[tuple[int, Commit]]:
    """The commits that rows were made from, each with its run's number."""
    for row in batch.to_pylist(maps_as_pydicts="strict"):
        counts = Counts(
            **{name: row[name] for name in _COUNTED},
            rejected=row["rejected_by_reason"],
            held=row["held_by_reason"],
            utterances_rejected=row["utterances_rejected"],
        )
        objects = tuple(StoredObject(**stored) for stored in row["objects"])
        values = {name: row[name] for name in _SAME if name in row}  # an earlier version's file has fewer columns
        yield row["run_number"], Commit(**values, counts=counts, objects=objects, seconds=row["seconds"])


def rows_of_run(file: Any, run_number: int, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The run's rows in a file of commits, or some of their columns; opens only the row groups that can hold some."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.ParquetFile(file, pre_buffer=True)
    place = table.schema_arrow.get_field_index("run_number")  # the first column, so that leaf and field agree
    groups = []
    for number in range(table.num_row_groups):
        found = table.metadata.row_group(number).column(place).statistics
        if found is None or not found.has_min_max or found.min <= run_number <= found.max:
            groups.append(number)
    if not groups:
        return
    names = None if columns is None else ["run_number", *columns]
    for batch in table.iter_batches(row_groups=groups, columns=names, use_threads=False):
        rows = batch.filter(pc.equal(batch.column("run_number"), run_number))
        yield rows if columns is None else rows.select(columns)
