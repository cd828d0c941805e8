"""An explanation of a consent decision as a data steward reads it, wrapped to the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from schemas.consent import ANY, TERMS, Justification
from schemas.instants import to_text
from transforms.consent_history import Said
from transforms.consent_remedies import remedies
from transforms.consent_words import Explanation, GrantAnswer, RuleAnswer, SubjectAnswer, instant, listed

NARROWEST, WIDEST = 60, 120
_HEAD = 8
"""Columns of the words before the first lines: use, record, asked."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line before it is wrapped; what does not fit goes on `hang` columns further in."""

    indent: int
    text: str
    hang: int = 2


def laid_out(told: Explanation, about: Sequence[str], width: int) -> str:
    """The whole explanation. `about` says which record it is of, and what else is known of it."""
    width = max(NARROWEST, min(WIDEST, width))
    lines = [*_head("use", _use(told)), *_head("record", [*about, *_record(told)]), *_head("asked", _asked(told))]
    for subject in told.subjects:
        lines += [Line(0, ""), *_subject(subject, told)]
    lines += [Line(0, ""), *_verdict(told)]
    return "".join(_wrapped(line, width) for line in lines)


def _wrapped(line: Line, width: int) -> str:
    if not line.text:
        return "\n"
    first, rest = " " * line.indent, " " * (line.indent + line.hang)
    # Ids, paths and terms with dashes stay whole, so that they can be copied.
    return textwrap.fill(
        line.text, width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False, break_long_words=False
    ) + "\n"  # fmt: skip


def _head(name: str, texts: Iterable[str]) -> Iterator[Line]:
    for n, text in enumerate(texts):
        # The name and the space after it are part of the text: wrapping drops no space within a line.
        yield Line(0, f"{name:<{_HEAD}}{text}", _HEAD) if n == 0 else Line(_HEAD, text)


def _use(told: Explanation) -> list[str]:
    use, spoken = told.use, told.vocabulary
    action = spoken.action_terms.get(use.action) if spoken else None
    first = f"{use.action}{f' ({action.label})' if action else ''}, until {instant(use.until)}"
    terms = []
    for name in TERMS:
        term = getattr(use, name)
        known = spoken.facet(name).terms.get(term) if spoken else None
        label = known.label if known and known.label.casefold() != term else ""
        terms.append(f"{name} {term}{f' ({label})' if label else ''}")
    return [first, "; ".join(terms)]


def _record(told: Explanation) -> Iterator[str]:
    record = told.record
    people = sorted(set(record.subject_ids))
    whole = "everybody heard is listed" if record.complete else "perhaps not everybody heard is listed"
    yield f"whose voice: {listed(people, 12)}; {whole}" if people else f"whose voice: nobody is named; {whole}"
    if record.grant_ids:
        yield f"only these of their grants count: {listed(record.grant_ids, 12)}"
    if told.unrecorded:
        yield f"of these nobody in it has given {listed(told.unrecorded, 12)}"
    if told.catalogue_changed is not None:
        yield f"its catalogue row has changed since it was prepared: {_said(told.catalogue_changed)}"


def _asked(told: Explanation) -> Iterator[str]:
    decision = told.decision
    yield f"at ledger position {decision.position}, as of {instant(decision.at)}"
    if told.vocabulary is None:
        yield "the ledger holds no vocabulary: only `any` is known"
    elif told.vocabulary_said is not None:
        yield f"in version {told.vocabulary.version} of the vocabulary ({_said(told.vocabulary_said)})"


def _said(said: Said) -> str:
    return f"position {said.position}, {instant(said.at)}"


def _subject(subject: SubjectAnswer, told: Explanation) -> Iterator[Line]:
    yield Line(0, subject.subject_id)
    for grant in subject.grants:
        yield from _grant(grant, told)
    if not subject.grants:
        last = subject.last_word
        word = f"; their last word is `{last.type}` ({_said(last)})" if last else ""
        yield Line(2, f"no grant is recorded{word}")
    answer = subject.answer
    if isinstance(answer, Justification):
        yield Line(2, f"→ permits it, by rule {answer.rule} of {answer.grant_id}, which ends {instant(answer.ends_at)}")
    else:
        yield Line(2, f"→ denies it: {answer.reason}: {answer.detail}")


def _grant(grant: GrantAnswer, told: Explanation) -> Iterator[Line]:
    given = f", given at {_said(grant.given)}" if grant.given else ""
    yield Line(2, f"grant {grant.grant_id}: {grant.standing.replace('_', ' ')}{given}")
    if grant.ended is not None:
        note = f": {grant.ended.note}" if grant.ended.note else ""
        yield Line(4, f"{grant.standing} at {_said(grant.ended)}{note}")
    yield Line(4, f"from {instant(grant.valid_from)} until {instant(grant.valid_until)}; {grant.scope}")
    if not grant.counts:
        yield Line(4, "is not one of those that count; what it prohibits holds all the same")
    for rule in grant.rules:
        actions = "any action" if ANY in rule.actions else listed(rule.actions, 11)
        yield Line(4, f"rule {rule.index} {rule.effect}s {actions}: {_outcome(rule, grant, told)}")
        yield from _terms(rule)


def _outcome(rule: RuleAnswer, grant: GrantAnswer, told: Explanation) -> str:
    """What comes of the rule for this request, in a few words."""
    if not rule.names_action:
        return f"says nothing of {told.use.action}"
    if not rule.speaks:
        return f"does not reach this use, for its {listed(rule.missing, 6)}"
    if rule.effect == "prohibit":
        if not grant.reaches:
            return "would prohibit this use, but not of this recording"
        may = "" if grant.covers else ", for it may speak of this recording"
        return f"prohibits this use{may}" + ("" if grant.standing == "valid" else ", whatever became of its grant")
    in_the_way = [
        *([f"the grant is {grant.standing.replace('_', ' ')}"] if grant.standing != "valid" else []),
        *(["the grant does not count"] if not grant.counts else []),
        *(["the grant does not speak of this recording"] if not grant.covers else []),
        *([f"only until {instant(rule.until)}"] if told.use.until > rule.until else []),
    ]
    if in_the_way:
        return f"would permit this use, but {listed(in_the_way)}"
    return f"permits this use, until {instant(rule.until)} at the latest"


def _terms(rule: RuleAnswer) -> Iterator[Line]:
    """Facet by facet, those of one answer together; where the rule does not reach the use, only what keeps it."""
    if not rule.names_action:
        return
    answers: dict[str, list[str]] = {}
    for term in rule.terms:
        if rule.speaks or not term.is_met:
            answers.setdefault(term.how, []).append(term.facet)
    for how, facets in answers.items():
        yield Line(6, f"{listed(facets, 6)}: {how}")


def _verdict(told: Explanation) -> Iterator[Line]:
    decision = told.decision
    when = f"decided at ledger position {decision.position}, as of {to_text(decision.at)}"
    if decision.allowed_until is not None:
        yield Line(0, f"ALLOWED until {instant(decision.allowed_until)}")
        for one in decision.justifications:
            until = instant(one.ends_at)
            yield Line(2, f"by rule {one.rule} of grant {one.grant_id} ({one.subject_id}), which ends {until}")
        yield Line(2, when)
        return
    for n, denial in enumerate(decision.denials):
        who = f" ({denial.subject_id})" if denial.subject_id else ""
        yield Line(0 if n == 0 else 2, f"{'DENIED' if n == 0 else 'and'}: {denial.reason}{who}: {denial.detail}")
    yield Line(2, when)
    yield Line(2, "what would have to change:")
    for remedy in dict.fromkeys(remedies(told)):
        yield Line(4, f"– {remedy}")
