"""The explanation of a decision: it never says anything else than the decision, and every sentence is true."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given as law
from hypothesis import settings

from schemas.consent import ANY, TERMS, Action, DenyReason, Justification
from tests.consents import NOW, ended, given, grant, record, rule, spoken, use
from tests.transforms.random_ledgers import CASES, DEEP
from transforms.consent import decide
from transforms.consent_history import follow
from transforms.consent_reference import decide_reference
from transforms.consent_remedies import remedies
from transforms.consent_state import fold
from transforms.consent_terms import permits, prohibits
from transforms.consent_words import Explanation, explain, instant, listed


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
            g for g in subject.grants if g.reaches and any(r.speaks and r.effect == "prohibit" for r in g.rules)
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
    assert answer.unrecorded == ("g-lost",)


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
