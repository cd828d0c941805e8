"""Builders of grants, rules and events with few words, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from schemas.consent import TERMS, ConsentRecord, DataScope, Grant, Rule, Use
from schemas.ledger import Event, EventType
from transforms.consent import ConsentState, fold

NOW = datetime(2026, 6, 1, tzinfo=UTC)
EVIDENCE = "0" * 64


def rule(effect: str = "permit", action: Sequence[str] = ("any",), **terms: Any) -> Rule:
    """A rule that says `any` wherever it is not told otherwise."""
    listed = {term: terms.pop(term, ("any",)) for term in TERMS}
    return Rule.model_validate({"effect": effect, "action": action, **listed, **terms})


def grant(subject: str = "anna", grant_id: str = "", rules: Sequence[Rule] = (), **fields: Any) -> Grant:
    """A grant valid through 2026 for everything, unless told otherwise."""
    values = {
        "valid_from": datetime(2026, 1, 1, tzinfo=UTC),
        "valid_until": datetime(2027, 1, 1, tzinfo=UTC),
        "scope": DataScope(kind="all"),
        **fields,
    }
    return Grant(
        grant_id=grant_id or f"g-{subject}",
        subject_id=subject,
        evidence_sha256=EVIDENCE,
        jurisdiction="EU",
        rules=tuple(rules) or (rule(),),
        **values,
    )


def given(one: Grant, recorded_at: datetime = NOW) -> Event:
    return Event(
        event_id=f"given-{one.grant_id}",
        type=EventType.GIVEN,
        recorded_at=recorded_at,
        subject_id=one.subject_id,
        grant_id=one.grant_id,
        grant=one,
    )


def ended(subject: str, grant_id: str | None = None, how: EventType = EventType.WITHDRAWN, name: str = "") -> Event:
    name = name or f"{how}-{subject}-{grant_id}"
    return Event(event_id=name, type=how, recorded_at=NOW, subject_id=subject, grant_id=grant_id)


def state_of(*events: Event) -> ConsentState:
    return fold(enumerate(events, 1))


def record(*subjects: str, complete: bool = True, **fields: Any) -> ConsentRecord:
    return ConsentRecord(subjects, complete, fields.pop("root", "r"), fields.pop("path", "p.wav"), **fields)


def use(action: str = "train_asr", until: datetime = NOW, **terms: str) -> Use:
    """A narrow request: `x` for every term that is not named."""
    return Use.model_validate({"action": action, "until": until, **{term: terms.get(term, "x") for term in TERMS}})
