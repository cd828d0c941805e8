"""Builders of grants, rules and events with few words, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from schemas.consent import TERMS, ConsentRecord, DataScope, Grant, Rule, Use
from schemas.ledger import Event, EventType
from schemas.vocabulary import Facet, Term, Vocabulary
from transforms.consent import ConsentState, fold

NOW = datetime(2026, 6, 1, tzinfo=UTC)
EVIDENCE = "0" * 64


def _facet() -> Facet:
    """`x`, `y` and `z` side by side; `xa` and `xb` within `x`, `xab` within both; `news` and `verse` for themselves."""
    narrower = {"xa": ("x",), "xb": ("x",), "xab": ("xa", "xb")}
    names = ("x", "y", "z", "news", "verse")
    terms = {name: Term() for name in names} | {name: Term(broader=above) for name, above in narrower.items()}
    return Facet(source="these tests", terms=terms)


VOCABULARY = Vocabulary(version="test", **{facet: _facet() for facet in TERMS})
"""The same small tree of terms in every facet."""


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


def spoken(vocabulary: Vocabulary = VOCABULARY) -> Event:
    """The event that brings a vocabulary."""
    name = f"vocabulary-{vocabulary.version}"
    return Event(event_id=name, type=EventType.VOCABULARY, recorded_at=NOW, vocabulary=vocabulary)


def state_of(*events: Event, vocabulary: Vocabulary | None = VOCABULARY) -> ConsentState:
    """The fold of `events`, the first at position 1, for people who speak `vocabulary` from the beginning."""
    return fold(enumerate(events, 1), ConsentState(vocabulary=vocabulary))


def record(*subjects: str, complete: bool = True, **fields: Any) -> ConsentRecord:
    return ConsentRecord(subjects, complete, fields.pop("root", "r"), fields.pop("path", "p.wav"), **fields)


def use(action: str = "train_asr", until: datetime = NOW, **terms: str) -> Use:
    """A narrow request: `x` for every term that is not named."""
    return Use.model_validate({"action": action, "until": until, **{term: terms.get(term, "x") for term in TERMS}})
