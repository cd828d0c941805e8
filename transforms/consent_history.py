"""The fold of the ledger, and beside it where each thing was said, which an explanation names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from schemas.ledger import ENDS_GRANT, Event, EventType
from transforms.consent_state import ConsentState


@dataclass(frozen=True, slots=True)
class Said:
    """Where in the ledger something was said, and when it was recorded."""

    position: int
    at: datetime
    type: EventType
    note: str | None = None


@dataclass(slots=True)
class ConsentHistory:
    """The state after some events, and the event behind each part of it."""

    state: ConsentState = field(default_factory=ConsentState)
    given: dict[str, Said] = field(default_factory=dict)
    """By grant_id."""
    ended: dict[str, Said] = field(default_factory=dict)
    """By grant_id: the ending that counts, which may stand before the giving."""
    last_word: dict[str, Said] = field(default_factory=dict)
    """By subject: their newest ending."""
    catalogue: dict[tuple[str, str], Said] = field(default_factory=dict)
    """By root and path: the newest change of the catalogue row."""
    vocabulary: Said | None = None

    def apply(self, position: int, event: Event) -> None:
        """Adds the event at `position` (the first is 1)."""
        is_repeated = event.event_id in self.state.seen
        self.state.apply(position, event)
        if is_repeated:
            return
        said = Said(position, event.recorded_at, event.type, event.note)
        if event.type is EventType.GIVEN and event.grant is not None:
            self.given.setdefault(event.grant.grant_id, said)
        elif event.type in ENDS_GRANT and event.subject_id is not None:
            self._end(event.subject_id, event.grant_id, said)
        elif event.type is EventType.VOCABULARY:
            self.vocabulary = said
        elif event.type is EventType.CATALOGUE_CHANGED and event.source_root and event.source_path is not None:
            self.catalogue[event.source_root, event.source_path] = said

    def _end(self, subject_id: str, grant_id: str | None, said: Said) -> None:
        self.last_word[subject_id] = said
        theirs = self.state.grants_of.get(subject_id, [])
        for ended in theirs if grant_id is None else [grant_id]:
            # One that is not given yet is ended by this as soon as it is; another's grant never.
            held = self.state.grants.get(ended)
            if held is None or held.grant.subject_id == subject_id:
                self.ended.setdefault(ended, said)


def follow(events: Iterable[tuple[int, Event]]) -> ConsentHistory:
    """The history of `events`, which are (position, event) pairs in order."""
    history = ConsentHistory()
    for position, event in events:
        history.apply(position, event)
    return history
