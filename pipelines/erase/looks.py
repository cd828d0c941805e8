"""The looks of an erasure: from what people took back to what is left.

A look finds everything (`closure`), writes it down, and removes it: suppression entries, plans, the units' next
generations, a snapshot, releases, then what all of these replaced. Dead at any point, the same command goes on with
what the look had written down. Where workers may still hold what was planned before, another look comes when their
deadlines have passed; a lake at rest is looked at again at once. It is finished when a look finds nothing.
"""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import TYPE_CHECKING

from lake import suppression
from lake.commits import read_commit
from lake.lake import Lake
from pipelines.engines import engine_named
from pipelines.engines.contract import Task
from pipelines.erase import closure as closures
from pipelines.erase.announce import announce
from pipelines.erase.clock import Clock
from pipelines.erase.closure import Closure
from pipelines.erase.finish import finish
from pipelines.erase.outcome import Outcome, Report, Wanted
from pipelines.erase.plans import erase_from_plans, work_until
from pipelines.erase.record import Erasure, Looked
from pipelines.erase.releases import Gone, affected, replace
from pipelines.erase.sweep import Sweep, Swept
from pipelines.erase.work import EraseWork, task_name
from pipelines.snapshot import snapshot
from schemas.errors import RunStopped
from schemas.ledger import EventType

if TYPE_CHECKING:
    import pyarrow as pa

    from schemas.releases import ReleaseRecord

_MOST_LOOKS = 10


class Looks:
    """The looks of one erasure, from the first that is not done."""

    def __init__(
        self, lake: Lake, wanted: Wanted, erasure: Erasure, key: suppression.Key, report: Report, clock: Clock
    ) -> None:
        self.lake, self.wanted, self.erasure, self.key, self.report = lake, wanted, erasure, key, report
        self.clock = clock
        self.found: list[pa.Table] = []
        """What each look found."""
        self.outcome = Outcome(erasure)

    @property
    def subjects(self) -> tuple[str, ...]:
        return self.erasure.started.subjects

    def run(self) -> Outcome:
        announce(self.lake, self.erasure.started, EventType.ERASURE_STARTED, self.clock.now())
        again_at: datetime | None = None
        for look in range(1, _MOST_LOOKS + 1):
            said = self._passed(look) or self._look(look, again_at)
            self.outcome.looks = look
            again_at = _later(again_at, said.again_at)
            if again_at is not None and again_at > self.clock.now():
                self.outcome.again_at = again_at
                return self.outcome
            if not said.found and (said.again_at is None or said.again_at <= said.done_at):
                touched = self._all if self.found else None
                finish(self.lake, self.erasure, touched, self.outcome, self.clock)
                return self.outcome
        raise RunStopped(f"look after look finds more of {', '.join(self.subjects)}: end what still writes them first")

    def _passed(self, look: int) -> Looked | None:
        """A look that was done before."""
        said = self.erasure.looked(look)
        touched = self.erasure.closure(look) if said is not None else None
        if touched is not None:
            self.found.append(touched)
        return said

    def _look(self, look: int, again_at: datetime | None) -> Looked:
        """Finds what there is, and removes it."""
        touched = self.erasure.closure(look)
        if touched is None:
            known = self._all if self.found else None
            found = closures.find(self.lake, self.subjects, known).touched
            touched = self.erasure.write_closure(look, _with_generations(self.lake, found))
        self.found.append(touched)
        self.report("recordings found", touched.num_rows)
        name = f"{self.erasure.number:06d}-{look}"
        places = zip(touched["source_root"].to_pylist(), touched["source_path"].to_pylist(), strict=True)
        contents = touched["source_sha256"].drop_null().to_pylist()
        suppression.add(self.lake.ledger().root, name, self.key, places, contents)
        erase_from_plans(self.lake, touched)
        # From here on: until now a worker may have read the plan as it was.
        until = work_until(self.lake, touched, self.clock.now())
        # Told, for a listing may be behind, and no snapshot may hold an earlier generation of what is swept next.
        snapshot(self.lake, self._units(look, touched))
        replaced = self._releases()
        until = _later(until, again_at) if again_at is not None and again_at > self.clock.now() else until
        swept = self._sweep(is_past=until is None)
        said = Looked(
            look=look,
            done_at=self.clock.now(),
            again_at=_later(until, swept.again_at),
            found=touched.num_rows + replaced,
            removed=len(swept.removed),
            removed_bytes=swept.size_bytes,
        )
        return self.erasure.write_looked(said)

    def _units(self, look: int, touched: pa.Table) -> dict[tuple[str, str], int]:
        """The units' next generations, on the engine that was asked for."""
        units = Closure(self.subjects, touched).units(committed=True)
        if not units:
            return {}
        tasks = [Task(task_name(unit), float(_size(self.lake, unit))) for unit in units]
        work = EraseWork(self.lake.root.uri, self.erasure.number, look)
        done: dict[tuple[str, str], int] = {}
        with contextlib.closing(engine_named(self.wanted.engine)(tasks, work, self.wanted.settings)) as commits:
            for commit in commits:
                done[commit.run_id, commit.unit_id] = commit.generation
                self.report("units rewritten", len(done))
        self.outcome.units += len(units)
        if missing := set(units) - done.keys():
            raise RunStopped(f"{len(missing)} of {len(units)} units were not rewritten; start the command once more")
        return done

    @property
    def _all(self) -> pa.Table:
        """Everything that this erasure has found so far."""
        import pyarrow as pa

        return pa.concat_tables(self.found)

    @property
    def _gone(self) -> Gone:
        return Gone.of(self.subjects, self._all)

    def _releases(self) -> int:
        """Replaces the versions in which something goes; how many there were."""
        position = self.lake.ledger().head()
        found = affected(self.lake, self._gone)
        for one in found:
            made = replace(self.lake, one.record, self._gone, position, self.erasure.number, self.clock.now())
            self.outcome.replaced[_named(one.record)] = None if made is None else _named(made)
            self.report("releases replaced", len(self.outcome.replaced))
        return len(found)

    def _sweep(self, *, is_past: bool) -> Swept:
        swept = Sweep(self.lake, self._all, self._gone, self.clock.now(), is_past=is_past).run()
        self.outcome.removed += len(swept.removed)
        self.outcome.removed_bytes += swept.size_bytes
        self.outcome.young, self.outcome.foreign = tuple(swept.young), tuple(swept.foreign)
        self.report("objects removed", self.outcome.removed)
        return swept


def _with_generations(lake: Lake, touched: pa.Table) -> pa.Table:
    """With the generation in which each unit was found: what a certificate compares with."""
    import pyarrow as pa

    units = {(row["run_id"], row["unit_id"]) for row in touched.select(["run_id", "unit_id"]).to_pylist()}
    commits = {unit: read_commit(lake, *unit) for unit in sorted(units)}
    known = {unit: commit.generation for unit, commit in commits.items() if commit is not None}
    rows = touched.select(["run_id", "unit_id"]).to_pylist()
    column = pa.array([known.get((row["run_id"], row["unit_id"])) for row in rows], pa.int64())
    return touched.append_column("generation", column)


def _named(record: ReleaseRecord) -> str:
    return f"{record.name}@{record.version}"


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max(one, other) if one is not None and other is not None else one or other


def _size(lake: Lake, unit: tuple[str, str]) -> int:
    commit = read_commit(lake, *unit)
    return sum(stored.size_bytes for stored in commit.objects) if commit is not None else 0
