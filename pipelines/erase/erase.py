"""`erase`: from what people took back to what is left, in steps that each may be repeated.

A look finds everything (`closure`), writes it down, and removes it: suppression entries, plans, the units' next
generations, a snapshot, releases, then what all of these replaced. Dead at any point, the same command goes on with
what the look had written down. Where workers may still hold what was planned before, another look comes when their
deadlines have passed; a lake at rest is looked at again at once. It is finished when a look finds nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lake import layout, suppression
from lake.commits import read_commit
from lake.lake import Lake
from lake.storage import Root
from pipelines.engines import engine_named
from pipelines.engines.contract import Settings, Task
from pipelines.erase import closure as closures
from pipelines.erase.certificate import (
    Certificate,
    Clocks,
    Remaining,
    certificates,
    copies_of,
    digests_of,
    exceptions_of,
    issue,
    replaced_releases,
)
from pipelines.erase.closure import Closure
from pipelines.erase.kept import purge_lake, purge_paths
from pipelines.erase.plans import erase_from_plans, work_until
from pipelines.erase.raw import delete_raw
from pipelines.erase.record import Erasure, Finished, Looked, Started, begin, tidy, unfinished
from pipelines.erase.releases import Gone, affected, replace
from pipelines.erase.signing import sign
from pipelines.erase.subjects import withdrawn_at, without_repeats
from pipelines.erase.sweep import Sweep, Swept
from pipelines.erase.work import EraseWork, task_name
from pipelines.snapshot import snapshot
from schemas.errors import ConsentError, RunStopped
from schemas.ledger import Event, EventType

if TYPE_CHECKING:
    import pyarrow as pa

    from schemas.releases import ReleaseRecord

_MOST_LOOKS = 10

Report = Callable[[str, int], None]
"""Told what is done, and how many there are of it so far."""


def _silent(_what: str, _count: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person asks for."""

    subjects: tuple[str, ...]
    raw: bool = False
    engine: str = "local"
    settings: Settings = field(default_factory=lambda: Settings("provoice-erase"))


@dataclass(frozen=True)
class Planned:
    """What an erasure would do."""

    closure: Closure
    withdrawn_at: Mapping[str, datetime]
    units: int
    objects: int
    size_bytes: int
    """Of the units' objects: they are read, and what is left of them is written."""
    plans: int
    releases: tuple[ReleaseRecord, ...]
    again_at: datetime | None
    """When it must be looked again; None: at once."""


@dataclass
class Outcome:
    """What an erasure did, as far as it got. `is_finished` is false where it must look again, at `again_at`."""

    erasure: Erasure
    is_finished: bool = False
    again_at: datetime | None = None
    looks: int = 0
    units: int = 0
    utterances: int = 0
    replaced: dict[str, str | None] = field(default_factory=dict)
    """Releases by the version that stands in for each; None where nothing is left."""
    removed: int = 0
    removed_bytes: int = 0
    foreign: tuple[str, ...] = ()
    """What lies in our folders under names that are not ours, and cannot be read."""
    young: tuple[str, ...] = ()
    """What somebody may be writing now, and nobody can look into."""
    certificate: str = ""
    """Where it lies; empty before the end."""
    versions: int = 0
    """Versions of deleted objects that were removed, too."""
    kept: tuple[Remaining, ...] = ()
    """What stores keep of what was deleted, and do not let go."""
    raw_deleted: int = 0
    raw_remaining: dict[str, int] = field(default_factory=dict)
    """Raw sources that stay, and why."""
    wall_s: float = 0.0


def plan(lake: Lake, subjects: Sequence[str], now: datetime | None = None) -> Planned:
    """What would go; writes nothing. Raises ConfigError for people who have not withdrawn."""
    wanted = without_repeats(subjects)
    ended = withdrawn_at(lake.ledger(), wanted)
    found = closures.find(lake, wanted)
    commits = [read_commit(lake, *unit) for unit in found.units(committed=True)]
    objects = [stored for commit in commits if commit is not None for stored in commit.objects]
    gone = Gone.of(wanted, found.touched)
    planned = found.touched.filter(found.touched["is_planned"])
    return Planned(
        closure=found,
        withdrawn_at=ended,
        units=len(commits),
        objects=len(objects),
        size_bytes=sum(stored.size_bytes for stored in objects),
        plans=len(set(planned["run_id"].to_pylist())),
        releases=tuple(one.record for one in affected(lake, gone)),
        again_at=work_until(lake, found.touched, now or datetime.now(UTC)),
    )


def erase(lake: Lake, wanted: Wanted, report: Report = _silent, now: datetime | None = None) -> Outcome:
    """Erases, or goes on with it. `now`: instead of the clock.

    Raises ConfigError for people who have not withdrawn, ConsentError where there is no key for the suppression list or
    the ledger cannot be read, LakeError and RunStopped where it must be started again.
    """
    began = time.monotonic()
    at = now or datetime.now(UTC)
    key = suppression.key_from_environment()
    if key is None:
        raise ConsentError(f"without a key nothing keeps out what is erased; {suppression.HOW}")
    # A key that is not the list's own, and one that cannot sign, are told before anything is changed.
    suppression.Suppression(lake.ledger().root).refresh()
    sign(b"")
    subjects = without_repeats(wanted.subjects)
    ledger = lake.ledger()
    ended = withdrawn_at(ledger, subjects)
    tidy(ledger.root)
    done = _done_before(lake, subjects, wanted.raw)
    if done is not None:
        return Outcome(done, is_finished=True)
    erasure = begin(lake, subjects, max(ended.values()), ledger.head(), at, wanted.raw)
    outcome = _Looks(lake, wanted, erasure, key, report, at).run()
    outcome.wall_s = round(time.monotonic() - began, 3)
    return outcome


def _done_before(lake: Lake, subjects: tuple[str, ...], raw: bool) -> Erasure | None:
    """A finished erasure of these people, if nothing of theirs has come since."""
    begun = [one for one in unfinished(lake) if one.started.subjects == subjects]
    same = [one for one in certificates(lake) if one.subjects == subjects and one.raw >= raw]
    if begun or not same or closures.find(lake, subjects) or affected(lake, Gone(frozenset(subjects), frozenset())):
        return None
    said = same[-1]
    started = Started(
        number=said.number, lake=said.lake, subjects=subjects, withdrawn_at=max(said.clocks.denied_at.values()),
        raw=said.raw, began_at=said.clocks.began_at, ledger_position=0,
    )  # fmt: skip
    return Erasure(lake.ledger().root, started)


class _Looks:
    """The looks of one erasure, from the first that is not done."""

    def __init__(
        self, lake: Lake, wanted: Wanted, erasure: Erasure, key: suppression.Key, report: Report, now: datetime
    ) -> None:
        self.lake, self.wanted, self.erasure, self.key, self.report = lake, wanted, erasure, key, report
        self.now = now
        self.found: list[pa.Table] = []
        """What each look found."""
        self.outcome = Outcome(erasure)

    @property
    def subjects(self) -> tuple[str, ...]:
        return self.erasure.started.subjects

    def run(self) -> Outcome:
        self._announce()
        again_at: datetime | None = None
        for look in range(1, _MOST_LOOKS + 1):
            said = self._passed(look) or self._look(look, again_at)
            self.outcome.looks = look
            again_at = _later(again_at, said.again_at)
            if again_at is not None and again_at > self.now:
                self.outcome.again_at = again_at
                return self.outcome
            if not said.found and (said.again_at is None or said.again_at <= said.done_at):
                self._finish()
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
        until = work_until(self.lake, touched, self.now)
        erase_from_plans(self.lake, touched)
        self._units(look, touched)
        snapshot(self.lake)
        replaced = self._releases()
        until = _later(until, again_at) if again_at is not None and again_at > self.now else until
        swept = self._sweep(is_past=until is None)
        said = Looked(
            look=look, done_at=self.now, again_at=_later(until, swept.again_at), found=touched.num_rows + replaced,
            removed=len(swept.removed), removed_bytes=swept.size_bytes,
        )  # fmt: skip
        return self.erasure.write_looked(said)

    def _announce(self) -> None:
        ledger = self.lake.ledger()
        known = {event.event_id for _, event in ledger.events_about(self.subjects, ())}
        events = [self._event(EventType.ERASURE_STARTED, subject, None) for subject in self.subjects]
        if new := [event for event in events if event.event_id not in known]:
            ledger.append(new)

    def _event(self, kind: EventType, subject: str, note: str | None) -> Event:
        # Named by what it says, so that who goes on where another stopped says it once.
        name = hashlib.sha256(repr((kind.value, self.erasure.number, subject)).encode()).hexdigest()[:32]
        return Event(event_id=name, type=kind, recorded_at=self.now, subject_id=subject, note=note)

    def _units(self, look: int, touched: pa.Table) -> None:
        """The units' next generations, on the engine that was asked for."""
        units = Closure(self.subjects, touched).units(committed=True)
        if not units:
            return
        tasks = [Task(task_name(unit), float(_size(self.lake, unit))) for unit in units]
        work = EraseWork(self.lake.root.uri, self.erasure.number, look)
        done: set[tuple[str, str]] = set()
        with contextlib.closing(engine_named(self.wanted.engine)(tasks, work, self.wanted.settings)) as commits:
            for commit in commits:
                done.add((commit.run_id, commit.unit_id))
                self.report("units rewritten", len(done))
        self.outcome.units += len(units)
        if missing := set(units) - done:
            raise RunStopped(f"{len(missing)} of {len(units)} units were not rewritten; start the command once more")

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
            made = replace(self.lake, one.record, self._gone, position, self.erasure.number, self.now)
            self.outcome.replaced[_named(one.record)] = None if made is None else _named(made)
            self.report("releases replaced", len(self.outcome.replaced))
        return len(found)

    def _sweep(self, *, is_past: bool) -> Swept:
        swept = Sweep(self.lake, self._all, self._gone, self.now, is_past=is_past).run()
        self.outcome.removed += len(swept.removed)
        self.outcome.removed_bytes += swept.size_bytes
        self.outcome.young, self.outcome.foreign = tuple(swept.young), tuple(swept.foreign)
        self.report("objects removed", self.outcome.removed)
        return swept

    def _finish(self) -> None:
        """Raw sources at last, what stores keep of all that was deleted, and the certificate; then says so in the
        ledger, and gives up what was remembered."""
        path = layout.certificate_path(self.erasure.number, 0)
        root = self.lake.ledger().root
        if root.exists(path):  # who went before came so far
            self.outcome.certificate = root.uri_of(path)
        else:
            self.outcome.certificate, _ = issue(self.lake, self._certificate(self._raw_and_kept()))
        purge_paths(root, self.erasure.forget(self.outcome.looks), self.now)
        ledger = self.lake.ledger()
        known = {event.event_id for _, event in ledger.events_about(self.subjects, ())}
        events = [self._event(EventType.ERASED, subject, path) for subject in self.subjects]
        if new := [event for event in events if event.event_id not in known]:
            ledger.append(new)
        purge_paths(root, [self.erasure.finish(Finished(finished_at=self.now))], self.now)
        self.outcome.is_finished = True

    def _raw_and_kept(self) -> list[Remaining]:
        """Deletes raw sources if that was asked for, and ends what stores keep; what they do not let go."""
        raw = delete_raw(self.lake, self._all, is_asked=self.erasure.started.raw)
        self.outcome.raw_deleted, self.outcome.raw_remaining = len(raw.deleted), dict(raw.remaining)
        looked = [said for n in range(1, self.outcome.looks + 1) if (said := self.erasure.looked(n)) is not None]
        kept = [purge_lake(self.lake, sum(said.removed for said in looked), self.now)]
        ledger = self.lake.ledger().root
        if not ledger.uri.startswith(self.lake.root.uri_of("")):
            # Before they are deleted, so that the certificate can say what is kept of them.
            closures_of = [
                f"{layout.erasure_folder(self.erasure.number)}/closure-{said.look}.parquet" for said in looked
            ]
            kept.append(purge_paths(ledger, closures_of, self.now))
        if self.erasure.started.raw:
            of_root: dict[str, tuple[Root, list[str]]] = {}
            for root, path in raw.gone:
                of_root.setdefault(root.uri, (root, []))[1].append(path)
            kept += [purge_paths(root, paths, self.now) for root, paths in of_root.values()]
        self.outcome.versions = sum(one.versions for one in kept)
        remaining = [one for found in kept for one in found.remaining]
        self.outcome.kept = tuple(remaining)
        return remaining

    def _certificate(self, storage: Sequence[Remaining]) -> Certificate:
        touched, started = self._all, self.erasure.started
        looked = [said for n in range(1, self.outcome.looks + 1) if (said := self.erasure.looked(n)) is not None]
        units, sources, utterances = digests_of(self.lake, touched)
        releases = replaced_releases(self.lake, started.number)
        places = set(zip(touched["source_root"].to_pylist(), touched["source_path"].to_pylist(), strict=True))
        contents = set(touched["source_sha256"].drop_null().to_pylist())
        return Certificate(
            number=started.number,
            lake=self.lake.root.uri,
            ledger=self.lake.ledger().root.uri,
            subjects=self.subjects,
            raw=started.raw,
            clocks=Clocks(
                denied_at=withdrawn_at(self.lake.ledger(), self.subjects),
                began_at=started.began_at,
                purged_at=self.now,
            ),
            looks=len(looked),
            recordings=len(set(touched["recording_id"].to_pylist())),
            sources_erased=sources,
            utterances_erased=utterances,
            units=units,
            releases=releases,
            objects_swept=sum(said.removed for said in looked),
            bytes_swept=sum(said.removed_bytes for said in looked),
            suppressed=len(places) + len(contents),
            exceptions=exceptions_of(
                self.lake, self.erasure, touched, raw=self.outcome.raw_remaining, young=self.outcome.young,
                foreign=self.outcome.foreign, shared=closures.still_there(self.lake, touched), storage=storage,
            ),
            copies=copies_of(self.lake, releases),
        )  # fmt: skip


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
