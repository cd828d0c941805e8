"""A facet of the vocabulary: what is known, what is narrower than what, and laws that hold of any of them."""

from __future__ import annotations

import pytest
from hypothesis import assume
from hypothesis import given as law
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.consent import ANY, TERMS, Action
from schemas.vocabulary import Facet, Term, Vocabulary
from tests.consents import rule, use
from transforms.consent_terms import permits, prohibits

LETTERS = st.text("AB", min_size=1, max_size=4)
DASHED = st.lists(st.sampled_from("AB"), min_size=1, max_size=4).map("-".join)
PATTERNS = {"listed": "X[AB]{1,2}", "prefix": "[AB]{1,4}", "dash": "[AB](-[AB]){0,3}"}


@st.composite
def facets(draw):
    """A facet, and terms that it knows."""
    narrower = draw(st.sampled_from(sorted(PATTERNS)))
    words = DASHED if narrower == "dash" else LETTERS
    names = draw(st.lists(words, min_size=1, max_size=6, unique=True))
    terms = {
        name: Term(broader=tuple(draw(st.lists(st.sampled_from(names[:n]), max_size=2, unique=True))) if n else ())
        for n, name in enumerate(names)
    }
    pattern = PATTERNS[narrower] if draw(st.booleans()) else None
    try:
        facet = Facet(source="these laws", narrower=narrower, pattern=pattern, terms=terms)
    except ValidationError:
        assume(False)
    known = {*names, ANY, *(word for word in draw(st.lists(words, max_size=4)) if facet.knows(word))}
    return facet, sorted(known)


def below(facet: Facet, known: list[str], term: str) -> list[str]:
    return [name for name in known if term in facet.covering(name)]


@law(facets())
def test_a_term_covers_itself_and_any_covers_all(made):
    facet, known = made
    for term in known:
        assert {term, ANY} <= facet.covering(term)


@law(facets())
def test_what_is_broader_than_the_broader_is_broader(made):
    facet, known = made
    for term in known:
        for broader in facet.covering(term):
            assert facet.covering(broader) <= facet.covering(term)
            assert facet.knows(broader)


@law(facets())
def test_no_two_terms_are_each_narrower_than_the_other(made):
    facet, known = made
    for one in known:
        for other in facet.covering(one) - {one}:
            assert one not in facet.covering(other)


@law(facets())
def test_two_terms_meet_exactly_where_something_known_falls_under_both(made):
    facet, known = made
    for one in known:
        for other in known:
            shared = set(below(facet, [*facet.terms, one, other], one)) & set(
                below(facet, [*facet.terms, one, other], other)
            )
            assert facet.meets(one, other) == bool(shared) == facet.meets(other, one)


@law(facets(), st.data())
def test_narrowing_a_use_keeps_it_permitted_and_never_gets_it_prohibited(made, data):
    facet, known = made
    vocabulary = Vocabulary(version="laws", **dict.fromkeys(TERMS, facet))
    broad, named = data.draw(st.sampled_from(known)), data.draw(st.lists(st.sampled_from(known), min_size=1))
    narrow = data.draw(st.sampled_from(below(facet, known, broad)))
    others = dict.fromkeys(TERMS, ANY)
    asked, narrowed = use(**{**others, "genre": broad}), use(**{**others, "genre": narrow})
    permit, prohibit = rule(genre=named), rule("prohibit", genre=named)
    assert permits(permit, narrowed, vocabulary) >= permits(permit, asked, vocabulary)
    assert prohibits(prohibit, narrowed, vocabulary) <= prohibits(prohibit, asked, vocabulary)


def test_a_prohibition_of_a_code_that_is_not_listed_reaches_what_begins_with_it():
    facet = Facet(source="s", narrower="prefix", pattern="[A-Z]{2}[A-Z0-9]{0,4}", terms={"YP": Term()})
    vocabulary = Vocabulary(version="1", **dict.fromkeys(TERMS, facet))
    asked = use(**{**dict.fromkeys(TERMS, ANY), "genre": "YPCA21"})
    assert facet.covering("YPCA21") == {"YPCA21", "YPCA2", "YPCA", "YPC", "YP", ANY}
    assert prohibits(rule("prohibit", genre=["YPCA"]), asked, vocabulary)
    assert permits(rule(genre=["YPC"]), asked, vocabulary)
    assert not permits(rule(genre=["YPD"]), asked, vocabulary)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"pattern": "("}, "no regular expression"),
        ({"terms": {"a": {"broader": ["b"]}}}, "not listed: b"),
        ({"terms": {ANY: {}}}, "every facet's own word"),
        ({"terms": {" a": {}}}, "begins or ends with a space"),
        ({"terms": {"": {}}}, "is empty"),
        ({"terms": {"a": {"broader": ["a"]}}}, "each broader than the other"),
        ({"terms": {"a": {"broader": ["b"]}, "b": {"broader": ["a"]}}}, "each broader than the other"),
        ({"narrower": "prefix", "terms": {"A": {"broader": ["AB"]}, "AB": {}}}, "each broader than the other"),
    ],
)
def test_what_cannot_be_meant_is_refused(values, said):
    with pytest.raises(ValidationError, match=said):
        Facet.model_validate({"source": "s", **values})


def test_terms_near_a_word_are_found_by_name_and_by_label():
    terms = {
        "DE": Term(label="Germany"),
        "GB": Term(label="United Kingdom"),
        "podcast": Term(),
        "FF": Term(label="Crime"),
    }
    facet = Facet(source="s", terms=terms)
    assert facet.near("germany")[0] == "DE"
    assert facet.near("de")[0] == "DE"
    assert facet.near("Podcasts") == ["podcast"]
    assert facet.near("crime") == ["FF"]
    assert facet.near("") == []
    assert facet.near("something else altogether") == []


def test_a_changed_copy_knows_nothing_of_what_the_first_had_worked_out():
    facet = Facet(source="s", terms={"a": Term(), "b": Term(), "ab": Term(broader=("a", "b"))})
    assert facet.meets("a", "b")
    assert not facet.model_copy(update={"terms": {"a": Term(), "b": Term()}}).meets("a", "b")
    whole = Vocabulary(version="1", **dict.fromkeys(TERMS, facet))
    assert not whole.unlisted_actions
    assert Action.CLONE in whole.model_copy(update={"actions": (Action.RETAIN,)}).unlisted_actions
