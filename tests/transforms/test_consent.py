"""The consent decision: worked cases, then laws that hold for any ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given as law
from hypothesis import settings
from hypothesis import strategies as st

from schemas.consent import DataScope, DenyReason, RecordingRef
from schemas.ledger import Event, EventType
from tests.consents import NOW, ended, given, grant, record, rule, state_of, use
from transforms.consent import decide, decide_without_grants

D = DenyReason
ANOTHER = DataScope(kind="recordings", recordings=(RecordingRef(root="r", path="q"),))


def reasons(*events: Event, of=None, asked=None, at: datetime = NOW) -> list[DenyReason]:
    decision = decide(of or record("anna"), asked or use(), state_of(*events), at)
    assert decision.is_allowed == (not decision.denials)
    return [denial.reason for denial in decision.denials]


def test_a_grant_that_says_any_allows_and_names_itself():
    decision = decide(record("anna"), use(), state_of(given(grant())), NOW)
    assert decision.is_allowed
    assert [(j.subject_id, j.grant_id, j.rule) for j in decision.justifications] == [("anna", "g-anna", 0)]
    assert decision.position == 1


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ((), D.NO_GRANT),
        ((given(grant()), ended("anna")), D.WITHDRAWN),
        ((given(grant()), ended("anna", "g-anna")), D.WITHDRAWN),
        ((given(grant()), ended("anna", "g-anna", EventType.REFUSED)), D.REFUSED),
        ((given(grant()), ended("anna", "g-anna", EventType.INVALIDATED)), D.INVALIDATED),
        ((given(grant(valid_until=NOW)),), D.EXPIRED),
        ((given(grant(valid_from=NOW + timedelta(seconds=1))),), D.NOT_YET_VALID),
        ((given(grant(rules=[rule(action=["train_tts"])])),), D.NOT_PERMITTED),
        ((given(grant(rules=[rule(genre=["news"])])),), D.NOT_PERMITTED),
        ((given(grant(rules=[rule(), rule("prohibit", genre=["x"])])),), D.PROHIBITED),
        ((given(grant(scope=ANOTHER)),), D.OUT_OF_SCOPE),
        ((given(grant("bert")),), D.NO_GRANT),
    ],
)  # fmt: skip
def test_what_stands_in_the_way(events, expected):
    assert reasons(*events) == [expected]


def test_every_subject_must_permit():
    both = record("anna", "bert")
    assert reasons(given(grant("anna")), of=both) == [D.NO_GRANT]
    assert reasons(given(grant("anna")), given(grant("bert")), of=both) == []


def test_nobody_and_incomplete_are_denied_both_at_once():
    assert reasons(of=record(complete=False)) == [D.NO_SUBJECT, D.INCOMPLETE]


def test_a_prohibition_outlives_its_grant_and_the_narrowing_of_the_catalogue():
    forbids = grant("anna", "g0", rules=[rule("prohibit", ["train_asr"])])
    events = (given(forbids), given(grant("anna", "g1")), ended("anna", "g0"))
    assert reasons(*events) == [D.PROHIBITED]
    assert reasons(*events, of=record("anna", grant_ids=("g1",))) == [D.PROHIBITED]


def test_asking_for_any_needs_a_rule_that_says_any_and_meets_every_prohibition():
    assert reasons(given(grant(rules=[rule(genre=["news"])])), asked=use(genre="any")) == [D.NOT_PERMITTED]
    forbids = grant(rules=[rule(), rule("prohibit", genre=["news"])])
    assert reasons(given(forbids), asked=use(genre="any")) == [D.PROHIBITED]
    assert reasons(given(forbids), asked=use(genre="verse")) == []


def test_until_is_bounded_by_the_rule_else_by_the_grant():
    year_end = datetime(2027, 1, 1, tzinfo=UTC)
    assert reasons(given(grant()), asked=use(until=year_end)) == []
    assert reasons(given(grant()), asked=use(until=year_end + timedelta(microseconds=1))) == [D.TOO_LATE]
    durable = grant(rules=[rule(durable_until=datetime(2030, 1, 1, tzinfo=UTC))])
    assert reasons(given(durable), asked=use(until=datetime(2029, 1, 1, tzinfo=UTC))) == []


def test_only_the_grants_that_the_catalogue_names_count():
    events = (given(grant("anna", "old")), given(grant("anna", "new", rules=[rule(action=["evaluate"])])))
    assert reasons(*events, of=record("anna", grant_ids=("new",))) == [D.NOT_PERMITTED]
    assert reasons(*events, of=record("anna", grant_ids=("old",))) == []


def test_collected_in_a_period():
    inside, outside = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)
    scope = DataScope(kind="collected", collected_from=datetime(2026, 2, 1, tzinfo=UTC), collected_until=outside)
    event = given(grant(scope=scope))
    assert reasons(event, of=record("anna", collected_at=inside)) == []
    assert reasons(event, of=record("anna", collected_at=outside)) == [D.OUT_OF_SCOPE]
    assert reasons(event, of=record("anna")) == [D.OUT_OF_SCOPE]


def test_a_changed_catalogue_row_denies_the_old_one():
    changed = Event(
        event_id="c", type=EventType.CATALOGUE_CHANGED, recorded_at=NOW, source_root="r", source_path="p.wav",
        catalogue_row_sha256="new",
    )  # fmt: skip
    assert reasons(given(grant()), changed, of=record("anna", catalogue_row_sha256="old")) == [D.CATALOGUE_CHANGED]
    assert reasons(given(grant()), changed, of=record("anna", catalogue_row_sha256="new")) == []


def test_an_ended_grant_never_comes_back_but_a_new_one_counts():
    again = given(grant("anna", "g-anna")).model_copy(update={"event_id": "again"})
    assert reasons(given(grant()), ended("anna"), again) == [D.WITHDRAWN]
    assert reasons(given(grant()), ended("anna"), given(grant("anna", "g2"))) == []


def test_a_withdrawal_of_one_grant_leaves_the_other():
    assert reasons(given(grant("anna", "g1")), given(grant("anna", "g2")), ended("anna", "g1")) == []


def test_a_repeated_event_counts_once():
    first = given(grant())
    assert reasons(first, ended("anna"), given(grant("anna", "g2")), ended("anna")) == []


def test_explore_asks_for_no_grant_but_hears_a_withdrawal():
    assert decide_without_grants(record("anna"), state_of(), NOW).is_allowed
    gone = state_of(given(grant()), ended("anna"))
    assert [d.reason for d in decide_without_grants(record("anna", "bert"), gone, NOW).denials] == [D.WITHDRAWN]
    unheard_of = state_of(ended("anna"))
    assert not decide_without_grants(record("anna"), unheard_of, NOW).is_allowed
    assert decide_without_grants(record("anna"), state_of(ended("anna"), given(grant())), NOW).is_allowed


# --- laws -------------------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(["x", "y", "any"])
LISTS = st.lists(WORDS, min_size=1, max_size=2).map(tuple)
ACTIONS = st.lists(st.sampled_from(["train_asr", "evaluate", "any"]), min_size=1, max_size=2).map(tuple)
RULES = st.builds(
    rule,
    st.sampled_from(["permit", "permit", "prohibit"]),
    ACTIONS,
    genre=LISTS,
    role=LISTS,
    durable_until=st.sampled_from([None, NOW, NOW + timedelta(days=400)]),
)
SUBJECTS = st.sampled_from(["anna", "bert", "cleo"])


@st.composite
def ledgers(draw: st.DrawFn) -> list[Event]:
    events: list[Event] = []
    for n in range(draw(st.integers(0, 5))):
        subject = draw(SUBJECTS)
        if draw(st.integers(0, 3)) == 0:
            how = draw(st.sampled_from([EventType.WITHDRAWN, EventType.REFUSED, EventType.INVALIDATED]))
            events.append(ended(subject, how=how, name=f"e{n}"))
        else:
            window = {"valid_until": draw(st.sampled_from([NOW, NOW + timedelta(days=30)]))}
            events.append(given(grant(subject, f"g{n}", draw(st.lists(RULES, min_size=1, max_size=2)), **window)))
    return events


RECORDS = st.lists(SUBJECTS, min_size=0, max_size=3, unique=True).flatmap(
    lambda names: st.booleans().map(lambda complete: record(*names, complete=complete))
)
USES = st.builds(
    use,
    st.sampled_from(["train_asr", "evaluate"]),
    st.sampled_from([NOW, NOW + timedelta(days=20), NOW + timedelta(days=100)]),
    genre=WORDS,
    role=WORDS,
)


def allows(events, of, asked) -> bool:
    return decide(of, asked, state_of(*events), NOW).is_allowed


@settings(max_examples=300)
@law(ledgers(), RECORDS, USES, SUBJECTS)
def test_an_ending_or_a_prohibition_never_opens_a_door(events, of, asked, subject):
    if not allows(events, of, asked):
        assert not allows([*events, ended(subject, name="last")], of, asked)
        forbids = given(grant(subject, "zz", rules=[rule("prohibit")]))
        assert not allows([*events, forbids], of, asked)


@settings(max_examples=300)
@law(ledgers(), RECORDS, USES, SUBJECTS)
def test_a_further_subject_never_opens_a_door(events, of, asked, subject):
    # A record that names nobody is denied for that alone; naming somebody is what it lacks.
    wider = replace(of, subject_ids=(*of.subject_ids, subject))
    if of.subject_ids and not allows(events, of, asked):
        assert not allows(events, wider, asked)


@settings(max_examples=300)
@law(ledgers(), RECORDS, USES)
def test_narrowing_a_permitted_use_keeps_it_permitted(events, of, asked):
    if allows(events, of, asked):
        assert allows(events, of, asked.model_copy(update={"until": NOW}))
        for term in ("genre", "role"):
            if getattr(asked, term) == "any":
                assert allows(events, of, asked.model_copy(update={term: "y"}))


@settings(max_examples=200)
@law(ledgers(), RECORDS, USES)
def test_without_a_grant_nothing_is_allowed(events, of, asked):
    endings = [event for event in events if event.grant is None]
    assert not allows(endings, of, asked)


@settings(max_examples=200)
@law(ledgers(), RECORDS, USES, ledgers())
def test_the_same_position_answers_the_same_for_ever(events, of, asked, later):
    before = decide(of, asked, state_of(*events), NOW)
    state = state_of(*events)
    for position, event in enumerate(later, len(events) + 1):
        state.apply(position, event.model_copy(update={"event_id": f"later-{position}"}))
    assert decide(of, asked, state_of(*events), NOW) == before
