"""Where one run stands, kept up to date at the price of what is new: a listing of its commits, and the new ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from lake.commit_table import commits_in, rows_of_run
from lake.commits import list_commits, read_listed
from lake.lake import Lake
from lake.parquet_sql import files, open_duckdb, reading
from lake.runs import reread_run
from lake.snapshots import newest_snapshot
from lake.storage import ObjectInfo
from schemas.records import Commit, Counts, RunRecord

_MEMORY = "400MB"
NOW_S = 300.0
"""The least time over which the pace of this moment is taken."""
_UNITS_IN_IT = 3.0
"""It is taken over so many times as long as a unit takes, for within less hardly any ends."""


@dataclass(frozen=True, slots=True)
class Look:
    """A run's figures at one moment."""

    run_id: str
    at: datetime
    state: str
    """`complete`, `closed` or `unfinished`."""
    units: int
    committed: int
    counts: Counts
    pace_now: float | None
    """Audio-hours per hour, over the last minutes; None before the first commit."""
    pace: float | None
    """The same from the begin of the first unit on."""
    left_s: float | None
    """Seconds that the rest takes at the pace of now, or of the whole where nothing came in lately."""
    ends_at: datetime | None
    last_commit: datetime | None
    new: int
    """Units committed since the last look."""

    @property
    def is_over(self) -> bool:
        return self.state != "unfinished"


class Tally:
    """Adds up a run's commits as they come. A million units take about 20 MiB.

    Of each unit it keeps one byte; a unit whose generation rises, which only an erasure or gc does, makes it read all
    of them again.
    """

    def __init__(self, lake: Lake, run: RunRecord) -> None:
        self.lake, self.run = lake, run
        self._estimated_s = _estimates(lake, run)
        self._start()
        self._add_folded()

    def _start(self) -> None:
        self._generation = bytearray(len(self._estimated_s))  # one more than the highest that was read
        self._sums = _Sums()
        self._recent: list[tuple[datetime, float, float]] = []
        """Of late commits: when, how long the unit took, and how much audio it was."""
        self._began: datetime | None = None
        self._last: datetime | None = None
        self.committed = 0
        self._done_estimated_s = 0.0

    def look(self, now: datetime | None = None) -> Look:
        """Lists the run's commits, reads those that are new, and says where it stands. `now`: instead of the clock."""
        self.run = reread_run(self.lake, self.run)
        before = self.committed
        self._add(self._new())
        at = max(now or datetime.now(UTC), self._last or datetime.min.replace(tzinfo=UTC))
        state = "complete" if self.committed >= self.run.units else "closed" if self.run.is_closed else "unfinished"
        counts = self._sums.counts()
        pace_now, pace = self._pace_now(at), self._pace(at if state == "unfinished" else None, counts)
        rate = (pace_now or pace) if state == "unfinished" else None
        left_s = self._left_audio_s(counts) / rate if rate else None
        return Look(
            run_id=self.run.run_id, at=at, state=state, units=self.run.units, committed=self.committed, counts=counts,
            pace_now=None if pace_now is None or state != "unfinished" else round(pace_now, 1),
            pace=None if pace is None else round(pace, 1), left_s=None if left_s is None else round(left_s, 1),
            ends_at=None if left_s is None else at + timedelta(seconds=left_s),
            last_commit=self._last, new=max(0, self.committed - before),
        )  # fmt: skip

    # --- what is read ---------------------------------------------------------------------------------------------

    def _new(self) -> Iterator[Commit]:
        """Commits that were not read yet; only their names are held, and those of no others."""
        found: dict[str, tuple[int, ObjectInfo]] = {}
        has_risen = False
        for unit_id, generation, info in list_commits(self.lake, self.run.run_id):
            known = self._generation[_index(unit_id)] if _index(unit_id) < len(self._generation) else 255
            if generation + 1 > known and generation >= found.get(unit_id, (-1, info))[0]:
                has_risen |= known > 0
                found[unit_id] = (generation, info)
        if has_risen:
            self._start()
            yield from self._new()
            return
        yield from read_listed(self.lake, (info for _, info in found.values()))

    def _add_folded(self) -> None:
        """What a snapshot holds already, at the price of one file."""
        snapshot = newest_snapshot(self.lake)
        if snapshot is None or not any(held.run_id == self.run.run_id and held.commits for held in snapshot.runs):
            return
        with self.lake.root.open(snapshot.commits.path) as file:
            for batch in rows_of_run(file, self.run.number):
                self._add(commit for _, commit in commits_in(batch))

    def _add(self, commits: Iterable[Commit]) -> None:
        for commit in commits:
            index = _index(commit.unit_id)
            self._generation[index] = min(254, commit.generation + 1)
            if not commit.counts.sources:
                continue  # gc closed a unit of a closed run
            self.committed += 1
            self._sums.add(commit.counts)
            self._done_estimated_s += float(self._estimated_s[index])
            began = commit.committed_at - timedelta(seconds=commit.wall_s)
            self._began = min(began, self._began or began)
            self._last = max(commit.committed_at, self._last or commit.committed_at)
            self._recent.append((commit.committed_at, commit.wall_s, commit.counts.source_s))
            if len(self._recent) > 20_000:
                self._forget(self._last)
        if self._last is not None:
            self._forget(self._last)

    # --- what follows from it -------------------------------------------------------------------------------------

    def _forget(self, newest: datetime) -> None:
        longest_s = max(NOW_S, _UNITS_IN_IT * max((wall_s for _, wall_s, _ in self._recent), default=0.0))
        since = newest - timedelta(seconds=2 * longest_s)
        self._recent = [one for one in self._recent if one[0] >= since]

    def _pace_now(self, at: datetime) -> float | None:
        """Seconds of audio per second over the last minutes; 0 where none came in."""
        if not self._recent:
            return None
        walls = sorted(wall_s for _, wall_s, _ in self._recent)
        since = at - timedelta(seconds=max(NOW_S, _UNITS_IN_IT * walls[len(walls) // 2]))
        late = [one for one in self._recent if one[0] > since]
        if not late:
            return 0.0
        # After a pause, or at the begin, the time is counted from when the first of them was begun.
        first = max(since, min(ended - timedelta(seconds=wall_s) for ended, wall_s, _ in late))
        return sum(audio_s for *_, audio_s in late) / max(1e-3, (at - first).total_seconds())

    def _pace(self, at: datetime | None, counts: Counts) -> float | None:
        end = at or self._last
        if self._began is None or end is None or end <= self._began:
            return None
        return counts.source_s / (end - self._began).total_seconds()

    def _left_audio_s(self, counts: Counts) -> float:
        """Audio in what is not committed: the plan's estimate, corrected by how it did so far."""
        left_s = max(0.0, float(self._estimated_s.sum()) - self._done_estimated_s)
        correction = counts.source_s / self._done_estimated_s if self._done_estimated_s else 1.0
        return left_s * correction


class _Sums:
    """Counts that grow in place; a million additions of frozen ones would take a minute."""

    def __init__(self) -> None:
        self._numbers: dict[str, float] = {}
        self._reasons: dict[str, dict[str, int]] = {"rejected": {}, "held": {}, "utterances_rejected": {}}

    def add(self, counts: Counts) -> None:
        for name in Counts.model_fields:
            value = getattr(counts, name)
            if name not in self._reasons:
                self._numbers[name] = self._numbers.get(name, 0) + value
                continue
            for reason, n in value.items():
                self._reasons[name][reason] = self._reasons[name].get(reason, 0) + n

    def counts(self) -> Counts:
        numbers = {n: round(v, 6) if isinstance(v, float) else v for n, v in self._numbers.items()}
        return Counts.model_validate({**numbers, **self._reasons})


def _index(unit_id: str) -> int:
    return int(unit_id.partition("-")[0])


def _estimates(lake: Lake, run: RunRecord) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Seconds of audio by unit, as planned; of ten million sources two narrow columns are read."""
    query = f"select unit_index, sum(estimated_s) as s from {files([lake.root.uri_of(run.plan.path)])} group by all"
    with reading(), open_duckdb(lake.root, _MEMORY) as connection:
        found = connection.execute(query).fetchnumpy()
    estimates = np.zeros(max(run.units, 1 + int(max(found["unit_index"], default=-1))))
    estimates[np.asarray(found["unit_index"], dtype=np.int64)] = np.asarray(found["s"], dtype=np.float64)
    return estimates
