"""A decision explained: grant by grant and rule by rule, what each says of the request and why.

The verdict is always `decide`'s own; what stands here only says how it came about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from schemas.consent import ANY, TERMS, ConsentRecord, Decision, Denial, DenyReason, Grant, Justification, Rule, Use
from schemas.vocabulary import Facet, Vocabulary
from transforms.consent import decide, may_cover
from transforms.consent_history import ConsentHistory, Said


@dataclass(frozen=True, slots=True)
class TermAnswer:
    """What a rule says of one term of the request. `how` is a piece of a sentence."""

    facet: str
    asked: str
    is_met: bool
    how: str


@dataclass(frozen=True, slots=True)
class RuleAnswer:
    """What one rule says of the request. `speaks`: it names the action, and something that is asked, in every facet."""

    index: int
    effect: str
    actions: tuple[str, ...]
    names_action: bool
    speaks: bool
    terms: tuple[TermAnswer, ...]
    until: datetime
    """The latest end that a request may ask for under the rule."""

    @property
    def missing(self) -> list[str]:
        """Facets in which it does not."""
        return [term.facet for term in self.terms if not term.is_met]


@dataclass(frozen=True, slots=True)
class GrantAnswer:
    """Where a grant stands, and what its rules say. `counts`: the catalogue does not narrow it away."""

    grant_id: str
    standing: str
    counts: bool
    given: Said | None
    ended: Said | None
    valid_from: datetime
    valid_until: datetime
    covers: bool
    reaches: bool
    """Its prohibitions cover, or may cover, the recording: of one whose date nobody knows nobody can say."""
    scope: str
    rules: tuple[RuleAnswer, ...]


@dataclass(frozen=True, slots=True)
class SubjectAnswer:
    """One person's answer as `decide` gave it, and the grants behind it."""

    subject_id: str
    answer: Justification | Denial
    grants: tuple[GrantAnswer, ...]
    last_word: Said | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The decision, what was asked, and each subject's answer in order."""

    decision: Decision
    record: ConsentRecord
    use: Use
    vocabulary: Vocabulary | None
    vocabulary_said: Said | None
    catalogue_changed: Said | None
    unrecorded: tuple[str, ...]
    """Grants that the record's catalogue row names, and that nobody in it has given."""
    subjects: tuple[SubjectAnswer, ...]

    @property
    def first(self) -> Denial | None:
        """The reason: the first denial."""
        return next(iter(self.decision.denials), None)


def explain(record: ConsentRecord, use: Use, history: ConsentHistory, at: datetime) -> Explanation:
    """Why `decide` answers as it does, of the same record, use, state and instant."""
    state = history.state
    decision = decide(record, use, state, at)
    answers: dict[str, Justification | Denial] = {one.subject_id: one for one in decision.justifications}
    answers |= {one.subject_id: one for one in decision.denials if one.subject_id is not None}
    place = (record.source_root, record.source_path)
    theirs = {grant for name in record.subject_ids for grant in state.grants_of.get(name, [])}
    is_changed = any(denial.reason is DenyReason.CATALOGUE_CHANGED for denial in decision.denials)
    return Explanation(
        decision=decision,
        record=record,
        use=use,
        vocabulary=state.vocabulary,
        vocabulary_said=history.vocabulary,
        catalogue_changed=history.catalogue.get(place) if is_changed else None,
        unrecorded=tuple(grant for grant in sorted({*record.grant_ids}) if grant not in theirs),
        subjects=tuple(_subject(name, answer, record, use, history, at) for name, answer in sorted(answers.items())),
    )


def _subject(
    name: str, answer: Justification | Denial, record: ConsentRecord, use: Use, history: ConsentHistory, at: datetime
) -> SubjectAnswer:
    state = history.state
    theirs = sorted(state.grants_of.get(name, []))
    return SubjectAnswer(
        subject_id=name,
        answer=answer,
        grants=tuple(_grant(grant_id, record, use, history, at) for grant_id in theirs),
        last_word=history.last_word.get(name),
    )


def _grant(grant_id: str, record: ConsentRecord, use: Use, history: ConsentHistory, at: datetime) -> GrantAnswer:
    held = history.state.grants[grant_id]
    grant = held.grant
    covers, scope = _scope(grant, record)
    reaches = may_cover(grant, record)
    if held.ended is not None:
        standing = held.ended.value
    elif at < grant.valid_from:
        standing = DenyReason.NOT_YET_VALID.value
    else:
        standing = DenyReason.EXPIRED.value if at >= grant.valid_until else "valid"
    return GrantAnswer(
        grant_id=grant_id,
        standing=standing,
        counts=not record.grant_ids or grant_id in record.grant_ids,
        given=history.given.get(grant_id),
        ended=history.ended.get(grant_id) if held.ended is not None else None,
        valid_from=grant.valid_from,
        valid_until=grant.valid_until,
        covers=covers,
        reaches=reaches,
        scope=scope,
        rules=tuple(_rule(index, rule, grant, use, history.state.vocabulary) for index, rule in enumerate(grant.rules)),
    )


def _scope(grant: Grant, record: ConsentRecord) -> tuple[bool, str]:
    scope = grant.scope
    if scope.kind == "all":
        return True, "speaks of every recording of theirs"
    if scope.kind == "recordings":
        listed = f"lists {len(scope.recordings)} recording{'' if len(scope.recordings) == 1 else 's'}"
        if any((one.root, one.path) == (record.source_root, record.source_path) for one in scope.recordings):
            return True, f"{listed}, this among them"
        return False, f"{listed}, and this is not among them"
    begin, end = scope.collected_from, scope.collected_until
    if begin is None or end is None:
        return False, "speaks of recordings of a period that it does not state"
    period = f"speaks of what was collected from {instant(begin)} until {instant(end)}"
    if record.collected_at is None:
        return False, f"{period}; when this was, the catalogue does not say"
    return begin <= record.collected_at < end, f"{period}; this was on {instant(record.collected_at)}"


def _rule(index: int, rule: Rule, grant: Grant, use: Use, vocabulary: Vocabulary | None) -> RuleAnswer:
    names_action = ANY in rule.action or use.action in rule.action
    say = _permitted if rule.effect == "permit" else _prohibited
    terms = []
    for name in TERMS:
        asked: str = getattr(use, name)
        is_met, how = say(vocabulary.facet(name) if vocabulary else None, getattr(rule, name), asked)
        terms.append(TermAnswer(name, asked, is_met, how))
    return RuleAnswer(
        index=index,
        effect=rule.effect,
        actions=tuple(str(action) for action in rule.action),
        names_action=names_action,
        speaks=names_action and all(term.is_met for term in terms),
        terms=tuple(terms),
        until=rule.durable_until or grant.valid_until,
    )


def _permitted(facet: Facet | None, named: Sequence[str], asked: str) -> tuple[bool, str]:
    """Does a permission that names these terms reach what is asked, and how?"""
    if ANY in named:
        return True, "the rule says any"
    if asked == ANY:
        return False, f"any is asked for, and the rule names only {listed(named)}"
    if asked in named:
        return True, f"the rule names {asked}"
    above = facet.covering(asked) if facet else frozenset({asked})
    broader = next((term for term in named if term in above), None)
    if broader is not None:
        return True, f"{asked} is narrower than {broader}, which the rule names"
    part = next((term for term in named if facet and asked in facet.covering(term)), None)
    if part is not None:
        return False, f"{asked} is more than {part}, which the rule names"
    return False, f"{asked} is asked for, and the rule names {listed(named)}"


def _prohibited(facet: Facet | None, named: Sequence[str], asked: str) -> tuple[bool, str]:
    """Does a prohibition that names these terms reach something that is asked, and how?"""
    is_met, how = _permitted(facet, named, asked)
    if is_met:
        return True, how
    if asked == ANY:
        return True, f"any is asked for, {listed(named)} included"
    for term in named:
        if facet is None or not facet.knows(term):
            return True, f"the rule names {term}, which no vocabulary knows: it may mean {asked}"
        if facet.meets(term, asked):
            is_part = asked in facet.covering(term)
            return True, f"{asked} includes {term}" if is_part else f"{asked} and {term} have something in common"
    return False, f"{asked} is asked for, and the rule names {listed(named)}"


def listed(words: Sequence[str], most: int = 4) -> str:
    """`a, b and c`; of many, the first few and how many more."""
    if len(words) > most:
        return f"{', '.join(words[:most])} and {len(words) - most} more"
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def instant(at: datetime) -> str:
    """A date where it is a midnight, else to the minute or the second; UTC."""
    at = at.astimezone(UTC)
    if (at.hour, at.minute, at.second, at.microsecond) == (0, 0, 0, 0):
        return f"{at:%Y-%m-%d}"
    return f"{at:%Y-%m-%d %H:%M} UTC" if (at.second, at.microsecond) == (0, 0) else f"{at:%Y-%m-%d %H:%M:%S} UTC"
