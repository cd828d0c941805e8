"""What `provoice consent` does: reads grants a person has written down, appends them, and shows where each stands."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from lake.lake import Lake
from pipelines.grants import read_events
from provoice.words import several
from schemas.consent import Grant
from schemas.errors import ConfigError
from schemas.instants import to_text
from schemas.ledger import Event, EventType
from transforms.consent import ConsentState, GrantState, fold


def import_files(lake_uri: str, files: Sequence[str], *, ledger: str | None, dry_run: bool) -> str:
    """Appends what is new in `files`, and says what changed. Raises ConfigError naming file and line."""
    now = datetime.now(UTC)
    events = [event for name in files for event in read_events(Path(name), now)]
    if dry_run and not Lake.exists(lake_uri):
        state = ConsentState()
    else:
        lake = Lake.create_or_open(lake_uri, ledger)
        state = fold(lake.ledger().events())
    fresh = _fresh(events, state)
    said = _said(fresh, len(events) - len(fresh))
    if dry_run:
        return f"would append {said}; nothing was written\n"
    if fresh:
        position = lake.ledger().append(fresh)
        return f"appended {said}; the ledger of {lake.root.uri} stands at position {position}\n"
    return f"nothing new: all {several(len(events), 'event')} are in the ledger already\n"


def _fresh(events: Sequence[Event], state: ConsentState) -> list[Event]:
    """Events that the ledger does not hold; refuses what contradicts it."""
    fresh: dict[str, Event] = {}
    grants = {name: held.grant for name, held in state.grants.items()}
    for event in events:
        if event.event_id in state.seen or event.event_id in fresh:
            continue
        if event.grant is not None:
            known = grants.setdefault(event.grant.grant_id, event.grant)
            if known != event.grant:
                raise ConfigError(
                    f"grant {event.grant.grant_id} is in the ledger with other words; a grant is never edited: "
                    "withdraw it, and give a new one under a new grant_id"
                )
        elif event.grant_id is not None:
            _check_theirs(event, grants)
        fresh[event.event_id] = event
    return list(fresh.values())


def _check_theirs(event: Event, grants: Mapping[str, Grant]) -> None:
    """Refuses a word about a grant that is nobody's, or another's: it would be recorded and end nothing."""
    said = f"event {event.event_id} (`{event.type}`) speaks about grant {event.grant_id}"
    grant = grants.get(event.grant_id or "")
    if grant is None:
        raise ConfigError(f"{said}, which is not in the ledger")
    if event.subject_id is not None and event.subject_id != grant.subject_id:
        raise ConfigError(f"{said}, which is not {event.subject_id}'s but {grant.subject_id}'s")


def _said(events: Sequence[Event], known: int) -> str:
    kinds = [kind for kind in EventType if any(event.type is kind for event in events)]
    counts = ", ".join(f"{sum(e.type is kind for e in events)} {kind.value}" for kind in kinds)
    people = len({event.subject_id for event in events if event.subject_id})
    text = f"{several(len(events), 'event')}" + (
        f" ({counts}) about {several(people, 'person', 'people')}" if events else ""
    )
    return text + (f"; {known} known already" if known else "")


def withdraw(lake_uri: str, subject: str, grant: str | None, note: str | None) -> str:
    """Appends the withdrawal; also of a person the ledger has not heard of, for then it denies what may come."""
    if not subject.strip():
        raise ConfigError("--subject is empty: say who withdraws")
    ledger = Lake.open(lake_uri).ledger()
    state = fold(ledger.events())
    theirs = state.grants_of.get(subject, [])
    if grant is not None and grant not in theirs:
        known = ", ".join(theirs) or "none"
        raise ConfigError(f"{subject} has no grant {grant} in the ledger; theirs: {known}")
    event = Event(
        event_id=uuid.uuid4().hex,
        type=EventType.WITHDRAWN,
        recorded_at=datetime.now(UTC),
        subject_id=subject,
        grant_id=grant,
        note=note,
    )
    position = ledger.append([event])
    ended = [g for g in ([grant] if grant else theirs) if state.grants[g].ended is None]
    return (
        f"withdrawn at position {position}: {', '.join(ended) or 'no grant was open'}; "
        f"from now on nothing of {subject} is prepared or released on {'it' if grant else 'any of them'}\n"
    )


def show(lake_uri: str, subject: str | None, as_json: bool) -> str:
    """Grants and their standing now, one line or one JSON object each."""
    state = fold(Lake.open(lake_uri).ledger().events())
    now = datetime.now(UTC)
    held = [g for g in state.grants.values() if subject is None or g.grant.subject_id == subject]
    if as_json:
        return "".join(
            json.dumps({**g.grant.model_dump(mode="json"), "standing": _standing(g, now)}) + "\n" for g in held
        )
    if not held:
        whom = subject or "anybody"
        last = f"; their last word is `{state.ended_subjects[subject]}`" if subject in state.ended_subjects else ""
        return f"no grant of {whom} is recorded (ledger position {state.position}){last}\n"
    lines = [_line(g, now) for g in sorted(held, key=lambda g: (g.grant.subject_id, g.grant.grant_id))]
    return "\n".join(lines) + f"\nledger position {state.position}\n"


def _standing(held: GrantState, now: datetime) -> str:
    if held.ended is not None:
        return held.ended.value
    if now < held.grant.valid_from:
        return "not_yet_valid"
    return "expired" if now >= held.grant.valid_until else "valid"


def _line(held: GrantState, now: datetime) -> str:
    grant = held.grant
    rules = "; ".join(f"{rule.effect}s {', '.join(rule.action)}" for rule in grant.rules)
    window = f"{to_text(grant.valid_from)} to {to_text(grant.valid_until)}"
    return f"{grant.subject_id}  {grant.grant_id}  {_standing(held, now)}  {window}  {rules}"
