"""`plan` says what would go, and `erase` removes it, in steps that each may be repeated (`looks`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lake import suppression
from lake.commits import read_commit
from lake.lake import Lake
from pipelines.erase import closure as closures
from pipelines.erase.certificate import certificates
from pipelines.erase.clock import Clock
from pipelines.erase.closure import Closure
from pipelines.erase.looks import Looks
from pipelines.erase.outcome import Outcome, Report, Wanted, silent
from pipelines.erase.plans import work_until
from pipelines.erase.record import Erasure, Started, begin, tidy, unfinished
from pipelines.erase.releases import Gone, affected
from pipelines.erase.signing import sign
from pipelines.erase.subjects import withdrawn_at, without_repeats
from schemas.errors import ConsentError

if TYPE_CHECKING:
    from schemas.releases import ReleaseRecord

__all__ = ["Outcome", "Planned", "Wanted", "erase", "plan"]


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


def erase(lake: Lake, wanted: Wanted, report: Report = silent, now: datetime | None = None) -> Outcome:
    """Erases, or goes on with it. `now`: instead of the clock.

    Raises ConfigError for people who have not withdrawn, ConsentError where there is no key for the suppression list or
    the ledger cannot be read, LakeError and RunStopped where it must be started again.
    """
    clock = Clock(now)
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
    erasure = begin(lake, subjects, max(ended.values()), ledger.head(), clock.began, wanted.raw)
    outcome = Looks(lake, wanted, erasure, key, report, clock).run()
    outcome.wall_s = round(clock.elapsed_s, 3)
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
