"""The explanation of a decision: it never says anything else than the decision, and every sentence is true."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given as law
from hypothesis import settings
from hypothesis import strategies as st

from schemas.consent import ANY, TERMS, Action, DataScope, DenyReason, Grant, Justification, RecordingRef
from schemas.ledger import Event, EventType
from schemas.vocabulary import Facet, Term, Vocabulary
from tests.consents import NOW, VOCABULARY, ended, given, grant, record, rule, spoken, use
from transforms.consent import decide
from transforms.consent_history import follow
from transforms.consent_reference import decide_reference
from transforms.consent_remedies import remedies
from transforms.consent_state import fold
from transforms.consent_terms import permits, prohibits
from transforms.consent_words import Explanation, explain, instant, listed

WORDS = ("x", "xa", "xab", "xabc", "xb", "y", "unknown", ANY)
DEEP = Vocabulary(
    version="deep",
    **dict.fromkeys(
        TERMS,
        Facet(
            source="s",
            narrower="prefix",
            pattern="x[a-c]{1,3}",
            terms={"x": Term(), "xa": Term(), "xb": Term(broader=("y",)), "y": Term()},
        ),
    ),
)
PEOPLE = ("anna", "bert")
DAY = timedelta(days=1)
INSTANTS = st.integers(-2, 3).map(lambda n: NOW + n * DAY)
NAMED = st.one_of(
    st.just((ANY,)),
    st.just(("x", "y")),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=2, unique=True).map(tuple),
)
RULES = st.builds(
    rule,
    st.sampled_from(("permit", "permit", "prohibit")),
    st.sampled_from((("any",), ("train_asr",), ("clone", "train_asr"), ("clone",))),
    genre=NAMED,
    territory=NAMED,
    durable_until=st.one_of(st.none(), INSTANTS),
)
SCOPES = st.sampled_from(
    (
        DataScope(kind="all"),
        DataScope(kind="all"),
        DataScope(kind="recordings", recordings=(RecordingRef(root="r", path="p.wav"),)),
        DataScope(kind="recordings", recordings=(RecordingRef(root="r", path="q.wav"),)),
        DataScope(kind="collected", collected_from=NOW - DAY, collected_until=NOW),
    )
)


@st.composite
def ledgers(draw) -> list[Event]:
    """Grants of two people, endings before and after them, changed catalogue rows and a vocabulary, in any order."""
    events = []
    for n in range(draw(st.integers(1, 4))):
        begin = draw(st.sampled_from((NOW - 2 * DAY, NOW - DAY, NOW, NOW + DAY)))
        made: Grant = grant(
            draw(st.sampled_from(PEOPLE)), f"g{n}", draw(st.lists(RULES, min_size=1, max_size=2)),
            scope=draw(SCOPES), valid_from=begin, valid_until=begin + DAY * draw(st.sampled_from((1, 2, 9, 9))),
        )  # fmt: skip
        events.append(given(made))
    how = (EventType.WITHDRAWN, EventType.REFUSED, EventType.INVALIDATED)
    for n in range(draw(st.sampled_from((0, 0, 1, 2)))):
        whose, of = draw(st.sampled_from(PEOPLE)), draw(st.sampled_from((None, "g0", "g1")))
        events.append(ended(whose, of, draw(st.sampled_from(how)), name=f"e{draw(st.sampled_from((n, 0)))}"))
    if draw(st.sampled_from((True, False, False, False))):
        changed = {
            "source_root": "r",
            "source_path": "p.wav",
            "catalogue_row_sha256": draw(st.sampled_from((None, "s"))),
        }
        events.append(Event(event_id="c", type=EventType.CATALOGUE_CHANGED, recorded_at=NOW, **changed))
    events = draw(st.permutations(events))
    vocabulary = draw(st.sampled_from((None, VOCABULARY, DEEP, DEEP)))
    return [*([spoken(vocabulary)] if vocabulary else []), *events]


RECORDS = st.builds(
    lambda people, complete, when, grants: record(*people, complete=complete, collected_at=when, grant_ids=grants),
    st.sampled_from((("anna",), ("anna",), ("bert",), ("bert", "anna"), ())),
    st.sampled_from((True, True, True, True, False)),
    st.one_of(st.none(), st.just(NOW - DAY), st.just(NOW)),
    st.sampled_from(((), (), ("g0",), ("g0", "g2", "gx"))),
)
USES = st.builds(
    lambda genre, territory, until: use(
        **{**dict.fromkeys(TERMS, ANY), "genre": genre, "territory": territory}, until=until
    ),
    st.sampled_from(WORDS),
    st.sampled_from(WORDS),
    st.sampled_from((NOW, NOW + DAY, NOW + 3 * DAY, NOW - DAY)),
)
CASES = {"events": ledgers(), "of": RECORDS, "asked": USES, "at": st.sampled_from((NOW, NOW, NOW - DAY, NOW + DAY))}


def told(events, of, asked, at=NOW) -> Explanation:
    return explain(of, asked, follow(enumerate(events, 1)), at)


@settings(max_examples=400)
@law(**CASES)
def test_the_verdict_is_the_decisions_and_the_references_own(events, of, asked, at):
    found = told(events, of, asked, at)
    decision = decide(of, asked, fold(enumerate(events, 1)), at)
    assert found.decision == decision
    reason, subject, grant_id, justifications = decide_reference(of, asked, events, at)
    first = found.first
    assert (first and first.reason, first and first.subject_id, first and first.grant_id) == (reason, subject, grant_id)
    if decision.is_allowed:
        assert decision.justifications == justifications


@settings(max_examples=400)
@law(**CASES)
def test_every_sentence_agrees_with_the_answer(events, of, asked, at):
    found = told(events, of, asked, at)
    state = fold(enumerate(events, 1))
    assert [subject.subject_id for subject in found.subjects] == sorted(of.subject_ids)
    for subject in found.subjects:
        grants = {one.grant_id: one for one in subject.grants}
        for one in subject.grants:
            rules = state.grants[one.grant_id].grant.rules
            for told_rule, real in zip(one.rules, rules, strict=True):
                judge = permits if real.effect == "permit" else prohibits
                assert told_rule.speaks == judge(real, asked, state.vocabulary)
            assert (one.ended is not None) == (state.grants[one.grant_id].ended is not None)
            if one.ended is not None:
                assert one.standing == one.ended.type.value
        answer = subject.answer
        forbidding = [
            g for g in subject.grants if g.covers and any(r.speaks and r.effect == "prohibit" for r in g.rules)
        ]
        if isinstance(answer, Justification):
            by = grants[answer.grant_id]
            assert not forbidding
            assert (by.standing, by.counts, by.covers) == ("valid", True, True)
            assert by.rules[answer.rule].speaks
            assert by.rules[answer.rule].until == answer.until >= asked.until
        elif answer.reason is DenyReason.PROHIBITED:
            assert forbidding[0].grant_id == answer.grant_id
        else:
            assert not forbidding
            for one in subject.grants:
                is_reached = any(r.speaks and r.effect == "permit" and r.until >= asked.until for r in one.rules)
                assert not (one.standing == "valid" and one.counts and one.covers and is_reached)


@settings(max_examples=200)
@law(**CASES)
def test_every_denial_has_its_remedy(events, of, asked, at):
    found = told(events, of, asked, at)
    said = list(remedies(found))
    assert len(said) == len(found.decision.denials)
    assert all(said)


@pytest.mark.parametrize(
    ("named", "asked", "how"),
    [
        (["any"], "xa", "the rule says any"),
        (["x"], "xa", "xa is narrower than x, which the rule names"),
        (["xa"], "xa", "the rule names xa"),
        (["xa"], "x", "x is more than xa, which the rule names"),
        (["xa", "y"], "any", "any is asked for, and the rule names only xa and y"),
        (["y"], "xa", "xa is asked for, and the rule names y"),
        (["x"], "xabc", "xabc is narrower than x, which the rule names"),
    ],
)
def test_how_a_permission_meets_a_term(named, asked, how):
    events = [spoken(DEEP), given(grant(rules=[rule(genre=named)]))]
    answer = told(events, record("anna"), use(**{**dict.fromkeys(TERMS, ANY), "genre": asked}))
    assert {term.facet: term.how for term in answer.subjects[0].grants[0].rules[0].terms}["genre"] == how


@pytest.mark.parametrize(
    ("named", "asked", "how"),
    [
        (["xa"], "x", "x includes xa"),
        (["xa"], "any", "any is asked for, xa included"),
        (["nobody"], "xa", "the rule names nobody, which no vocabulary knows: it may mean xa"),
        (["y"], "x", "x and y have something in common"),
        (["xa"], "xac", "xac is narrower than xa, which the rule names"),
        (["xab"], "xabc", "xabc is narrower than xab, which the rule names"),
        (["xa"], "xb", "xb is asked for, and the rule names xa"),
    ],
)
def test_how_a_prohibition_meets_a_term(named, asked, how):
    events = [spoken(DEEP), given(grant(rules=[rule("prohibit", genre=named)]))]
    answer = told(events, record("anna"), use(**{**dict.fromkeys(TERMS, ANY), "genre": asked}))
    assert {term.facet: term.how for term in answer.subjects[0].grants[0].rules[0].terms}["genre"] == how


def test_where_things_were_said_is_told_with_position_and_note():
    withdrawn = ended("anna", "g-anna").model_copy(update={"note": "letter of 3 May"})
    answer = told([given(grant()), withdrawn, withdrawn], record("anna"), use())
    (one,) = answer.subjects[0].grants
    assert (one.given.position, one.ended.position, one.ended.note) == (1, 2, "letter of 3 May")


def test_an_ending_recorded_before_the_grant_is_the_one_that_is_told():
    answer = told([ended("anna", "g-anna"), given(grant())], record("anna"), use())
    (one,) = answer.subjects[0].grants
    assert (one.standing, one.ended.position, one.given.position) == ("withdrawn", 1, 2)


def test_anothers_word_ends_nothing():
    answer = told([given(grant()), ended("bert", "g-anna")], record("anna"), use())
    (one,) = answer.subjects[0].grants
    assert (one.standing, one.ended) == ("valid", None)


def test_the_rule_that_comes_nearest_is_told_with_what_it_lacks():
    rules = [rule(action=["clone"]), rule(genre=["y"], territory=["y"]), rule(genre=["y"])]
    answer = told([spoken(), given(grant(rules=rules))], record("anna"), use())
    assert list(remedies(answer)) == [
        "anna gives a grant that permits it; rule 2 of g-anna comes nearest, and lacks genre x"
    ]


def test_an_unknown_term_is_answered_with_what_is_near():
    answer = told([spoken(), given(grant())], record("anna"), use(genre="newz"))
    assert list(remedies(answer)) == [
        "ask in terms of version test (near it: genre news), or bring a version that has the term"
    ]


def test_grants_that_the_catalogue_names_and_nobody_gave_are_told():
    answer = told([spoken(), given(grant())], record("anna", grant_ids=("g-anna", "g-lost")), use())
    assert answer.subjects[0].unrecorded == ("g-lost",)


def test_lists_and_instants_read_well():
    assert [listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
    assert listed([str(n) for n in range(9)], 3) == "0, 1, 2 and 6 more"
    assert instant(NOW) == "2026-06-01"
    assert instant(NOW + timedelta(hours=9, minutes=30)) == "2026-06-01 09:30 UTC"
    assert instant(NOW + timedelta(seconds=1, microseconds=5)) == "2026-06-01 00:00:01 UTC"


def test_every_action_can_be_asked_about():
    for action in Action:
        answer = told([spoken(), given(grant())], record("anna"), use(action))
        assert answer.decision.is_allowed
