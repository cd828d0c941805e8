"""Worlds to decide in: small ledgers, the records and uses asked about, at random.

A batch is one ledger of many worlds that share nothing but the vocabulary, so that the evaluator decides them all at
once while the reference looks at each world's own few events.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from schemas.consent import TERMS, ConsentRecord, DataScope, Justification, Rule, Use
from schemas.consent_tables import CONSENT_RECORDS_SCHEMA, EVENTS_SCHEMA
from schemas.ids import source_id
from schemas.ledger import Event, EventType
from schemas.vocabulary import Facet, Term, Vocabulary
from tests.consents import NOW, ended, given, grant, rule

TICK = timedelta(microseconds=1)
INSTANTS = (NOW - timedelta(days=30), NOW - TICK, NOW, NOW + TICK, NOW + timedelta(days=30))
DIGESTS = (None, "d1", "d2")
ENDINGS = (EventType.WITHDRAWN, EventType.REFUSED, EventType.INVALIDATED)

Answer = tuple[str | None, str | None, str | None, tuple[Justification, ...]]
Reference = Callable[[ConsentRecord, Use, Sequence[Event], datetime], Any]
Evaluator = Callable[..., pa.Table]


@dataclass
class World:
    """Some people's events, and records of theirs."""

    events: list[Event] = field(default_factory=list)
    records: list[ConsentRecord] = field(default_factory=list)


@dataclass
class Batch:
    """Worlds beside each other, asked about one use at one instant. `spoken`: vocabulary events, before all others."""

    spoken: list[Event]
    worlds: list[World]
    use: Use
    at: datetime

    @property
    def events(self) -> list[Event]:
        return [*self.spoken, *(event for world in self.worlds for event in world.events)]

    @property
    def records(self) -> list[ConsentRecord]:
        return [record for world in self.worlds for record in world.records]


# --- as tables --------------------------------------------------------------------------------------------------------


def events_table(events: Iterable[Event], after: int = 0) -> pa.Table:
    """The events as EVENTS_SCHEMA, the first at position `after` + 1."""
    rows = [_event_row(number, event) for number, event in enumerate(events, after + 1)]
    return pa.Table.from_pylist(rows, schema=EVENTS_SCHEMA)


def _event_row(position: int, event: Event) -> dict[str, Any]:
    row = {name: getattr(event, name) for name in EVENTS_SCHEMA.names if name in Event.model_fields}
    row |= {"position": position, "type": event.type.value, "release": None, "grant": None, "vocabulary": None}
    if event.vocabulary is not None:
        row["vocabulary"] = event.vocabulary.model_dump_json()
    if event.grant is not None:
        held = event.grant.model_dump(exclude={"scope", "grant_id", "subject_id"})
        scope = event.grant.scope.model_dump()
        row["grant"] = {**held, **scope, "scope": scope["kind"]}
    return row


def records_table(records: Sequence[ConsentRecord]) -> pa.Table:
    """The records as CONSENT_RECORDS_SCHEMA."""
    columns = {
        "subject_ids": [list(record.subject_ids) for record in records],
        "complete": [record.complete for record in records],
        "source_id": [source_id(record.source_root, record.source_path) for record in records],
        "collected_at": [record.collected_at for record in records],
        "grant_ids": [list(record.grant_ids) for record in records],
        "catalogue_row_sha256": [record.catalogue_row_sha256 for record in records],
    }
    return pa.table(columns, schema=CONSENT_RECORDS_SCHEMA)


def answers_in(decisions: pa.Table) -> Iterator[Answer]:
    """The rows of a table of decisions as `decide_reference` puts them."""
    for row in decisions.to_pylist():
        found = tuple(Justification(**one) for one in row["justifications"])
        assert row["allowed"] == (row["reason"] is None)
        yield row["reason"], row["denied_subject"], row["denied_grant"], found


def disagreements(batch: Batch, reference: Reference, tables: Any, decide_table: Evaluator) -> list[tuple[Any, ...]]:
    """(record, what the reference says, what the evaluator says) wherever they differ, in reason, subject, grant, any
    justification or the end; `tables` are the fold of the batch's events."""
    decided = decide_table(records_table(batch.records), batch.use, tables, batch.at)
    said = zip(answers_in(decided), decided["allowed_until"].to_pylist(), strict=True)
    found = []
    for world in batch.worlds:
        events = [*batch.spoken, *world.events]
        for record in world.records:
            expected = reference(record, batch.use, events, batch.at)
            ends = min([one.ends_at for one in expected[3]] + [batch.use.until]) if expected[0] is None else None
            answer = next(said)
            if answer != (expected, ends):
                found.append((record, (expected, ends), answer))
    return found


# --- at random --------------------------------------------------------------------------------------------------------

TREE = Facet(
    source="a tree",
    terms={"x": Term(), "y": Term(), "xa": Term(broader=("x",)), "xb": Term(broader=("x",))}
    | {"xab": Term(broader=("xa", "xb")), "yx": Term(broader=("y", "x"))},
)
BEGINNINGS = Facet(
    source="codes like Thema's",
    narrower="prefix",
    pattern="F[A-Z]{1,4}",
    terms={"F": Term(), "FB": Term(), "FBA": Term(), "G": Term(), "GX": Term(broader=("FB",))},
)
DASHES = Facet(
    source="codes like ISO 3166's",
    narrower="dash",
    pattern="DE-[A-Z]{2}",
    terms={"EU": Term(), "EEA": Term(), "DE": Term(broader=("EU", "EEA")), "NO": Term(broader=("EEA",))}
    | {"DE-BY": Term(), "DE-BY-M": Term()},
)
WORDS = {
    "tree": ("x", "y", "xa", "xb", "xab", "yx", "zzz"),
    "beginnings": ("F", "FB", "FBA", "FBAX", "FC", "G", "GX", "FBAXYZ"),
    "dashes": ("EU", "EEA", "DE", "NO", "DE-BY", "DE-BY-M", "DE-HH", "DEX"),
}
KIND = dict(zip(TERMS, ("tree", "beginnings", "tree", "tree", "tree", "dashes"), strict=True))
FACETS = {"tree": TREE, "beginnings": BEGINNINGS, "dashes": DASHES}


def random_vocabulary(chance: random.Random, version: str = "1", lacking: float = 0.06) -> Vocabulary:
    """Every facet; `lacking` is the share of those that lack one of their terms, and of versions that lack actions."""
    facets = {name: FACETS[kind] for name, kind in KIND.items()}
    for name, facet in facets.items():
        if chance.random() < lacking:
            gone = chance.choice(list(facet.terms))
            terms = {
                term: Term(broader=tuple(b for b in about.broader if b != gone))
                for term, about in facet.terms.items()
                if term != gone
            }
            facets[name] = facet.model_copy(update={"terms": terms})
    actions = tuple(chance.choice([["train_asr", "evaluate"], ["evaluate"]])) if chance.random() < lacking else None
    return Vocabulary(version=version, **({"actions": actions} if actions else {}), **facets)


def _spoken(chance: random.Random) -> list[Event]:
    """No vocabulary, one, several, and one that is said again under the same event id."""
    count = chance.choice([0, *[1] * 8, 2, 2, 3])
    return [
        Event(
            event_id=f"vocabulary-{chance.randint(0, 4)}",
            type=EventType.VOCABULARY,
            recorded_at=NOW,
            vocabulary=random_vocabulary(chance, str(n), 0.06 if count == 1 else 0.25),
        )
        for n in range(count)
    ]


def random_use(chance: random.Random) -> Use:
    """Concrete in one or two facets; now and then in all, or for the whole breadth."""
    concrete = chance.choice([(), (), *[tuple(chance.sample(TERMS, k)) for k in (1, 1, 1, 2, 2, 6)]])
    # The last words of each are unknown ones: rarely asked for.
    words = {name: WORDS[KIND[name]][: None if chance.random() < 0.03 else -1] for name in TERMS}
    terms = {name: chance.choice(words[name]) if name in concrete else "any" for name in TERMS}
    return Use(action=chance.choice(["train_asr", "train_asr", "evaluate"]), until=chance.choice(INSTANTS), **terms)


def _random_words(chance: random.Random, name: str, use: Use) -> list[str]:
    asked = getattr(use, name)
    if chance.random() < (0.95 if asked == "any" else 0.3):
        return ["any"]
    pool = [*WORDS[KIND[name]], "any", *([asked] * 4 if asked != "any" else [])]
    return [chance.choice(pool) for _ in range(chance.choice([1, 1, 2, 3]))]


def random_rule(chance: random.Random, use: Use) -> Rule:
    """One that is likely to have to do with `use`."""
    actions: list[list[str]] = [["any"], [use.action], ["train_asr", "evaluate"], ["evaluate"]]
    return rule(
        "prohibit" if chance.random() < 0.12 else "permit",
        chance.choice(actions),
        durable_until=chance.choice([None, None, INSTANTS[-1], *INSTANTS]),
        **{name: _random_words(chance, name, use) for name in TERMS},
    )


def _random_scope(chance: random.Random, tag: str) -> DataScope:
    kind = chance.choice(["all", "all", "all", "recordings", "collected"])
    if kind == "recordings":
        listed = [
            {"root": "r", "path": f"{tag}{name}"} for name in chance.sample(["p", "q", "s"], chance.choice([1, 2]))
        ]
        return DataScope.model_validate({"kind": kind, "recordings": listed})
    if kind == "collected":
        begin, end = sorted(chance.sample(INSTANTS, 2))
        return DataScope(kind="collected", collected_from=begin, collected_until=end)
    return DataScope(kind="all")


def random_event(chance: random.Random, use: Use, tag: str, number: int, kinds: str = "gggggggeec") -> Event:
    """A grant, an ending or a changed catalogue row, of one of three people; ids repeat now and then."""
    subject = f"{tag}{chance.choice(['anna', 'anna', 'bert', 'bert', 'cleo'])}"
    event_id = f"{tag}e{number}" if chance.random() < 0.93 else f"{tag}e{chance.randint(0, 6)}"
    kind = chance.choice(kinds)
    if kind == "g":
        begin, end = chance.choice([(INSTANTS[0], INSTANTS[-1])] * 3 + [tuple(sorted(chance.sample(INSTANTS, 2)))])
        rules = [random_rule(chance, use) for _ in range(chance.choice([1, 1, 2, 3]))]
        held = grant(
            subject, f"{tag}g{chance.randint(0, 9)}", rules, valid_from=begin, valid_until=end,
            scope=_random_scope(chance, tag),
        )  # fmt: skip
        return given(held).model_copy(update={"event_id": event_id})
    if kind == "e":
        named = chance.choice([None, *(f"{tag}g{n}" for n in range(10))])
        return ended(subject, named, chance.choice(ENDINGS), name=event_id)
    return Event(
        event_id=event_id,
        type=EventType.CATALOGUE_CHANGED,
        recorded_at=NOW,
        source_root=chance.choice(["r", "r", "other"]),
        source_path=f"{tag}{chance.choice(['p', 'q'])}",
        catalogue_row_sha256=chance.choice([*DIGESTS, "d1", "d1"]),
    )


def random_record(chance: random.Random, tag: str) -> ConsentRecord:
    people = [f"{tag}{name}" for name in ("anna", "bert", *(["cleo", "dora"] if chance.random() < 0.2 else []))]
    count = 0 if chance.random() < 0.02 else min(len(people), chance.choice([1, 1, 1, 1, 2, 2, 3]))
    narrowed = chance.choice([(), (), (), (), (), (1,), (0, 2, 4, 6, 8), (1, 3, 5, 7), (20,)])
    return ConsentRecord(
        tuple(chance.sample(people, count)),
        chance.random() < 0.98,
        "r",
        f"{tag}{chance.choice(['p', 'p', 'q', 's'])}",
        collected_at=chance.choice([None, *INSTANTS]),
        grant_ids=tuple(f"{tag}g{n}" for n in narrowed),
        catalogue_row_sha256=chance.choice([None, "d1", "d1"]),
    )


def random_batch(chance: random.Random, worlds: int = 20, records: int = 10) -> Batch:
    """One use at one instant over `worlds` small ledgers, `records` asked about in each."""
    use = random_use(chance)
    at = chance.choice([instant for instant in INSTANTS if instant <= use.until or chance.random() < 0.05] or INSTANTS)
    batch = Batch(_spoken(chance), [], use, at)
    for number in range(worlds):
        tag = f"{number}."
        events = [random_event(chance, use, tag, n) for n in range(chance.choice([1, 2, 3, 4, 5, 6, 8, 10]))]
        batch.worlds.append(World(events, [random_record(chance, tag) for _ in range(records)]))
    return batch
