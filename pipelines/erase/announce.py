"""What an erasure says in the ledger about the people whom it is about."""

from __future__ import annotations

import hashlib
from datetime import datetime

from lake.lake import Lake
from pipelines.erase.record import Started
from schemas.ledger import Event, EventType


def announce(lake: Lake, started: Started, kind: EventType, at: datetime, note: str | None = None) -> None:
    """One event for each of them, but for what was said before: who goes on where another stopped says it once."""
    ledger = lake.ledger()
    known = {event.event_id for _, event in ledger.events_about(started.subjects, ())}
    events = [
        Event(event_id=name, type=kind, recorded_at=at, subject_id=subject, note=note)
        for subject in started.subjects
        if (name := _name(kind, started.number, subject)) not in known
    ]
    if events:
        ledger.append(events)


def _name(kind: EventType, number: int, subject: str) -> str:
    """By what it says."""
    return hashlib.sha256(repr((kind.value, number, subject)).encode()).hexdigest()[:32]
