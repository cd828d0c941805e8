"""All small worlds: up to three people with two grants of two rules each, asked six uses at four instants."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import chain, combinations_with_replacement, product
from typing import Any

from schemas.consent import TERMS, ConsentRecord, Rule, Use
from schemas.ledger import Event, EventType
from schemas.vocabulary import Vocabulary
from tests.consents import NOW, given, grant, rule
from tests.transforms.consent_cases import INSTANTS, TICK, TREE, Batch, World

_RULES = (
    rule(genre=["x"], medium=["any"], durable_until=INSTANTS[-1]),
    rule(action=["train_asr"], genre=["xa", "y"]),
    rule("prohibit", genre=["xb"]),
)
_FOUR = (INSTANTS[0], NOW - TICK, NOW, INSTANTS[-1])
_WINDOWS = ((_FOUR[0], _FOUR[2]), (_FOUR[1], _FOUR[3]))
_SPEECH = Vocabulary(version="1", **dict.fromkeys(TERMS, TREE))


def small_questions() -> list[tuple[Use, datetime]]:
    """Six uses at four instants, each of which is a boundary of a grant's window."""
    asked: list[dict[str, Any]] = [{"genre": genre} for genre in ("x", "xa", "xb", "any", "yx")]
    uses = [{"action": "train_asr", "until": _FOUR[3], **one} for one in asked]
    uses.append({"action": "evaluate", "until": _FOUR[1], "genre": "xa"})
    return [(Use(**{**dict.fromkeys(TERMS, "any"), **one}), at) for one in uses for at in _FOUR]


def small_worlds(take: Callable[[int], bool]) -> list[World]:
    """Every world of one or two people with up to two grants of one or two rules, and, without regard to the order of
    rules and grants, every world of three; those whose number `take` takes."""
    ordered = [(one,) for one in _RULES] + list(product(_RULES, repeat=2))
    unordered = [(one,) for one in _RULES] + [(_RULES[0], _RULES[1]), (_RULES[0], _RULES[2]), (_RULES[1], _RULES[2])]
    people = [(), *((held,) for held in ordered), *product(ordered, repeat=2)]
    few = [(), *((held,) for held in unordered), *combinations_with_replacement(unordered, 2)]
    every = chain(product(people), product(people, repeat=2), combinations_with_replacement(few, 3))
    return [_small_world(f"{number}.", of) for number, of in enumerate(every) if take(number)]


def _small_world(tag: str, people: Sequence[Sequence[Sequence[Rule]]]) -> World:
    events = []
    for name, held in zip("abc", people, strict=False):
        for number, rules in enumerate(held):
            begin, end = _WINDOWS[number]
            one = grant(f"{tag}{name}", f"{tag}{name}{number}", rules, valid_from=begin, valid_until=end)
            events.append(given(one))
    names = tuple(f"{tag}{name}" for name in "abc"[: len(people)])
    return World(events, [ConsentRecord(names, True, "r", f"{tag}p")])


def small_batches(worlds: list[World]) -> Iterator[Batch]:
    """The worlds, asked every question."""
    spoken = [Event(event_id="spoken", type=EventType.VOCABULARY, recorded_at=NOW, vocabulary=_SPEECH)]
    for use, at in small_questions():
        yield Batch(spoken, worlds, use, at)
