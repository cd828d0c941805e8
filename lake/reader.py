"""What readers may see: the objects that commits name, and nothing that merely lies there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from lake.commits import read_commits
from lake.lake import Lake
from lake.runs import list_runs
from schemas.records import Commit, RunRecord


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
    """The committed state of a lake as of the moment it is first asked; it does not look twice."""

    def __init__(self, lake: Lake, run_id: str | None = None) -> None:
        self.lake = lake
        self._only = run_id

    @cached_property
    def runs(self) -> list[RunRecord]:
        """Runs in order of number."""
        return [run for run in list_runs(self.lake) if self._only in (None, run.run_id)]

    @cached_property
    def commits(self) -> list[tuple[RunRecord, Commit]]:
        """Current commits with their runs, by run number and unit."""
        return [(run, commit) for run in self.runs for commit in read_commits(self.lake, run.run_id)]

    def parts(self, kind: str) -> Iterator[Part]:
        """Part files of `kind`, `utterances` or `recordings`."""
        for run, commit in self.commits:
            for stored in commit.objects:
                if stored.kind == kind:
                    uri = self.lake.root.uri_of(stored.path)
                    yield Part(run.number, run.run_id, commit.unit_id, uri, stored.path, stored.rows or 0)
