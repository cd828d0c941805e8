"""Which words of rules speak of what is asked, by the vocabulary in force; and whether a newer one says the same."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from schemas.consent import ANY, TERMS, Action, Use
from schemas.vocabulary import Facet, Vocabulary
from transforms.consent_table.columns import Flags

_ACTIONS = frozenset(action.value for action in Action)


def has_unknown_terms(use: Use, vocabulary: Vocabulary | None) -> bool:
    """Whether the vocabulary lacks the action or a term of the use; without one only `any` is known."""
    if vocabulary is None:
        return any(getattr(use, name) != ANY for name in TERMS)
    unlisted = use.action not in vocabulary.actions
    return unlisted or any(not vocabulary.facet(name).knows(getattr(use, name)) for name in TERMS)


def permitting(name: str, words: list[str], use: Use, vocabulary: Vocabulary | None) -> Flags:
    """Per word: a rule that says it permits what `use` asks under `name`."""
    asked = str(getattr(use, name))
    speaking = {asked, ANY}
    if name != "action" and vocabulary is not None and asked != ANY:
        speaking |= vocabulary.facet(name).covering(asked)
    return np.fromiter((word in speaking for word in words), np.bool_, len(words))


def prohibiting(name: str, words: list[str], use: Use, vocabulary: Vocabulary | None) -> Flags:
    """Per word: a prohibition that says it reaches, or may reach, what `use` asks under `name`."""
    asked = str(getattr(use, name))
    if name == "action":
        return np.fromiter((w in (asked, ANY) or w not in _ACTIONS for w in words), np.bool_, len(words))
    if vocabulary is None or asked == ANY:
        return np.ones(len(words), np.bool_)
    met = _met(vocabulary.facet(name), asked, set(words))
    return np.fromiter((word in met for word in words), np.bool_, len(words))


def _met(facet: Facet, asked: str, words: Iterable[str]) -> set[str]:
    """Those of `words` under which, or within which, something falls that also falls under `asked`, or may fall."""
    concrete = {word for word in words if word != ANY}
    if not concrete:
        return set(words)
    met = {word for word in words if word == ANY or not facet.knows(word)}
    for narrow in {asked, *facet.terms, *(concrete - met)}:
        above = facet.covering(narrow)
        if asked in above:
            met |= above
    return met


def still_means(use: Use, then: Vocabulary | None, now: Vocabulary) -> bool:
    """Whether everything that permitted `use` under `then` permits it under `now`, and nothing prohibits it anew.

    Rules are not at hand here, so it looks at every word that a rule may say: permissions must reach as far at least,
    prohibitions no further.
    """
    if has_unknown_terms(use, now):
        return False
    concrete = [name for name in TERMS if getattr(use, name) != ANY]
    if then is None:
        return not concrete
    return all(_reaches_the_same(getattr(use, name), then.facet(name), now.facet(name)) for name in concrete)


def _reaches_the_same(asked: str, then: Facet, now: Facet) -> bool:
    if then == now:
        return True
    if (then.narrower, then.pattern) != (now.narrower, now.pattern) or not then.covering(asked) <= now.covering(asked):
        return False
    words = {asked, *then.terms, *now.terms}
    if not _met(now, asked, words) <= _met(then, asked, words):
        return False
    # Words of the pattern cannot be looked at one by one: one is within `asked` where it begins with a term that is.
    has_beginnings = now.pattern is not None and now.narrower != "listed"
    return not has_beginnings or _listed_below(now, asked) <= _listed_below(then, asked)


def _listed_below(facet: Facet, asked: str) -> set[str]:
    """The listed terms within `asked`, itself too."""
    return {name for name in facet.terms if asked in facet.covering(name)}
