"""Does a rule speak of a request? Terms are compared by the vocabulary that is in force.

A rule permits what it names and what is narrower. A prohibition reaches further: it also denies a request that is
broader than what it names, or shares something narrower with it: such a request asks for the prohibited part, too.
"""

from __future__ import annotations

from collections.abc import Iterator

from schemas.consent import ANY, TERMS, Rule, Use
from schemas.vocabulary import Vocabulary


def unknown_terms(use: Use, vocabulary: Vocabulary | None) -> Iterator[tuple[str, str]]:
    """(facet, term) of everything asked that the vocabulary does not know; without one only `any` is known."""
    if vocabulary is not None and use.action in vocabulary.unlisted_actions:
        yield "action", use.action.value
    for facet in TERMS:
        term = getattr(use, facet)
        if not _knows(vocabulary, facet, term):
            yield facet, term


def permits(rule: Rule, use: Use, vocabulary: Vocabulary | None) -> bool:
    """The rule names every term of the request, or a broader one, or `any`; a request for `any` needs `any`."""
    return _names_action(rule, use) and all(
        not _covering(vocabulary, facet, getattr(use, facet)).isdisjoint(getattr(rule, facet)) for facet in TERMS
    )


def prohibits(rule: Rule, use: Use, vocabulary: Vocabulary | None) -> bool:
    """Something that the request asks for falls, or may fall, under the rule."""
    return _names_action(rule, use) and all(
        any(_may_meet(vocabulary, facet, named, getattr(use, facet)) for named in getattr(rule, facet))
        for facet in TERMS
    )


def _may_meet(vocabulary: Vocabulary | None, facet: str, named: str, asked: str) -> bool:
    if ANY in (named, asked) or vocabulary is None or not vocabulary.facet(facet).knows(named):
        return True  # of a term that nobody knows nobody can say that it does not meet the request
    return vocabulary.facet(facet).meets(named, asked)


def _names_action(rule: Rule, use: Use) -> bool:
    return ANY in rule.action or use.action in rule.action


def _knows(vocabulary: Vocabulary | None, facet: str, term: str) -> bool:
    return term == ANY if vocabulary is None else vocabulary.facet(facet).knows(term)


def _covering(vocabulary: Vocabulary | None, facet: str, term: str) -> frozenset[str]:
    """The terms that a rule may say to cover `term`; `any` is covered by `any` alone."""
    if vocabulary is None or term == ANY:
        return frozenset({term, ANY})
    return vocabulary.facet(facet).covering(term)
