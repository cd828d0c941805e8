"""What readers may see: the objects that commits name, and nothing that merely lies there.

A reader opens the newest snapshot, then only the commits of runs that it does not close. Without a snapshot every
commit is read, which is slow from some ten thousand units on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

from lake import currency
from lake.commit_table import commits_in, rows_of_run
from lake.commits import list_commits, read_commit, read_listed
from lake.lake import Lake
from lake.parquet_sql import open_duckdb, reading
from lake.runs import list_runs
from lake.snapshots import newest_snapshot
from lake.storage import ObjectInfo
from schemas.errors import LakeError
from schemas.records import Commit, RunRecord, StoredObject

if TYPE_CHECKING:
    import pyarrow as pa

    from schemas.snapshots import MergedFile, SnapshotHead


@dataclass(frozen=True, slots=True)
class Part:
    """A committed part file: of which run, and where."""

    run_number: int
    run_id: str
    unit_id: str
    uri: str
    path: str
    rows: int


class LakeReader:
    """The committed state of a lake as of the moment it is first asked; it does not look twice.

    With a `run_id` it is the state of that run alone, from its own commits and parts, whether they are merged or not.
    A unit that a snapshot holds stays as it was folded until the next snapshot: erasure takes one before it deletes.
    """

    def __init__(self, lake: Lake, run_id: str | None = None) -> None:
        self.lake = lake
        self._only = run_id

    @cached_property
    def snapshot(self) -> SnapshotHead | None:
        """The newest snapshot; None where there is none, and for a reader of one run."""
        return newest_snapshot(self.lake) if self._only is None else None

    @cached_property
    def runs(self) -> list[RunRecord]:
        """Runs in order of number."""
        _ = self.snapshot  # first: of each run that the snapshot holds, the record is there already
        return [run for run in list_runs(self.lake) if self._only in (None, run.run_id)]

    @cached_property
    def tail(self) -> list[tuple[RunRecord, Commit]]:
        """Current commits that the snapshot has not folded, by run number and unit; without a snapshot, all."""
        folded = {run.run_id: run for run in self.snapshot.runs} if self.snapshot else {}
        found: list[tuple[RunRecord, Commit]] = []
        for run in self.runs:
            held = folded.get(run.run_id)
            if held is None or not held.is_closed:
                known = self._folded_units(run) if held is not None and held.commits else set()
                found += ((run, commit) for commit in _unfolded(self.lake, run, known))
        return found

    @cached_property
    def commits(self) -> list[tuple[RunRecord, Commit]]:
        """All current commits, folded ones too, by run number and unit. A million of them take minutes and gigabytes:
        whoever wants figures asks the view `commits`, and whoever wants one unit asks `unit_objects`."""
        if self.snapshot is None:
            return self.tail
        folded = ((run, commit) for run in self.runs for commit in self._folded(run))
        return sorted(chain(folded, self.tail), key=lambda pair: (pair[0].number, pair[1].unit_id))

    def committed_units(self, run: RunRecord) -> set[str]:
        """Names of the run's committed units."""
        return self._folded_units(run) | {commit.unit_id for own, commit in self.tail if own.run_id == run.run_id}

    def unit_objects(self, run_id: str, unit_id: str) -> Commit:
        """The unit's commit of the highest generation, as the store has it now. Raises LakeError where it has none."""
        commit = read_commit(self.lake, run_id, unit_id)
        if commit is None:
            raise LakeError(f"{self.lake.root.uri}: unit {unit_id} of run {run_id} is not committed")
        return commit

    def merged(self, kind: str) -> list[MergedFile]:
        """The snapshot's files of `kind`, one of the keys and values of `schemas.snapshots.CURRENT`: rows of
        `utterances` and `recordings` were current when it was taken, the `…_superseded` hold the others."""
        return self.snapshot.merged(kind) if self.snapshot else []

    def parts(self, kind: str) -> Iterator[Part]:
        """Part files of `kind`, `utterances` or `recordings`, of the commits in `tail`."""
        for run, commit in self.tail:
            for stored in commit.objects:
                if stored.kind == kind:
                    uri = self.lake.root.uri_of(stored.path)
                    yield Part(run.number, run.run_id, commit.unit_id, uri, stored.path, stored.rows or 0)

    def uris(self, objects: Sequence[StoredObject]) -> list[str]:
        """Where these objects lie."""
        return [self.lake.root.uri_of(stored.path) for stored in objects]

    def stale_sql(self) -> str | None:
        """A query for what `stale` holds; None where that is nothing, and no file need be opened to know it."""
        new = [part.uri for part in self.parts("recordings")]
        if not new:
            return None
        held = currency.rows_of(self.uris(self.merged("recordings")))
        return currency.stale(currency.rows_of(new), held, currency.runs_sql(self.runs))

    def stale(self) -> pa.Table:
        """`recording_id` and `run_id` of rows in `merged` files of current kinds, and in `parts`, that are not current:
        what is left of them without these is. Opens the parts of `recordings` and narrow columns of the merged ones."""
        query = self.stale_sql() or f"select recording_id, run_id from ({currency.rows_of([])})"
        with reading(), open_duckdb(self.lake.root) as connection:
            return connection.sql(query).to_arrow_table()

    def _folded_units(self, run: RunRecord) -> set[str]:
        return {name for batch in self._folded_rows(run, ["unit_id"]) for name in batch.column(0).to_pylist()}

    def _folded(self, run: RunRecord) -> Iterator[Commit]:
        for batch in self._folded_rows(run, None):
            yield from (commit for _, commit in commits_in(batch))

    def _folded_rows(self, run: RunRecord, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
        """The run's rows of the snapshot's commits, by unit; opens only the row groups that can hold some."""
        if self.snapshot is None or not any(held.run_id == run.run_id and held.commits for held in self.snapshot.runs):
            return
        with self.lake.root.open(self.snapshot.commits.path) as file:
            yield from rows_of_run(file, run.number, columns)


def _unfolded(lake: Lake, run: RunRecord, known: set[str]) -> Iterator[Commit]:
    newest: dict[str, tuple[int, ObjectInfo]] = {}
    for unit_id, generation, info in list_commits(lake, run.run_id):
        if unit_id not in known and (unit_id not in newest or generation > newest[unit_id][0]):
            newest[unit_id] = (generation, info)
    yield from read_listed(lake, (newest[unit_id][1] for unit_id in sorted(newest)))
