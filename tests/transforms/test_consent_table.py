"""The laws of the decision over tables; what is folded, what is read, and what cannot be read."""

from __future__ import annotations

import random
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from schemas.consent import TERMS
from schemas.consent_tables import CONSENT_RECORDS_SCHEMA, DECISIONS_SCHEMA
from schemas.errors import ConsentError
from schemas.ids import source_id
from schemas.ledger import EventType
from tests.consents import NOW, ended, given, grant, record, rule, spoken, use
from tests.transforms.consent_cases import (
    ENDINGS,
    INSTANTS,
    TICK,
    events_table,
    random_batch,
    random_event,
    records_table,
)  # fmt: skip
from transforms.consent_table import ask, decide_asked, decide_table, tables_of
from transforms.consent_table.columns import source_ids

LATER = NOW + timedelta(days=1)
BATCHES = pytest.mark.parametrize("seed", range(12))


def decided(events, records, asked, at):
    tables = tables_of(events_table(events), len(events))
    return decide_table(records_table(records), asked, tables, at)


def allowed(events, records, asked, at):
    return np.asarray(decided(events, records, asked, at)["allowed"])


def decide_one(one, asked=None, at=NOW, events=(), **terms):
    events = [spoken(), *events]
    return decided(events, [one], asked or use(until=LATER, **terms), at).to_pylist()[0]


# --- laws -------------------------------------------------------------------------------------------------------------


@BATCHES
def test_without_a_grant_everything_is_denied(seed):
    batch = random_batch(random.Random(f"none {seed}"), worlds=10)
    events = [event for event in batch.events if event.type is not EventType.GIVEN]
    assert not allowed(events, batch.records, batch.use, batch.at).any()


@BATCHES
def test_what_is_said_against_it_never_allows(seed):
    chance = random.Random(f"against {seed}")
    batch = random_batch(chance, worlds=10)
    before = allowed(batch.events, batch.records, batch.use, batch.at)
    for world in batch.worlds:
        tag = world.events[0].event_id.split(".")[0] + "."
        person = f"{tag}{chance.choice(['anna', 'bert'])}"
        named = chance.choice([None, f"{tag}g1"])
        ending = ended(person, named, chance.choice(ENDINGS), name=f"{tag}more")
        against = grant(person, f"{tag}zz", [rule("prohibit", genre=["x", "FB"], action=[batch.use.action])])
        world.events.insert(chance.randint(0, len(world.events)), chance.choice([ending, given(against)]))
    after = allowed(batch.events, batch.records, batch.use, batch.at)
    assert not (after & ~before).any()


@BATCHES
def test_one_more_subject_never_allows(seed):
    batch = random_batch(random.Random(f"more {seed}"))
    more = [
        record(*one.subject_ids, one.source_path.split(".")[0] + ".anna", complete=one.complete, root="r",
               path=one.source_path, collected_at=one.collected_at, grant_ids=one.grant_ids,
               catalogue_row_sha256=one.catalogue_row_sha256)
        for one in batch.records
    ]  # fmt: skip
    before, after = (allowed(batch.events, records, batch.use, batch.at) for records in (batch.records, more))
    nobody = np.array([not one.subject_ids for one in batch.records])
    assert not (after & ~before & ~nobody).any()


def narrower(chance, batch):
    """The use with one term made narrower, or a shorter one."""
    vocabulary = next((event.vocabulary for event in reversed(batch.spoken)), None)
    facet = chance.choice([*TERMS, "until"])
    if facet == "until" or vocabulary is None:
        return batch.use.model_copy(update={"until": chance.choice([i for i in INSTANTS if i <= batch.use.until])})
    terms = vocabulary.facet(facet)
    within = [term for term in [*terms.terms, "FBAX", "DE-HH"] if terms.knows(term)]
    within = [term for term in within if getattr(batch.use, facet) in terms.covering(term)]
    return batch.use.model_copy(update={facet: chance.choice(within or [getattr(batch.use, facet)])})


@pytest.mark.parametrize("seed", range(25))
def test_a_narrower_use_stays_allowed(seed):
    chance = random.Random(f"narrow {seed}")
    batch = random_batch(chance, worlds=10)
    # Repeated vocabulary events do not count again, and here the newest is wanted.
    batch.spoken = batch.spoken[:1]
    asked = narrower(chance, batch)
    before, after = (allowed(batch.events, batch.records, one, batch.at) for one in (batch.use, asked))
    assert not (before & ~after).any() or asked.until < batch.at


@BATCHES
def test_the_same_position_and_instant_answer_the_same(seed):
    chance = random.Random(f"same {seed}")
    batch = random_batch(chance)
    events, records = events_table(batch.events), records_table(batch.records)
    asked = batch.use, tables_of(events, len(batch.events)), batch.at
    answer = decide_table(records, *asked)
    later = [random_event(chance, batch.use, "0.", 100 + n) for n in range(20)]
    more = tables_of(pa.concat_tables([events, events_table(later, after=events.num_rows)]), events.num_rows)
    assert decide_table(records, batch.use, more, batch.at).equals(answer)
    order = np.array(chance.sample(range(records.num_rows), records.num_rows))
    assert decide_table(records.take(pa.array(order)), *asked).equals(answer.take(pa.array(order)).combine_chunks())
    pieces = [decide_asked(records.slice(n, 7), ask(*asked)) for n in range(0, records.num_rows, 7)]
    assert pa.concat_tables(pieces).combine_chunks().equals(answer.combine_chunks())


# --- what is told -----------------------------------------------------------------------------------------------------


def test_a_decision_names_grant_rule_and_end():
    short = grant("anna", "g2", [rule("prohibit", ["clone"]), rule(durable_until=LATER)], valid_until=LATER + TICK)
    answer = decide_one(record("anna"), events=[given(short)])
    until = {"until": LATER, "ends_at": LATER + TICK}
    assert answer["justifications"] == [{"subject_id": "anna", "grant_id": "g2", "rule": 1, **until}]
    assert (answer["allowed"], answer["allowed_until"]) == (True, LATER)
    assert (answer["reason"], answer["denied_subject"], answer["denied_grant"]) == (None, None, None)


def test_the_first_of_several_reasons_is_told():
    events = [given(grant("anna", "g1")), given(grant("bert", "g2", [rule("prohibit")]))]
    answer = decide_one(record("bert", "anna", "cleo"), events=events)
    assert (answer["reason"], answer["denied_subject"], answer["denied_grant"]) == ("prohibited", "bert", "g2")
    assert (answer["allowed_until"], answer["justifications"]) == (None, [])
    assert decide_one(record("cleo", complete=False), events=events)["reason"] == "incomplete"


def test_positions_beyond_the_one_asked_for_are_not_read():
    events = [given(grant("anna")), ended("anna")]
    table = events_table(events)
    answers = [
        decide_table(records_table([record("anna")]), use(**dict.fromkeys(TERMS, "any")), tables_of(table, n), NOW)
        for n in (0, 1, 2)
    ]
    assert [answer["reason"].to_pylist() for answer in answers] == [["no_grant"], [None], ["withdrawn"]]
    assert tables_of(table, 1).position == 1


def test_events_may_lie_in_any_order():
    events = events_table([given(grant("anna")), ended("anna"), given(grant("anna", "g2"))])
    turned = events.take(pa.array([2, 0, 1]))
    tables = tables_of(turned, 3)
    assert tables.grants.ids.to_pylist() == ["g-anna", "g2"]
    assert tables.grants.ended.to_pylist() == ["withdrawn", None]


def test_nothing_decided_is_an_empty_table():
    tables = tables_of(events_table([]), 0)
    assert decide_table(CONSENT_RECORDS_SCHEMA.empty_table(), use(), tables, NOW).schema == DECISIONS_SCHEMA
    assert decide_one(record("anna"))["reason"] == "no_grant"


def test_sources_are_named_as_everywhere():
    roots, paths = ["podcasts", "", "ä", None, "r"], ["a/b.mp3", "x", "ü/" * 200, "p", None]
    ids = source_ids(pa.array(roots), pa.array(paths)).to_pylist()
    assert ids == [source_id(r, p) if None not in (r, p) else None for r, p in zip(roots, paths, strict=True)]


# --- what cannot be read ----------------------------------------------------------------------------------------------

TABLES = tables_of(events_table([spoken(), given(grant("anna"))]), 2)


def with_column(name, values, kind=None):
    table = records_table([record("anna")])
    place = table.schema.get_field_index(name)
    return table.set_column(place, name, pa.array([values], kind or table.schema.field(name).type))


def reason_for(table):
    return decide_table(table, use(), TABLES, NOW)["reason"].to_pylist()[0]


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("subject_ids", None, "no_subject"),
        ("subject_ids", [], "no_subject"),
        ("subject_ids", [None], "no_subject"),
        ("subject_ids", ["anna", None], "incomplete"),
        ("complete", None, "incomplete"),
        ("source_id", None, "catalogue_changed"),
        ("grant_ids", None, "no_grant"),
        ("grant_ids", [None], "no_grant"),
        ("grant_ids", ["g-anna "], "no_grant"),
        ("grant_ids", ["g-anna", None], None),
        ("subject_ids", ["anna", "anna"], None),
        ("subject_ids", ["Anna"], "no_grant"),
    ],
)
def test_what_is_not_stated_denies(column, value, reason):
    assert reason_for(with_column(column, value)) == reason


@pytest.mark.parametrize(
    ("column", "value", "kind"),
    [
        ("subject_ids", "anna", pa.string()),
        ("subject_ids", [1], pa.list_(pa.int64())),
        ("complete", 1.0, pa.float64()),
        ("complete", "true", pa.string()),
        ("collected_at", float("nan"), pa.float64()),
        ("collected_at", NOW.replace(tzinfo=None), pa.timestamp("us")),
        ("grant_ids", "g-anna", pa.string()),
        ("catalogue_row_sha256", 7, pa.int64()),
    ],
)
def test_a_column_of_another_type_is_refused(column, value, kind):
    with pytest.raises(ConsentError, match=column):
        reason_for(with_column(column, value, kind))


def test_a_missing_or_a_doubled_column_is_refused():
    table = records_table([record("anna")])
    for name in table.schema.names:
        with pytest.raises(ConsentError, match=name if name != "source_id" else "source_root"):
            reason_for(table.drop_columns([name]))
        with pytest.raises(ConsentError, match=name):
            reason_for(table.append_column(name, table[name]))


def test_the_same_values_stored_in_another_way_are_read():
    table = records_table([record("anna"), record("bert")])
    names = pa.list_(pa.dictionary(pa.int32(), pa.string()))
    table = table.set_column(0, "subject_ids", table["subject_ids"].cast(names))
    table = table.set_column(2, "source_id", table["source_id"].dictionary_encode())
    table = table.set_column(3, "collected_at", table["collected_at"].cast(pa.timestamp("ns", "UTC")))
    assert decide_table(table, use(), TABLES, NOW)["reason"].to_pylist() == [None, "no_grant"]


def damaged(events, part, value):
    """The events with one field of every grant replaced."""
    rows = events.to_pylist()
    for row in rows:
        if row["grant"]:
            held = row["grant"]
            at = held["rules"][0] if part in held["rules"][0] else held
            at[part] = value
    return pa.Table.from_pylist(rows, schema=events.schema)


@pytest.mark.parametrize(
    ("part", "value", "reason"),
    [
        ("effect", None, "prohibited"),
        ("effect", "PERMIT", "prohibited"),
        ("action", [], "not_permitted"),
        ("action", [None], "not_permitted"),
        ("genre", None, "not_permitted"),
        ("genre", ["qqq"], "not_permitted"),
        ("valid_from", None, "not_yet_valid"),
        ("valid_until", None, "expired"),
        ("scope", None, "expired"),
        ("scope", "everything", "expired"),
        ("scope", "recordings", "expired"),
        ("scope", "collected", "expired"),
        ("rules", [], "not_permitted"),
        ("rules", None, "not_permitted"),
    ],
)
def test_a_grant_that_cannot_be_read_permits_nothing(part, value, reason):
    events = damaged(events_table([spoken(), given(grant("anna"))]), part, value)
    answer = decide_table(records_table([record("anna")]), use(), tables_of(events, 2), NOW)
    assert answer["reason"].to_pylist() == [reason]


@pytest.mark.parametrize(
    ("part", "value"),
    [("action", []), ("action", ["qqq"]), ("genre", None), ("genre", [None]), ("scope", "qqq"), ("effect", "qqq"),
     ("valid_from", None), ("valid_until", None), ("scope", "collected"), ("scope", "recordings")],
)  # fmt: skip
def test_a_prohibition_that_cannot_be_read_prohibits(part, value):
    against = given(grant("anna", "g2", [rule("prohibit", genre=["x"])]))
    events = [*events_table([spoken(), given(grant("anna"))]).to_pylist(), *events_table([against], 2).to_pylist()]
    table = pa.Table.from_pylist(events, schema=events_table([]).schema)
    for_it, about = table.slice(0, 2), damaged(table.slice(2), part, value)
    tables = tables_of(pa.concat_tables([for_it, about]), 3)
    answer = decide_table(records_table([record("anna")]), use(), tables, NOW)
    assert answer["reason"].to_pylist() == ["prohibited"]


def test_a_vocabulary_that_cannot_be_read_is_an_error():
    rows = events_table([spoken()]).to_pylist()
    rows[0]["vocabulary"] = '{"version": "1"}'
    with pytest.raises(ConsentError, match="vocabulary"):
        tables_of(pa.Table.from_pylist(rows, schema=events_table([]).schema), 1)


# --- random damage ----------------------------------------------------------------------------------------------------


def harm(chance, row):
    """Damages a column without saying, in words that everybody reads so, that more is allowed."""
    people, grants, digest = row["subject_ids"], row["grant_ids"], row["catalogue_row_sha256"]
    name = chance.choice([*row])
    row[name] = {
        "subject_ids": chance.choice([None, [], [None], [*(people or []), None], [*(people or []), "dora"], ["nan"]]),
        "complete": chance.choice([None, False]),
        "collected_at": None,
        "source_id": None,
        "grant_ids": chance.choice([None, [None], ["qqq"], grants and grants[:1]]) or [""],
        "catalogue_row_sha256": chance.choice([digest, "swapped"]),
    }[name]


@BATCHES
def test_damage_to_records_never_allows(seed):
    chance = random.Random(f"damage {seed}")
    batch = random_batch(chance)
    before = allowed(batch.events, batch.records, batch.use, batch.at)
    rows = records_table(batch.records).to_pylist()
    for row in rows:
        for _ in range(chance.choice([1, 1, 2])):
            harm(chance, row)
    table = pa.Table.from_pylist(rows, schema=CONSENT_RECORDS_SCHEMA)
    tables = tables_of(events_table(batch.events), len(batch.events))
    after = np.asarray(decide_table(table, batch.use, tables, batch.at)["allowed"])
    assert not (after & ~before).any()


@BATCHES
def test_damage_to_grants_never_allows(seed):
    chance = random.Random(f"grants {seed}")
    batch = random_batch(chance)
    before = allowed(batch.events, batch.records, batch.use, batch.at)
    events = events_table(batch.events)
    rows = events.to_pylist()
    for row in rows:
        if not row["grant"] or chance.random() < 0.5:
            continue
        # Taking words from a permission, or a window from a grant; a prohibition keeps its words.
        if chance.random() < 0.5:
            row["grant"][chance.choice(["valid_from", "valid_until", "scope"])] = None
        for held in row["grant"]["rules"]:
            if held["effect"] == "permit":
                held[chance.choice(["action", *TERMS])] = chance.choice([None, [], [None], ["qqq"]])
            else:
                held[chance.choice(["effect", "action", *TERMS])] = None
    tables = tables_of(pa.Table.from_pylist(rows, schema=events.schema), len(rows))
    after = np.asarray(decide_table(records_table(batch.records), batch.use, tables, batch.at)["allowed"])
    assert not (after & ~before).any()


@pytest.mark.parametrize("value", ["", "qqq", "ANY", " any", "x ", "\x00", "nan"])
@pytest.mark.parametrize("facet", TERMS)
def test_a_request_in_unknown_words_is_denied(facet, value):
    asked = use(until=LATER, **{facet: value})
    assert decide_one(record("anna"), asked, events=[given(grant("anna"))])["reason"] == "unknown_term"
