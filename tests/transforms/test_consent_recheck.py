"""Asking again for a release: it never allows what the whole ledger denies, and allows all that nothing has been said
against."""

from __future__ import annotations

import random
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from schemas.consent import TERMS, Action, DataScope
from schemas.consent_tables import DECISIONS_SCHEMA
from schemas.errors import ConsentError
from schemas.ledger import Event, EventType
from schemas.vocabulary import Facet, Term
from tests.consents import NOW, VOCABULARY, ended, given, grant, record, rule, spoken, use
from tests.transforms.consent_cases import (
    INSTANTS,
    TICK,
    events_table,
    random_batch,
    random_event,
    random_vocabulary,
    records_table,
)  # fmt: skip
from transforms.consent_table import decide_table, recheck_table, tables_of

LATER = NOW + timedelta(days=100)
NOTHING = events_table([])


def index_of(records, decided):
    """The rows of a release: what was allowed, with its justifications."""
    table = records_table(records)
    for name in ("justifications", "allowed_until"):
        table = table.append_column(name, decided[name])
    return table.filter(decided["allowed"])


def said_since(chance, batch):
    """What may come after a release: events about its people, new words, and event ids seen before."""
    tags = [f"{number}." for number in range(len(batch.worlds))]
    events = [random_event(chance, batch.use, chance.choice(tags), 100 + n, "ggggeecc") for n in range(15)]
    if chance.random() < 0.5:
        vocabulary = random_vocabulary(chance, "new")
        words = Event(event_id=f"vocabulary-{chance.randint(0, 9)}", type=EventType.VOCABULARY, recorded_at=NOW,
                      vocabulary=vocabulary)  # fmt: skip
        events.insert(chance.randint(0, 15), words)
    if chance.random() < 0.3:
        events.append(chance.choice(batch.events or events))
    return events


@pytest.mark.parametrize("seeds", [range(30), pytest.param(range(1_000, 3_000), marks=pytest.mark.long)], ids=str)
def test_it_never_allows_what_the_whole_ledger_denies(seeds):
    for seed in seeds:
        never_opens(seed)


def never_opens(seed):
    chance = random.Random(f"since {seed}")
    batch = random_batch(chance, worlds=15)
    tables = tables_of(events_table(batch.events), len(batch.events))
    index = index_of(batch.records, decide_table(records_table(batch.records), batch.use, tables, batch.at))
    assert np.all(recheck_table(index, batch.use, NOTHING, tables.vocabulary, batch.at)["allowed"])
    since = said_since(chance, batch)
    whole = tables_of(events_table([*batch.events, *since]), len(batch.events) + len(since))
    for at in [instant for instant in INSTANTS if instant >= batch.at]:
        again = recheck_table(index, batch.use, events_table(since, len(batch.events)), tables.vocabulary, at)
        truth = decide_table(index.select(records_table([]).schema.names), batch.use, whole, at)
        opened = np.asarray(again["allowed"]) & ~np.asarray(truth["allowed"])
        assert not opened.any(), truth.filter(pa.array(opened)).to_pylist()


def test_it_does_not_deny_what_nothing_was_said_against():
    # The law above would also hold of one that denies everything.
    kept = asked = 0
    for seed in range(20):
        chance = random.Random(f"kept {seed}")
        batch = random_batch(chance, worlds=15)
        tables = tables_of(events_table(batch.events), len(batch.events))
        index = index_of(batch.records, decide_table(records_table(batch.records), batch.use, tables, batch.at))
        since = said_since(chance, batch)
        whole = tables_of(events_table([*batch.events, *since]), len(batch.events) + len(since))
        again = recheck_table(index, batch.use, events_table(since), tables.vocabulary, batch.at)
        truth = decide_table(index.select(records_table([]).schema.names), batch.use, whole, batch.at)
        kept += np.asarray(again["allowed"]).sum()
        asked += np.asarray(truth["allowed"]).sum()
    assert asked > 150
    assert kept >= 0.75 * asked


# --- one at a time ----------------------------------------------------------------------------------------------------

ASKED = use(until=LATER)
GRANT = grant("anna", "g1", valid_until=NOW + timedelta(days=50), rules=[rule(durable_until=LATER)])
OTHER = grant("bert", "g2", valid_until=NOW + timedelta(days=60), rules=[rule(durable_until=LATER)])
CHOSEN = [
    record("anna", path="one", catalogue_row_sha256="d"),
    record("anna", "bert", path="two", catalogue_row_sha256="d", grant_ids=("g1", "g2")),
    record("bert", path="three", catalogue_row_sha256="d", collected_at=NOW),
]
LEDGER = [spoken(), given(GRANT), given(OTHER)]
INDEX = index_of(CHOSEN, decide_table(records_table(CHOSEN), ASKED, tables_of(events_table(LEDGER), len(LEDGER)), NOW))


def again(*since, at=NOW, asked=ASKED, index=INDEX, words=VOCABULARY):
    return recheck_table(index, asked, events_table(since, len(LEDGER)), words, at)


def reasons(*since, **fields):
    return again(*since, **fields)["reason"].to_pylist()


def changed(path, digest, name="c"):
    return Event(event_id=name, type=EventType.CATALOGUE_CHANGED, recorded_at=NOW, source_root="r", source_path=path,
                 catalogue_row_sha256=digest)  # fmt: skip


def test_with_nothing_said_it_is_as_it_was():
    answer = again()
    assert answer.schema == DECISIONS_SCHEMA
    assert answer["allowed"].to_pylist() == [True, True, True]
    for name in ("justifications", "allowed_until"):
        assert answer[name].to_pylist() == INDEX[name].to_pylist()


def test_a_withdrawal_reaches_every_row_of_the_subject():
    answer = again(ended("bert"))
    assert answer["reason"].to_pylist() == [None, "withdrawn", "withdrawn"]
    assert answer["denied_subject"].to_pylist() == [None, "bert", "bert"]
    assert answer["denied_grant"].to_pylist() == [None, "g2", "g2"]


def test_an_ending_reaches_the_grant_that_it_names():
    assert reasons(ended("anna", "g1", EventType.INVALIDATED)) == ["invalidated", "invalidated", None]
    assert reasons(ended("anna", "g2"), ended("anna", "g9"), ended("cleo")) == [None, None, None]


def test_the_first_ending_is_told():
    both = ended("anna", "g1", EventType.REFUSED), ended("anna", how=EventType.INVALIDATED)
    assert reasons(*both)[0] == "refused"
    assert reasons(*reversed(both))[0] == "invalidated"


def test_time_goes_on():
    assert reasons(at=GRANT.valid_until - TICK) == [None, None, None]
    assert reasons(at=GRANT.valid_until) == ["expired", "expired", None]
    assert reasons(at=OTHER.valid_until) == ["expired", "expired", "expired"]
    assert again(at=OTHER.valid_until)["denied_subject"].to_pylist() == ["anna", "anna", "bert"]
    short = use(until=NOW + TICK)
    assert reasons(asked=short, at=NOW + TICK) == [None, None, None]
    assert reasons(asked=short, at=NOW + 2 * TICK) == ["too_late"] * 3


def test_a_new_prohibition_denies_where_its_scope_reaches():
    against = [rule("prohibit", genre=["xab"])]
    one = DataScope.model_validate({"kind": "recordings", "recordings": [{"root": "r", "path": "two"}]})
    period = DataScope(kind="collected", collected_from=NOW, collected_until=NOW + TICK)
    assert reasons(given(grant("bert", "g3", against))) == [None, "prohibited", "prohibited"]
    assert reasons(given(grant("bert", "g3", against, scope=one))) == [None, "prohibited", None]
    # Of what was collected nobody knows when, nobody can say that it was not then.
    assert reasons(given(grant("bert", "g3", against, scope=period))) == [None, "prohibited", "prohibited"]
    assert again(given(grant("bert", "g3", against)))["denied_grant"].to_pylist() == [None, "g3", "g3"]
    assert reasons(given(grant("bert", "g3", [rule("prohibit", ["clone"])]))) == [None, None, None]


def test_a_renewal_does_not_justify():
    # Its grant_id may have been given, or ended, before the release: that cannot be seen from here.
    assert reasons(given(grant("anna", "g4")), at=GRANT.valid_until) == ["expired", "expired", None]
    assert reasons(ended("anna"), given(grant("anna", "g4"))) == ["withdrawn", "withdrawn", None]


def test_a_changed_catalogue_row_denies_its_source():
    assert reasons(changed("one", "e"), changed("two", "d", "c2")) == ["catalogue_changed", None, None]
    assert reasons(changed("one", None)) == ["catalogue_changed", None, None]
    # Which of the two was said first cannot be seen: the second may repeat an event from before the release.
    assert reasons(changed("one", "e"), changed("one", "d", "c2")) == ["catalogue_changed", None, None]


def with_facet(**fields):
    return VOCABULARY.model_copy(update={"version": "2", "genre": VOCABULARY.genre.model_copy(update=fields)})


def terms(**more):
    return {**VOCABULARY.genre.terms, **more}


@pytest.mark.parametrize(
    ("now", "stays"),
    [
        (VOCABULARY.model_copy(update={"version": "2"}), True),
        (with_facet(terms=terms(w=Term(), xc=Term(broader=("x",)))), True),
        (with_facet(terms=terms(x=Term(broader=("y",)))), False),
        (with_facet(terms=terms(xz=Term(broader=("x", "z")))), False),
        (with_facet(terms={name: about for name, about in terms().items() if name != "z"}), False),
        (with_facet(terms={"y": Term(), "news": Term()}), False),
        (with_facet(narrower="prefix"), False),
        (with_facet(pattern="[a-z]+"), False),
        (VOCABULARY.model_copy(update={"version": "2", "actions": (Action.EVALUATE,)}), False),
    ],
)
def test_a_new_vocabulary_must_mean_the_same_for_the_use(now, stays):
    # A prohibition of what was no part of the use may stand in the ledger, unseen: it must not become part of it.
    assert reasons(spoken(now)) == ([None] * 3 if stays else ["unknown_term"] * 3)


def test_every_vocabulary_since_must_mean_the_same():
    # Which of two is in force cannot be seen where one may repeat an earlier event.
    broken = with_facet(terms={"y": Term()})
    assert reasons(spoken(broken), spoken(VOCABULARY.model_copy(update={"version": "3"}))) == ["unknown_term"] * 3


def test_a_vocabulary_that_was_not_there_is_no_matter_to_a_use_of_everything():
    whole = use(until=LATER, **dict.fromkeys(TERMS, "any"))
    assert reasons(spoken(), asked=whole, words=None) == [None] * 3
    assert reasons(asked=whole, words=None) == [None] * 3
    assert reasons(words=None) == ["unknown_term"] * 3


def test_words_of_a_pattern_count_by_where_they_begin():
    codes = Facet(source="codes", narrower="prefix", pattern="F[A-Z]*", terms={"F": Term(), "G": Term()})
    then = VOCABULARY.model_copy(update={"genre": codes})
    ledger = [spoken(then), given(GRANT)]
    asked = use(until=LATER, genre="G")
    tables = tables_of(events_table(ledger), 2)
    index = index_of(CHOSEN[:1], decide_table(records_table(CHOSEN[:1]), asked, tables, NOW))
    more = codes.model_copy(update={"terms": {**codes.terms, "FX": Term(broader=("G",))}})
    now = then.model_copy(update={"version": "2", "genre": more})
    # A prohibition of FXY was of an F until now, and is of a G from now on.
    assert reasons(spoken(now), asked=asked, index=index, words=then) == ["unknown_term"]
    told = codes.model_copy(update={"terms": {**codes.terms, "FX": Term()}})
    now = then.model_copy(update={"version": "2", "genre": told})
    assert reasons(spoken(now), asked=asked, index=index, words=then) == [None]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ({"justifications": []}, "no_grant"),
        ({"justifications": None}, "no_grant"),
        ({"justifications": [None]}, "no_grant"),
        ({"subject_ids": ["anna", "zoe"]}, "no_grant"),
        ({"subject_ids": ["zoe"]}, "no_grant"),
        ({"subject_ids": []}, "no_subject"),
        ({"subject_ids": ["anna", None]}, "incomplete"),
        ({"complete": None}, "incomplete"),
        ({"source_id": None}, "catalogue_changed"),
        ({"grant_ids": ["g7"]}, "no_grant"),
        ({"grant_ids": None}, "no_grant"),
        ({"grant_id": None}, "no_grant"),
        ({"rule": None}, "no_grant"),
        ({"ends_at": None}, "expired"),
        ({"until": None}, "too_late"),
        ({"until": LATER - TICK}, "too_late"),
    ],
)
def test_a_damaged_row_is_denied(damage, reason):
    row = INDEX.slice(0, 1).to_pylist()[0]
    for name, value in damage.items():
        (row if name in row else row["justifications"][0])[name] = value
    assert reasons(index=pa.Table.from_pylist([row], schema=INDEX.schema)) == [reason]


def test_a_missing_column_is_refused():
    with pytest.raises(ConsentError, match="justifications"):
        again(index=INDEX.drop_columns(["justifications"]))


def test_an_empty_release_is_an_empty_table():
    assert again(ended("anna"), index=INDEX.slice(0, 0)).equals(DECISIONS_SCHEMA.empty_table())
