"""What a new version of the vocabulary changes: its terms, and the rules that reach further or less."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from schemas.consent import ANY, TERMS
from schemas.vocabulary import Facet, Vocabulary
from transforms.consent_table import ConsentTables

_MOST_NAMED = 100
"""Rules that are named one by one."""


@dataclass(frozen=True, slots=True)
class FacetChange:
    """One facet, from one version to the next. A term has moved when it falls under other terms than before."""

    facet: str
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    relabelled: tuple[str, ...] = ()
    is_form_changed: bool = False
    """Its pattern, or how it tells narrower from broader, is another."""

    @property
    def is_change(self) -> bool:
        return bool(self.added or self.removed or self.moved or self.relabelled or self.is_form_changed)


@dataclass(frozen=True, slots=True)
class Reach:
    """A term that rules name, and what the new version makes of it."""

    facet: str
    term: str
    effect: str
    n_rules: int
    rules: tuple[str, ...]
    """`grant_id rule index` of the first of them."""
    was_known: bool
    is_known: bool
    more: tuple[str, ...]
    """Listed terms that it covers from now on."""
    less: tuple[str, ...]
    """Listed terms that it covers no more."""


def changes(old: Vocabulary | None, new: Vocabulary) -> list[FacetChange]:
    """The facets that change, actions first."""
    before = old.actions if old else ()
    added = tuple(action.value for action in new.actions if action not in before)
    removed = tuple(action.value for action in before if action not in new.actions)
    found = [FacetChange("action", added, removed)]
    found += [_change(name, old.facet(name) if old else None, new.facet(name)) for name in TERMS]
    return [change for change in found if change.is_change]


def _change(name: str, old: Facet | None, new: Facet) -> FacetChange:
    if old is None:
        return FacetChange(name, added=tuple(new.terms), is_form_changed=new.pattern is not None)
    both = [term for term in new.terms if term in old.terms]
    return FacetChange(
        facet=name,
        added=tuple(term for term in new.terms if term not in old.terms),
        removed=tuple(term for term in old.terms if term not in new.terms),
        moved=tuple(term for term in both if old.covering(term) != new.covering(term)),
        relabelled=tuple(term for term in both if old.terms[term].label != new.terms[term].label),
        is_form_changed=(old.pattern, old.narrower) != (new.pattern, new.narrower),
    )


def reaches(tables: ConsentTables, old: Vocabulary | None, new: Vocabulary) -> list[Reach]:
    """Every term that a rule names and that means more, less or something for the first or the last time.

    Permissions of grants that have ended mean nothing any more and are left out; prohibitions outlive their grant.
    """
    found: list[Reach] = []
    for facet in TERMS:
        before, after = (old.facet(facet) if old else None), new.facet(facet)
        names = [*after.terms, *(term for term in (before.terms if before else ()) if term not in after.terms)]
        covered_then, covered_now = _coverings(before, names), _coverings(after, names)
        for term, effect, n_rules, rules in sorted(_naming(tables, facet)):
            then = [name for name in names if term in covered_then[name]]
            now = [name for name in names if term in covered_now[name]]
            reach = Reach(
                facet=facet,
                term=term,
                effect=effect,
                n_rules=n_rules,
                rules=rules,
                was_known=before is not None and before.knows(term),
                is_known=after.knows(term),
                more=tuple(name for name in now if name not in then and name != term),
                less=tuple(name for name in then if name not in now and name != term),
            )
            if reach.was_known != reach.is_known or reach.more or reach.less:
                found.append(reach)
    return found


def _coverings(facet: Facet | None, names: Iterable[str]) -> dict[str, frozenset[str]]:
    """What covers each name; nothing covers one that the facet does not know."""
    return {name: facet.covering(name) if facet and facet.knows(name) else frozenset() for name in names}


def _naming(tables: ConsentTables, facet: str) -> Iterator[tuple[str, str, int, tuple[str, ...]]]:
    """(term, effect, how many rules name it so, the first of them) of every term that a rule names."""
    grants, rules = tables.grants, tables.grants.rules
    starts, codes, words = rules.words[facet]
    rule_of = np.repeat(np.arange(len(rules.permits)), np.diff(starts))
    grant_of = np.searchsorted(rules.starts, rule_of, side="right") - 1
    runs = grants.ended.is_null().to_numpy(zero_copy_only=False)
    for effect, counts in (("permit", rules.permits[rule_of] & runs[grant_of]), ("prohibit", ~rules.permits[rule_of])):
        for code in np.unique(codes[counts]).tolist():
            if words[code] != ANY:
                places = np.flatnonzero(counts & (codes == code))
                first = places[:_MOST_NAMED]
                ids = grants.ids.take(grant_of[first]).to_pylist()
                indices = (rule_of[first] - rules.starts[grant_of[first]]).tolist()
                said = tuple(f"{name} rule {index}" for name, index in zip(ids, indices, strict=True))
                yield words[code], effect, len(places), said
