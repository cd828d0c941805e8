"""The consent decision: may this recording, or this utterance, be used so?

`decide` is a pure function of its arguments: deny by default, every data subject must permit, a prohibition wins, and
the same ledger position and instant answer the same for ever. Terms match by equality or by a written-out `any`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from schemas.consent import (
    ANY,
    TERMS,
    Action,
    ConsentRecord,
    Decision,
    Denial,
    DenyReason,
    Grant,
    Justification,
    Rule,
    Use,
)
from schemas.ledger import ENDS_GRANT, Event, EventType

_ENDED_AS = {
    EventType.WITHDRAWN: DenyReason.WITHDRAWN,
    EventType.REFUSED: DenyReason.REFUSED,
    EventType.INVALIDATED: DenyReason.INVALIDATED,
}

# When no grant permits, the reason told is that of the grant which came nearest to permitting.
_NEARNESS = (
    DenyReason.NO_GRANT,
    DenyReason.INVALIDATED,
    DenyReason.REFUSED,
    DenyReason.WITHDRAWN,
    DenyReason.NOT_YET_VALID,
    DenyReason.EXPIRED,
    DenyReason.OUT_OF_SCOPE,
    DenyReason.NOT_PERMITTED,
    DenyReason.TOO_LATE,
)


@dataclass(slots=True)
class GrantState:
    """A grant, and the event that ended it, if one did."""

    grant: Grant
    ended: DenyReason | None = None


@dataclass(slots=True)
class ConsentState:
    """The fold of the ledger's first `position` events. Only `apply` changes it, and only forwards."""

    position: int = 0
    grants: dict[str, GrantState] = field(default_factory=dict)
    grants_of: dict[str, list[str]] = field(default_factory=dict)
    ended_subjects: dict[str, DenyReason] = field(default_factory=dict)
    """Subjects whose last word is an ending: without a grant given later they are refused, also where grants are
    not asked for."""
    catalogue_rows: dict[tuple[str, str], str | None] = field(default_factory=dict)
    """Newest catalogue digest per (root, path), for sources whose row has changed."""
    seen: set[str] = field(default_factory=set)

    def apply(self, position: int, event: Event) -> None:
        """Adds the event at `position` (the first is 1). A repeated event id counts once."""
        self.position = position
        if event.event_id in self.seen:
            return
        self.seen.add(event.event_id)
        if event.type is EventType.GIVEN and event.grant is not None:
            self._give(event.grant)
        elif event.type in ENDS_GRANT and event.subject_id is not None:
            self._end(event.subject_id, event.grant_id, _ENDED_AS[event.type])
        elif event.type is EventType.CATALOGUE_CHANGED and event.source_root and event.source_path:
            self.catalogue_rows[event.source_root, event.source_path] = event.catalogue_row_sha256

    def _give(self, grant: Grant) -> None:
        # An ended grant stays ended, and a grant is never edited: a new yes is a new grant_id.
        if grant.grant_id not in self.grants:
            self.grants[grant.grant_id] = GrantState(grant)
            self.grants_of.setdefault(grant.subject_id, []).append(grant.grant_id)
            self.ended_subjects.pop(grant.subject_id, None)

    def _end(self, subject_id: str, grant_id: str | None, reason: DenyReason) -> None:
        theirs = self.grants_of.get(subject_id, [])
        for held in theirs if grant_id is None else [g for g in theirs if g == grant_id]:
            if self.grants[held].ended is None:
                self.grants[held].ended = reason
        if all(self.grants[held].ended is not None for held in theirs):
            self.ended_subjects[subject_id] = reason


def fold(events: Iterable[tuple[int, Event]], state: ConsentState | None = None) -> ConsentState:
    """The state after `events`, which are (position, event) pairs in order; continues `state` when given."""
    state = state or ConsentState()
    for position, event in events:
        state.apply(position, event)
    return state


def decide(record: ConsentRecord, use: Use, state: ConsentState, at: datetime) -> Decision:
    """May `record` be used as `use` says, as of `at` and the ledger position of `state`?

    Every denial is listed, so that a steward sees all that stands in the way and not only the first.
    """
    denials = list(_record_denials(record, state))
    justifications: list[Justification] = []
    for subject_id in sorted(set(record.subject_ids)):
        answer = _decide_subject(subject_id, record, use, state, at)
        if isinstance(answer, Denial):
            denials.append(answer)
        else:
            justifications.append(answer)
    return Decision(state.position, at, tuple(justifications), tuple(denials))


def decide_without_grants(record: ConsentRecord, state: ConsentState, at: datetime) -> Decision:
    """For a first look at one's own folder: asks for no grant, but a withdrawal or a refusal still denies."""
    denials = [
        Denial(last, f"the last word of {subject} in the ledger is `{last}`", subject)
        for subject in sorted(set(record.subject_ids))
        if (last := state.ended_subjects.get(subject)) is not None
    ]
    return Decision(state.position, at, denials=tuple(denials))


def _record_denials(record: ConsentRecord, state: ConsentState) -> Iterable[Denial]:
    if not record.subject_ids:
        yield Denial(DenyReason.NO_SUBJECT, "the catalogue names nobody for it")
    if not record.complete:
        yield Denial(DenyReason.INCOMPLETE, "the list of people heard in it is not complete")
    known = state.catalogue_rows.get((record.source_root, record.source_path), record.catalogue_row_sha256)
    if known != record.catalogue_row_sha256:
        yield Denial(DenyReason.CATALOGUE_CHANGED, "its catalogue row has changed since it was prepared")


def permitting_grants(subject_id: str, record: ConsentRecord, use: Use, state: ConsentState, at: datetime) -> list[str]:
    """Ids of every grant of the subject that permits the use, sorted; prohibitions are not looked at here."""
    answers = (_ask(grant_id, record, use, state, at) for grant_id in _counting(subject_id, record, state))
    return sorted(answer.grant_id for answer in answers if isinstance(answer, Justification))


def _counting(subject_id: str, record: ConsentRecord, state: ConsentState) -> list[str]:
    """The subject's grants that count for this record, in order of id."""
    theirs = state.grants_of.get(subject_id, [])
    return sorted(g for g in theirs if not record.grant_ids or g in record.grant_ids)


def _decide_subject(
    subject_id: str, record: ConsentRecord, use: Use, state: ConsentState, at: datetime
) -> Justification | Denial:
    for grant_id in sorted(state.grants_of.get(subject_id, [])):
        # Prohibitions outlive their grant, and no narrowing by the catalogue hides them.
        grant = state.grants[grant_id].grant
        for index, rule in enumerate(grant.rules):
            if rule.effect == "prohibit" and _covers(grant, record) and _overlaps(rule, use):
                return Denial(DenyReason.PROHIBITED, f"rule {index} of {grant_id} prohibits it", subject_id, grant_id)
    nearest = Denial(DenyReason.NO_GRANT, f"no grant of {subject_id} is recorded", subject_id)
    for grant_id in _counting(subject_id, record, state):
        answer = _ask(grant_id, record, use, state, at)
        if isinstance(answer, Justification):
            return answer
        if _NEARNESS.index(answer.reason) > _NEARNESS.index(nearest.reason):
            nearest = answer
    return nearest


def _ask(grant_id: str, record: ConsentRecord, use: Use, state: ConsentState, at: datetime) -> Justification | Denial:
    """Does this one grant permit? The justification that lasts longest, else the first thing in the way."""
    held = state.grants[grant_id]
    grant = held.grant

    def denied(reason: DenyReason, detail: str) -> Denial:
        return Denial(reason, detail, grant.subject_id, grant_id)

    if held.ended is not None:
        return denied(held.ended, f"{grant_id} was {held.ended}")
    if at < grant.valid_from:
        return denied(DenyReason.NOT_YET_VALID, f"{grant_id} begins at {grant.valid_from.isoformat()}")
    if at >= grant.valid_until:
        return denied(DenyReason.EXPIRED, f"{grant_id} ended at {grant.valid_until.isoformat()}")
    if not _covers(grant, record):
        return denied(DenyReason.OUT_OF_SCOPE, f"{grant_id} does not cover this recording")
    permits = [
        (min(rule.durable_until or grant.valid_until, datetime.max.replace(tzinfo=at.tzinfo)), index)
        for index, rule in enumerate(grant.rules)
        if rule.effect == "permit" and _permits(rule, use)
    ]
    if not permits:
        return denied(DenyReason.NOT_PERMITTED, f"{grant_id} does not permit `{use.action}` so")
    until, index = max(permits, key=lambda permit: (permit[0], -permit[1]))
    if use.until > until:
        return denied(DenyReason.TOO_LATE, f"{grant_id} permits it until {until.isoformat()} at the latest")
    return Justification(grant.subject_id, grant_id, index, until, grant.valid_until)


def _covers(grant: Grant, record: ConsentRecord) -> bool:
    scope = grant.scope
    if scope.kind == "all":
        return True
    if scope.kind == "recordings":
        return any((r.root, r.path) == (record.source_root, record.source_path) for r in scope.recordings)
    if record.collected_at is None or scope.collected_from is None or scope.collected_until is None:
        return False
    return scope.collected_from <= record.collected_at < scope.collected_until


def _permits(rule: Rule, use: Use) -> bool:
    """The rule names every term of the request, or `any`; a request for `any` needs a rule that says `any`."""
    if ANY not in rule.action and use.action not in rule.action:
        return False
    return all(ANY in (listed := getattr(rule, term)) or getattr(use, term) in listed for term in TERMS)


def _overlaps(rule: Rule, use: Use) -> bool:
    """Some use that the request asks for falls under the rule."""
    if ANY not in rule.action and use.action not in rule.action:
        return False
    pairs = ((getattr(rule, term), getattr(use, term)) for term in TERMS)
    return all(ANY in listed or asked == ANY or asked in listed for listed, asked in pairs)


def ingest_use(action: Action, at: datetime, breadth: str = ANY) -> Use:
    """The request of gate 1: to keep or to annotate, now, whatever it may later be used for."""
    return Use(
        action=action,
        medium=breadth,
        genre=breadth,
        series=breadth,
        role=breadth,
        recipient=breadth,
        territory=breadth,
        until=at,
    )
