"""What every grant answers to one use at one instant, before it is known which recording is meant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from schemas.consent import DenyReason, Use
from schemas.vocabulary import Vocabulary
from transforms.consent_table.columns import EARLIEST, Flags, Ints, first_best, offsets_of, places
from transforms.consent_table.folded import WORDS, Grants, Rules
from transforms.consent_table.words import permitting, prohibiting

REASONS = (
    DenyReason.NO_GRANT,
    DenyReason.INVALIDATED,
    DenyReason.REFUSED,
    DenyReason.WITHDRAWN,
    DenyReason.NOT_YET_VALID,
    DenyReason.EXPIRED,
    DenyReason.OUT_OF_SCOPE,
    DenyReason.NOT_PERMITTED,
    DenyReason.TOO_LATE,
    None,
    DenyReason.PROHIBITED,
    DenyReason.NO_SUBJECT,
    DenyReason.INCOMPLETE,
    DenyReason.CATALOGUE_CHANGED,
    DenyReason.UNKNOWN_TERM,
)
"""A code is a place in here. Up to PERMITTED a higher one is nearer to permitting: of several grants it is told."""
CODE = {reason: code for code, reason in enumerate(REASONS)}
PERMITTED = CODE[None]
REASON_NAMES = pa.array([None if reason is None else reason.value for reason in REASONS])


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """One of each per grant. The scope is asked between `before` and `after`."""

    before: Ints
    """Code of what ended it, or of its window; PERMITTED where neither is in the way."""
    after: Ints
    """Code of what its rules say."""
    rule: Ints
    """Index of the permitting rule that reaches furthest, within the grant."""
    until: Ints
    """Latest end that a request may ask for under that rule."""
    prohibits: Flags


def answers(grants: Grants, use: Use, vocabulary: Vocabulary | None, at: int, until: int) -> Answers:
    """Asks every grant for `use`, which lasts until `until`, as of `at` (both in microseconds)."""
    before = places(grants.ended, REASON_NAMES)
    before = np.where(before < 0, PERMITTED, before)
    before[(before == PERMITTED) & (at < grants.begins)] = CODE[DenyReason.NOT_YET_VALID]
    before[(before == PERMITTED) & (at >= grants.ends)] = CODE[DenyReason.EXPIRED]
    rules = grants.rules
    does_permit = _speaking(rules, use, vocabulary, rules.permits)
    best = first_best(rules.starts, np.where(does_permit, rules.until, EARLIEST))
    has_rule = best >= 0
    has_rule[has_rule] = does_permit[best[has_rule]]
    reach = np.full(len(best), EARLIEST, np.int64)
    reach[has_rule] = rules.until[best[has_rule]]
    after = np.where(until > reach, CODE[DenyReason.TOO_LATE], PERMITTED)
    after[~has_rule] = CODE[DenyReason.NOT_PERMITTED]
    return Answers(before, after, best - rules.starts[:-1], reach, prohibitions(grants, use, vocabulary))


def prohibitions(grants: Grants, use: Use, vocabulary: Vocabulary | None) -> Flags:
    """Per grant: one of its rules prohibits `use`, whatever became of the grant."""
    does_prohibit = _speaking(grants.rules, use, vocabulary, ~grants.rules.permits)
    return np.diff(offsets_of(does_prohibit)[grants.rules.starts]) > 0


def _speaking(rules: Rules, use: Use, vocabulary: Vocabulary | None, kind: Flags) -> Flags:
    """Per rule: it is of this `kind` (those that permit, or those that do not) and speaks of the use in every facet."""
    speaking = kind.copy()
    if not kind.any():
        return speaking
    is_permit = kind is rules.permits
    for name in WORDS:
        offsets, codes, words = rules.words[name]
        is_used = np.zeros(len(words), np.bool_)
        is_used[codes[np.repeat(speaking, np.diff(offsets))]] = True
        used = np.flatnonzero(is_used)
        hits = np.zeros(len(words), np.bool_)
        ask = permitting if is_permit else prohibiting
        hits[used] = ask(name, [words[code] for code in used], use, vocabulary)
        found = np.diff(offsets_of(hits[codes])[offsets]) > 0
        # A prohibition that names nothing leaves open what it means: it may be this.
        speaking &= found if is_permit else found | (np.diff(offsets) == 0)
    return speaking
