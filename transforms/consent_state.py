"""What the ledger says, folded: grants and what ended them, catalogue rows that changed, the vocabulary in force."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from schemas.consent import DenyReason, Grant
from schemas.ledger import ENDS_GRANT, Event, EventType
from schemas.vocabulary import Vocabulary

_ENDED_AS = {
    EventType.WITHDRAWN: DenyReason.WITHDRAWN,
    EventType.REFUSED: DenyReason.REFUSED,
    EventType.INVALIDATED: DenyReason.INVALIDATED,
}


@dataclass(slots=True)
class GrantState:
    """A grant, and what ended it, if anything did."""

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
    ended_early: dict[tuple[str, str], DenyReason] = field(default_factory=dict)
    """(subject, grant_id) that was ended before it was given: the order of recording makes no yes out of a no."""
    catalogue_rows: dict[tuple[str, str], str | None] = field(default_factory=dict)
    """Newest catalogue digest per (root, path), for sources whose row has changed."""
    vocabulary: Vocabulary | None = None
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
        elif event.type is EventType.VOCABULARY:
            self.vocabulary = event.vocabulary
        elif event.type is EventType.CATALOGUE_CHANGED:
            self.catalogue_rows[event.source_root or "", event.source_path or ""] = event.catalogue_row_sha256

    def _give(self, grant: Grant) -> None:
        # An ended grant stays ended, and a grant is never edited: a new yes is a new grant_id.
        if grant.grant_id in self.grants:
            return
        ended = self.ended_early.get((grant.subject_id, grant.grant_id))
        self.grants[grant.grant_id] = GrantState(grant, ended)
        self.grants_of.setdefault(grant.subject_id, []).append(grant.grant_id)
        if ended is None:
            self.ended_subjects.pop(grant.subject_id, None)

    def _end(self, subject_id: str, grant_id: str | None, reason: DenyReason) -> None:
        theirs = self.grants_of.get(subject_id, [])
        if grant_id is not None and grant_id not in theirs:
            self.ended_early.setdefault((subject_id, grant_id), reason)
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
