"""The vocabulary that rules and requests speak: the known terms of each facet, and which is narrower than which.

A version travels in the ledger as a whole, so that a decision never depends on a file somebody edits. The shape is that
of SKOS (a term, its label, its broader terms); the terms come from the standards that each facet cites.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal, get_args

from pydantic import Field, model_validator

from schemas.consent import ANY, TERMS, Action
from schemas.model import Frozen

Narrower = Literal["listed", "prefix", "dash"]
"""How a term is narrower than another, beside what `broader` lists: not at all, because it begins with it (Thema: FBA
is an FB), or because it begins with it and a dash (ISO 3166: DE-BY lies in DE)."""


class Term(Frozen):
    """One term: its label, the broader terms it also falls under, and terms of other vocabularies that come near.

    Nothing is decided by the last: they tell a reader what is meant (`skos:closeMatch`).
    """

    label: str = ""
    broader: tuple[str, ...] = ()
    close_match: tuple[str, ...] = ()


class Facet(Frozen):
    """The known terms of one facet. A term that is not listed is known where it fits `pattern`."""

    source: str = Field(min_length=1)
    """The standard or register that the terms come from."""
    narrower: Narrower = "listed"
    pattern: str | None = None
    terms: dict[str, Term] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _sound(self) -> Facet:
        if self.pattern is not None:
            try:
                re.compile(self.pattern)
            except re.error as error:
                raise ValueError(f"pattern {self.pattern!r} is no regular expression: {error}") from None
        for name, term in self.terms.items():
            unlisted = [broader for broader in term.broader if broader not in self.terms]
            if unlisted:
                raise ValueError(f"term `{name}` names broader terms that are not listed: {', '.join(unlisted)}")
            if name == ANY:
                raise ValueError("`any` is every facet's own word, and is not listed")
            if not name.strip() or name != name.strip():
                raise ValueError(f"term {name!r} is empty, or begins or ends with a space")
        for name in self.terms:
            circle = sorted(above for above in self._directly_above(name) if name in self.covering(above))
            if circle:
                raise ValueError(f"terms `{name}` and `{circle[0]}` are each broader than the other")
        return self

    def knows(self, term: str) -> bool:
        """Whether `term` (or `any`) belongs to the facet: listed, or of the facet's pattern."""
        if term == ANY or term in self.terms:
            return True
        return self.pattern is not None and re.fullmatch(self.pattern, term) is not None

    def covering(self, term: str) -> frozenset[str]:
        """`term`, every known term that is broader, and `any`: a rule that says one of these speaks of `term`.

        Terms of the pattern count, too: a rule about YPCA, which is not listed, speaks of YPCA21.
        """
        found = {term}
        waiting = [term]
        while waiting:
            for broader in self._directly_above(waiting.pop()):
                if broader not in found:
                    found.add(broader)
                    waiting.append(broader)
        return frozenset({*found, ANY})

    def near(self, word: str, most: int = 3) -> list[str]:
        """Listed terms that `word` may have been meant for: by name, then by label, `most` at the most."""
        asked = word.casefold()
        by_name = {name.casefold(): name for name in (*self.terms, ANY)}
        by_label = {term.label.casefold(): name for name, term in self.terms.items() if term.label}
        named = [name for known, name in by_name.items() if known == asked]
        labelled = [name for label, name in by_label.items() if asked and asked in label.replace(",", "").split()]
        close = [by_name[known] for known in difflib.get_close_matches(asked, by_name, n=most, cutoff=0.7)]
        close += [by_label[known] for known in difflib.get_close_matches(asked, by_label, n=most, cutoff=0.6)]
        return list(dict.fromkeys((*named, *close, *labelled)))[:most]

    def meets(self, one: str, other: str) -> bool:
        """Whether something falls under both: one is the other or broader, or a listed term is narrower than both.

        A term that is not listed adds nothing: it falls under what its known beginnings fall under.
        """
        if ANY in (one, other) or one in self.covering(other) or other in self.covering(one):
            return True
        return any(one in closure and other in closure for closure in self._closures)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Facet:
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("_closures", None)  # it was worked out from the terms before
        return copied

    @cached_property
    def _closures(self) -> tuple[frozenset[str], ...]:
        """Of the terms that stand under more than one: only there can two lines of broader terms meet."""
        return tuple(self.covering(name) for name, term in self.terms.items() if term.broader)

    def _directly_above(self, term: str) -> set[str]:
        above = set(self.terms[term].broader) if term in self.terms else set()
        if self.narrower == "prefix":
            above |= {begun for n in range(1, len(term)) if self.knows(begun := term[:n])}
        elif self.narrower == "dash":
            pieces = term.split("-")
            above |= {begun for n in range(1, len(pieces)) if self.knows(begun := "-".join(pieces[:n]))}
        return above


class Vocabulary(Frozen):
    """One version of every facet. `actions` names the closed list it was written for."""

    version: str = Field(min_length=1, max_length=64)
    actions: tuple[Action, ...] = tuple(Action)
    action_terms: dict[Action, Term] = Field(default_factory=dict)
    """What the actions are in plain words; nothing is decided by it."""
    medium: Facet
    genre: Facet
    series: Facet
    role: Facet
    recipient: Facet
    territory: Facet

    def facet(self, name: str) -> Facet:
        """The facet of one of the terms that rules and requests share (`schemas.consent.TERMS`)."""
        if name not in TERMS:
            raise KeyError(name)
        found: Facet = getattr(self, name)
        return found

    @property
    def unlisted_actions(self) -> frozenset[Action]:
        """Actions that this version was not written for: unknown terms."""
        return frozenset(Action) - frozenset(self.actions)


NARROWER = get_args(Narrower)
