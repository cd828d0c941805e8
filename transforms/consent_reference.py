"""The consent decision once more, in the fewest words: what `decide` and `consent_table` are tested against.

It shares no function with either. It reads plain events, walks the raw terms of the vocabulary itself, and looks at
everything again for each record: slow, and easy to check by eye against docs/consent.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime

from schemas.consent import TERMS, ConsentRecord, DenyReason, Grant, Justification, Rule, Use
from schemas.ledger import Event
from schemas.vocabulary import Facet, Vocabulary

Answer = tuple[DenyReason | None, str | None, str | None, tuple[Justification, ...]]
"""The first reason that denies with its subject and grant, or None three times and a justification per subject."""


def decide_reference(record: ConsentRecord, use: Use, events: Sequence[Event], at: datetime) -> Answer:
    """May `record` be used as `use` says, as of `at`, after exactly these `events` of the ledger?"""
    once = [e for n, e in enumerate(events) if e.event_id not in {before.event_id for before in events[:n]}]
    spoken = next((event.vocabulary for event in reversed(once) if event.vocabulary), None)
    place = record.source_root, record.source_path
    changed = [e for e in once if e.type.value == "catalogue_changed" and (e.source_root, e.source_path) == place]
    is_known = all(_is_known(getattr(spoken, facet, None), getattr(use, facet)) for facet in TERMS)
    for reason, denies in (
        (DenyReason.NO_SUBJECT, not record.subject_ids),
        (DenyReason.INCOMPLETE, not record.complete),
        (DenyReason.CATALOGUE_CHANGED, changed and changed[-1].catalogue_row_sha256 != record.catalogue_row_sha256),
        (DenyReason.UNKNOWN_TERM, not is_known or (spoken and use.action not in spoken.actions)),
        (DenyReason.TOO_LATE, use.until < at),
    ):
        if denies:
            return reason, None, None, ()
    answers = [_of_subject(name, record, use, once, spoken, at) for name in sorted({*record.subject_ids})]
    denials = [answer for answer in answers if isinstance(answer, tuple)]
    return (*denials[0], ()) if denials else (None, None, None, tuple(a for a in answers if not isinstance(a, tuple)))


def _of_subject(
    name: str, record: ConsentRecord, use: Use, events: Sequence[Event], spoken: Vocabulary | None, at: datetime
) -> Justification | tuple[DenyReason, str, str | None]:
    given = {e.grant.grant_id: (n, e.grant) for n, e in reversed(list(enumerate(events))) if e.grant}
    theirs = sorted((i, n, grant) for i, (n, grant) in given.items() if grant.subject_id == name)
    for i, _, grant in theirs:
        for rule in grant.rules:
            if rule.effect == "prohibit" and _may_cover(grant, record) and _speaks(rule, use, spoken, _may_meet):
                return DenyReason.PROHIBITED, name, i
    found: list[Justification] = []
    denied: list[tuple[int, DenyReason, str | None]] = [(0, DenyReason.NO_GRANT, None)]
    for i, n, grant in theirs:
        if record.grant_ids and i not in record.grant_ids:
            continue
        ends = [e.type.value for m, e in enumerate(events) if e.subject_id == name and e.type.value in _ENDINGS
                and (e.grant_id == i or (e.grant_id is None and m > n))]  # fmt: skip
        limits = [(rule.durable_until or grant.valid_until, -index) for index, rule in enumerate(grant.rules)
                  if rule.effect == "permit" and _speaks(rule, use, spoken, _is_under)]  # fmt: skip
        until, index = max(limits, default=(at, 0))
        steps: list[tuple[int, DenyReason, str | None]] = [
            *((_ENDINGS.index(how) + 1, DenyReason(how), i) for how in ends[:1]),
            *([(4, DenyReason.NOT_YET_VALID, i)] if at < grant.valid_from else []),
            *([(5, DenyReason.EXPIRED, i)] if at >= grant.valid_until else []),
            *([(6, DenyReason.OUT_OF_SCOPE, i)] if not _covers(grant, record) else []),
            *([(7, DenyReason.NOT_PERMITTED, i)] if not limits else []),
            *([(8, DenyReason.TOO_LATE, i)] if use.until > until else []),
        ]
        denied += steps[:1]
        found += [] if steps else [Justification(name, i, -index, until, grant.valid_until)]
    _, reason, nearest = max(denied, key=lambda step: step[0])
    return max(found, key=lambda one: one.ends_at) if found else (reason, name, nearest)


_ENDINGS = ["invalidated", "refused", "withdrawn"]


def _covers(grant: Grant, record: ConsentRecord) -> bool:
    scope, when = grant.scope, record.collected_at
    begin, end = scope.collected_from, scope.collected_until
    listed = (record.source_root, record.source_path) in [(r.root, r.path) for r in scope.recordings]
    within = bool(when and begin and end and begin <= when < end)
    return {"all": True, "recordings": listed, "collected": within}[scope.kind]


def _may_cover(grant: Grant, record: ConsentRecord) -> bool:
    return _covers(grant, record) or (grant.scope.kind == "collected" and record.collected_at is None)


def _speaks(rule: Rule, use: Use, spoken: Vocabulary | None, of: Callable[[Facet | None, str, str], bool]) -> bool:
    """Every list of the rule has a word that is so `of` what is asked."""
    return bool({"any", use.action} & set(rule.action)) and all(
        any(of(getattr(spoken, facet, None), named, getattr(use, facet)) for named in getattr(rule, facet))
        for facet in TERMS
    )


def _is_under(facet: Facet | None, named: str, asked: str) -> bool:
    return named == "any" or (asked != "any" and facet is not None and named in _above(facet, asked))


def _may_meet(facet: Facet | None, named: str, asked: str) -> bool:
    if "any" in (named, asked) or facet is None or not _is_known(facet, named):
        return True
    shared = (_above(facet, term) for term in {named, asked, *facet.terms})
    return any(named in above and asked in above for above in shared)


def _is_known(facet: Facet | None, term: str) -> bool:
    fits = facet is not None and (term in facet.terms or re.fullmatch(facet.pattern or r"(?!)", term))
    return term == "any" or bool(fits)


def _above(facet: Facet, term: str) -> set[str]:
    found = {term}
    while True:
        listed = {broader for name in found if name in facet.terms for broader in facet.terms[name].broader}
        mark = {"listed": None, "prefix": "", "dash": "-"}[facet.narrower]
        starts = {f[:n] for f in found for n in range(1, len(f)) if mark is not None and f[n:].startswith(mark)}
        begun = {start for start in starts if _is_known(facet, start)}
        if listed | begun <= found:
            return found
        found |= listed | begun
