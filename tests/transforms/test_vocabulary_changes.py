"""What a new version of the vocabulary changes, and which rules reach further or less by it."""

from __future__ import annotations

import pytest

from lake.ledger import Ledger
from lake.storage import Root
from schemas.consent import TERMS, Action
from schemas.vocabulary import Facet, Term, Vocabulary
from tests.consents import VOCABULARY, ended, given, grant, rule
from transforms.consent_table import ConsentTables, tables_of
from transforms.vocabulary_changes import FacetChange, changes, reaches


def version(**terms: Term | None) -> Vocabulary:
    """The tests' vocabulary with other genres: a Term is put in place of its namesake, None takes it away."""
    genres = {name: term for name, term in {**VOCABULARY.genre.terms, **terms}.items() if term is not None}
    return VOCABULARY.model_copy(update={"version": "next", "genre": Facet(source="these tests", terms=genres)})


@pytest.fixture
def tables(tmp_path):
    """Folds events as the ledger has them."""

    def of(*events) -> ConsentTables:
        ledger = Ledger(Root(str(tmp_path / "ledger")))
        ledger.ensure()
        ledger.append(events)
        return tables_of(ledger.events_table(), ledger.head())

    return of


def test_the_same_terms_are_no_change():
    assert changes(VOCABULARY, version()) == []


def test_terms_are_added_removed_moved_and_labelled():
    new = version(news=None, talk=Term(), y=Term(broader=("x",)), verse=Term(label="Poems"))
    assert changes(VOCABULARY, new) == [
        FacetChange("genre", added=("talk",), removed=("news",), moved=("y",), relabelled=("verse",))
    ]


def test_a_term_that_is_put_between_moves_what_stands_below_it():
    new = version(between=Term(broader=("x",)), xa=Term(broader=("between",)))
    (change,) = changes(VOCABULARY, new)
    assert (change.added, change.moved) == (("between",), ("xa", "xab"))


def test_the_first_version_adds_all():
    found = changes(None, VOCABULARY)
    assert [change.facet for change in found] == ["action", *TERMS]
    assert found[0].added == tuple(action.value for action in Action)
    assert found[1].added == tuple(VOCABULARY.medium.terms)


def test_an_action_that_is_left_out_and_another_pattern_are_changes():
    fewer = VOCABULARY.model_copy(update={"actions": tuple(a for a in Action if a is not Action.CLONE)})
    assert changes(VOCABULARY, fewer) == [FacetChange("action", removed=("clone",))]
    series = VOCABULARY.series.model_copy(update={"pattern": "s:.+"})
    assert changes(VOCABULARY, VOCABULARY.model_copy(update={"series": series})) == [
        FacetChange("series", is_form_changed=True)
    ]


def test_rules_are_told_by_what_their_terms_mean_from_now_on(tables):
    anna = grant("anna", rules=[rule(genre=["x", "news"]), rule("prohibit", genre=["news"], medium=["y"])])
    found = reaches(tables(given(anna)), VOCABULARY, version(news=None, y=Term(broader=("x",))))
    assert [(r.facet, r.term, r.effect, r.rules, r.is_known, r.more, r.less) for r in found] == [
        ("genre", "news", "permit", ("g-anna rule 0",), False, (), ()),
        ("genre", "news", "prohibit", ("g-anna rule 1",), False, (), ()),
        ("genre", "x", "permit", ("g-anna rule 0",), True, ("y",), ()),
    ]


def test_what_a_term_covers_no_more_is_told(tables):
    found = reaches(tables(given(grant(rules=[rule(genre=["x"])]))), VOCABULARY, version(xa=Term()))
    assert [(reach.term, reach.more, reach.less) for reach in found] == [("x", (), ("xa",))]


def test_permissions_of_an_ended_grant_are_left_out_and_its_prohibitions_are_not(tables):
    both = grant(rules=[rule(genre=["news"]), rule("prohibit", genre=["news"])])
    found = reaches(tables(given(both), ended("anna")), VOCABULARY, version(news=None))
    assert [(reach.term, reach.effect) for reach in found] == [("news", "prohibit")]


def test_rules_are_counted_and_the_first_of_them_named(tables):
    events = [given(grant(f"s{n:03}", rules=[rule(), rule(genre=["news"])])) for n in range(130)]
    (reach,) = reaches(tables(*events), VOCABULARY, version(news=None))
    assert (reach.n_rules, len(reach.rules), reach.rules[:2]) == (130, 100, ("g-s000 rule 1", "g-s001 rule 1"))


def test_a_term_gets_its_meaning_with_the_first_version(tables):
    (reach,) = reaches(tables(given(grant(rules=[rule(genre=["xab"])]))), None, VOCABULARY)
    assert (reach.was_known, reach.is_known, reach.term) == (False, True, "xab")
