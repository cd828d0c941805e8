"""The consent decision: may this recording, or this utterance, be used so?

`decide` is a pure function of its arguments: deny by default, every data subject must permit, a prohibition wins, and
the same ledger position and instant answer the same for ever. It lists everything that denies; `consent_table` decides
many records at once, and `consent_reference` says the same in the fewest words.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from schemas.consent import (
    ANY,
    Action,
    ConsentRecord,
    Decision,
    Denial,
    DenyReason,
    Grant,
    Justification,
    Use,
)
from schemas.instants import to_text
from transforms.consent_state import ConsentState, GrantState, fold
from transforms.consent_terms import permits, prohibits, unknown_terms

__all__ = [
    "ConsentState", "GrantState", "decide", "decide_without_grants", "fold", "ingest_use", "permitting_grants",
]  # fmt: skip

# When no grant permits, the reason told is that of the grant which came nearest to permitting.
_NEARNESS = (
    DenyReason.NO_GRANT,
    DenyReason.INVALIDATED,
    DenyReason.REFUSED,
    DenyReason.WITHDRAWN,
    DenyReason.NOT_YET_VALID,
    DenyReason.EXPIRED,
    DenyReason.OUT_OF_SCOPE,
    DenyReason.NOT_PERMITTED,
    DenyReason.TOO_LATE,
)


def decide(record: ConsentRecord, use: Use, state: ConsentState, at: datetime) -> Decision:
    """May `record` be used as `use` says, as of `at` and the ledger position of `state`?

    Every denial is listed, so that a steward sees all that stands in the way and not only the first.
    """
    denials = [*_record_denials(record, state), *_use_denials(use, state, at)]
    justifications: list[Justification] = []
    for subject_id in sorted(set(record.subject_ids)):
        answer = _decide_subject(subject_id, record, use, state, at)
        if isinstance(answer, Denial):
            denials.append(answer)
        else:
            justifications.append(answer)
    return Decision(state.position, at, tuple(justifications), tuple(denials), use.until)


def decide_without_grants(record: ConsentRecord, state: ConsentState, at: datetime) -> Decision:
    """For a first look at one's own folder: asks for no grant, but a withdrawal or a refusal still denies."""
    denials = [
        Denial(last, f"the last word of {subject} in the ledger is `{last}`", subject)
        for subject in sorted(set(record.subject_ids))
        if (last := state.ended_subjects.get(subject)) is not None
    ]
    return Decision(state.position, at, denials=tuple(denials))


def _record_denials(record: ConsentRecord, state: ConsentState) -> Iterable[Denial]:
    if not record.subject_ids:
        yield Denial(DenyReason.NO_SUBJECT, "the catalogue names nobody for it")
    if not record.complete:
        yield Denial(DenyReason.INCOMPLETE, "the list of people heard in it is not complete")
    known = state.catalogue_rows.get((record.source_root, record.source_path), record.catalogue_row_sha256)
    if known != record.catalogue_row_sha256:
        yield Denial(DenyReason.CATALOGUE_CHANGED, "its catalogue row has changed since it was prepared")


def _use_denials(use: Use, state: ConsentState, at: datetime) -> Iterable[Denial]:
    for facet, term in unknown_terms(use, state.vocabulary):
        spoken = f"version {state.vocabulary.version} of the vocabulary" if state.vocabulary else "the ledger"
        yield Denial(DenyReason.UNKNOWN_TERM, f"{spoken} knows no {facet} `{term}`")
    if at > use.until:
        yield Denial(DenyReason.TOO_LATE, f"the use itself was over at {to_text(use.until)}")


def permitting_grants(subject_id: str, record: ConsentRecord, use: Use, state: ConsentState, at: datetime) -> list[str]:
    """Ids of every grant of the subject that permits the use, sorted; prohibitions are not looked at here."""
    answers = (_ask(grant_id, record, use, state, at) for grant_id in _counting(subject_id, record, state))
    return sorted(answer.grant_id for answer in answers if isinstance(answer, Justification))


def _counting(subject_id: str, record: ConsentRecord, state: ConsentState) -> list[str]:
    """The subject's grants that count for this record, in order of id."""
    theirs = state.grants_of.get(subject_id, [])
    return sorted(g for g in theirs if not record.grant_ids or g in record.grant_ids)


def _decide_subject(
    subject_id: str, record: ConsentRecord, use: Use, state: ConsentState, at: datetime
) -> Justification | Denial:
    for grant_id in sorted(state.grants_of.get(subject_id, [])):
        # Prohibitions outlive their grant, and no narrowing by the catalogue hides them.
        grant = state.grants[grant_id].grant
        for index, rule in enumerate(grant.rules):
            if rule.effect == "prohibit" and may_cover(grant, record) and prohibits(rule, use, state.vocabulary):
                return Denial(DenyReason.PROHIBITED, f"rule {index} of {grant_id} prohibits it", subject_id, grant_id)
    nearest = Denial(DenyReason.NO_GRANT, f"no grant of {subject_id} is recorded", subject_id)
    longest: Justification | None = None
    for grant_id in _counting(subject_id, record, state):
        answer = _ask(grant_id, record, use, state, at)
        if isinstance(answer, Justification):
            # The grant that ends last, so that what is chosen on it lasts longest; of several the lowest id.
            if longest is None or answer.ends_at > longest.ends_at:
                longest = answer
        elif _NEARNESS.index(answer.reason) > _NEARNESS.index(nearest.reason):
            nearest = answer
    return longest or nearest


def _ask(grant_id: str, record: ConsentRecord, use: Use, state: ConsentState, at: datetime) -> Justification | Denial:
    """Does this one grant permit? The justification that lasts longest, else the first thing in the way."""
    held = state.grants[grant_id]
    grant = held.grant

    def denied(reason: DenyReason, detail: str) -> Denial:
        return Denial(reason, detail, grant.subject_id, grant_id)

    if held.ended is not None:
        return denied(held.ended, f"{grant_id} was {held.ended}")
    if at < grant.valid_from:
        return denied(DenyReason.NOT_YET_VALID, f"{grant_id} begins at {to_text(grant.valid_from)}")
    if at >= grant.valid_until:
        return denied(DenyReason.EXPIRED, f"{grant_id} ended at {to_text(grant.valid_until)}")
    if not _covers(grant, record):
        return denied(DenyReason.OUT_OF_SCOPE, f"{grant_id} does not cover this recording")
    allowing = [
        (rule.durable_until or grant.valid_until, index)
        for index, rule in enumerate(grant.rules)
        if rule.effect == "permit" and permits(rule, use, state.vocabulary)
    ]
    if not allowing:
        return denied(DenyReason.NOT_PERMITTED, f"{grant_id} does not permit `{use.action}` so")
    until, index = max(allowing, key=lambda found: (found[0], -found[1]))
    if use.until > until:
        return denied(DenyReason.TOO_LATE, f"{grant_id} permits it until {to_text(until)} at the latest")
    return Justification(grant.subject_id, grant_id, index, until, grant.valid_until)


def may_cover(grant: Grant, record: ConsentRecord) -> bool:
    """Whether a prohibition of the grant reaches the record: of one whose date nobody knows nobody can say that it does
    not."""
    return _covers(grant, record) or (grant.scope.kind == "collected" and record.collected_at is None)


def _covers(grant: Grant, record: ConsentRecord) -> bool:
    scope = grant.scope
    if scope.kind == "all":
        return True
    if scope.kind == "recordings":
        return any((r.root, r.path) == (record.source_root, record.source_path) for r in scope.recordings)
    if record.collected_at is None or scope.collected_from is None or scope.collected_until is None:
        return False
    return scope.collected_from <= record.collected_at < scope.collected_until


def ingest_use(action: Action, at: datetime, breadth: str = ANY) -> Use:
    """The request of gate 1: to keep or to annotate, now, whatever it may later be used for."""
    return Use(
        action=action,
        medium=breadth,
        genre=breadth,
        series=breadth,
        role=breadth,
        recipient=breadth,
        territory=breadth,
        until=at,
    )
