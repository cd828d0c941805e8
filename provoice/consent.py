"""What `provoice consent` does beside importing: records a withdrawal, and shows where each grant stands."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime

from lake.lake import Lake
from pipelines.notices.tell import tell_if_possible
from pipelines.notices.webhook import check_environment
from provoice.consent_import import import_files
from provoice.notices import said
from schemas.errors import ConfigError
from schemas.instants import to_text
from schemas.ledger import Event, EventType
from transforms.consent import GrantState, fold

__all__ = ["import_files", "show", "withdraw"]


def withdraw(lake_uri: str, subject: str, grant: str | None, note: str | None) -> str:
    """Appends the withdrawal; also of a person the ledger has not heard of, for then it denies what may come."""
    if not subject.strip():
        raise ConfigError("--subject is empty: say who withdraws")
    check_environment()
    lake = Lake.open(lake_uri)
    ledger = lake.ledger()
    state = fold(ledger.events_about([subject], ()))
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
        + _told(lake, event.recorded_at)
    )


def _told(lake: Lake, now: datetime) -> str:
    """Tells those who trained on what was taken back. It is taken back whether or not they can be told."""
    told = tell_if_possible(lake, now)
    if told.failed:
        return f"nobody was told yet: {told.failed}; `provoice notify` does that\n"
    return "".join(f"{line}\n" for line in said(told)) if told.written or told.unsent else ""


def show(lake_uri: str, subject: str | None, as_json: bool) -> str:
    """Grants and their standing now, one line or one JSON object each."""
    ledger = Lake.open(lake_uri).ledger()
    state = fold(ledger.events() if subject is None else ledger.events_about([subject], ()))
    position = ledger.position
    now = datetime.now(UTC)
    held = [g for g in state.grants.values() if subject is None or g.grant.subject_id == subject]
    if as_json:
        return "".join(
            json.dumps({**g.grant.model_dump(mode="json"), "standing": _standing(g, now)}) + "\n" for g in held
        )
    if not held:
        whom = subject or "anybody"
        last = f"; their last word is `{state.ended_subjects[subject]}`" if subject in state.ended_subjects else ""
        return f"no grant of {whom} is recorded (ledger position {position}){last}\n"
    lines = [_line(g, now) for g in sorted(held, key=lambda g: (g.grant.subject_id, g.grant.grant_id))]
    return "\n".join(lines) + f"\nledger position {position}\n"


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
