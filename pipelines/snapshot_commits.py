"""The first half of a snapshot: commits that the one before has not folded become rows of one Parquet file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from lake import layout
from lake.commit_table import commit_batches, rows_of_run
from lake.commits import list_commits, read_listed
from lake.lake import Lake
from lake.merging import Spool
from lake.storage import ObjectInfo
from schemas.records import RunRecord, StoredObject
from schemas.snapshots import COMMITS_SCHEMA, FoldedRun, SnapshotHead

if TYPE_CHECKING:
    import pyarrow as pa

_COMMIT_BYTES = 4 << 10  # a guess, which only bounds how many are read at a time


Unit = tuple[str, str]
"""Run and unit."""


@dataclass
class Folded:
    """What was found since the last snapshot. Commits lie in a file, for there may be a million of them."""

    path: Path
    commits: int = 0
    replaced: dict[int, set[str]] = field(default_factory=dict)
    """Run number to units whose generation rose."""
    runs: tuple[FoldedRun, ...] = ()

    def parts(self, kind: str) -> Iterator[StoredObject]:
        """The parts of `kind` that the new commits name, by run and unit."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.path) as commits:
            for batch in commits.iter_batches(columns=["objects"], use_threads=False):
                for objects in batch.column(0).to_pylist():
                    yield from (StoredObject(**stored) for stored in objects if stored["kind"] == kind)


def fold(
    lake: Lake,
    previous: SnapshotHead | None,
    runs: Sequence[RunRecord],
    folder: Path,
    seen: Mapping[Unit, int] | None = None,
) -> Folded:
    """Lists the commits of every run, and reads those that `previous` does not hold in this generation. `seen`:
    generations that are there whether a listing shows them or not.

    Closed runs are listed too: a worker that was late, and every erasure, adds to them. Of each run it holds the names
    of its units, about 200 bytes each.
    """
    folded = Folded(folder / "new-commits.parquet")
    of_run: dict[str, dict[str, int]] = {}
    for (run_id, unit_id), generation in (seen or {}).items():
        of_run.setdefault(run_id, {})[unit_id] = generation
    with Spool(folded.path, COMMITS_SCHEMA) as spool:
        found = [_fold_run(lake, previous, run, of_run.get(run.run_id, {}), folded.replaced, spool) for run in runs]
    folded.runs = tuple(run for run in found if run.commits or run.is_closed)
    folded.commits = spool.rows
    return folded


def _fold_run(
    lake: Lake,
    previous: SnapshotHead | None,
    run: RunRecord,
    seen: Mapping[str, int],
    replaced: dict[int, set[str]],
    spool: Spool,
) -> FoldedRun:
    known = _known(lake, previous, run)
    newest: dict[str, int] = {}
    listed = ((unit_id, generation) for unit_id, generation, _ in list_commits(lake, run.run_id))
    for unit_id, generation in chain(listed, seen.items()):
        if generation > max(known.get(unit_id, -1), newest.get(unit_id, -1)):
            newest[unit_id] = generation
    if again := newest.keys() & known.keys():
        replaced[run.number] = set(again)
    _read(lake, run, newest, spool)
    commits = len(known) + len(newest) - len(again)
    is_closed = run.is_closed or commits >= run.units
    return FoldedRun(run_number=run.number, run_id=run.run_id, commits=commits, is_closed=is_closed)


def _known(lake: Lake, previous: SnapshotHead | None, run: RunRecord) -> dict[str, int]:
    """The run's folded units with their generations."""
    known: dict[str, int] = {}
    if previous is not None and any(held.run_id == run.run_id and held.commits for held in previous.runs):
        with lake.root.open(previous.commits.path) as file:
            for batch in rows_of_run(file, run.number, ["unit_id", "generation"]):
                known.update(zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True))
    return known


def _read(lake: Lake, run: RunRecord, newest: dict[str, int], spool: Spool) -> None:
    import pyarrow as pa

    places = (
        ObjectInfo(layout.commit_path(run.run_id, unit_id, newest[unit_id]), _COMMIT_BYTES)
        for unit_id in sorted(newest)
    )
    for batch in commit_batches((run.number, commit) for commit in read_listed(lake, places)):
        spool.add(pa.Table.from_batches([batch]))


def write_commits(lake: Lake, previous: SnapshotHead | None, folded: Folded, path: Path) -> int:
    """All current commits in one file: those that were folded before and still hold, then the new ones. How many."""
    import pyarrow.parquet as pq

    with Spool(path, COMMITS_SCHEMA, compression_level=3) as spool:
        if previous is not None:
            with lake.root.open(previous.commits.path) as file:
                for batch in pq.ParquetFile(file, pre_buffer=True).iter_batches(use_threads=False):
                    spool.add(_still_holding(batch, folded.replaced))
        with pq.ParquetFile(folded.path) as new:
            for batch in new.iter_batches(use_threads=False):
                spool.add(_as_table(batch))
    return spool.rows


def _still_holding(batch: pa.RecordBatch, replaced: dict[int, set[str]]) -> pa.Table:
    import pyarrow as pa

    if replaced:
        pairs = zip(batch.column("run_number").to_pylist(), batch.column("unit_id").to_pylist(), strict=True)
        batch = batch.filter(pa.array([unit_id not in replaced.get(number, ()) for number, unit_id in pairs]))
    return _as_table(batch)


def _as_table(batch: pa.RecordBatch) -> pa.Table:
    """The rows with the columns of today; those that an earlier version's file lacks are null."""
    import pyarrow as pa

    there = set(batch.schema.names)
    columns = [
        batch.column(field.name).cast(field.type) if field.name in there else pa.nulls(batch.num_rows, field.type)
        for field in COMMITS_SCHEMA
    ]
    return pa.Table.from_arrays(columns, schema=COMMITS_SCHEMA)
