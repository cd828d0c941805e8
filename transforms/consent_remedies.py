"""What would have to change, where a decision denies."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.consent import TERMS, Denial, DenyReason
from transforms.consent_words import Explanation, listed


def remedies(explanation: Explanation) -> Iterator[str]:
    """For each denial, what would have to change."""
    for denial in explanation.decision.denials:
        yield _remedy(denial, explanation)


def _remedy(denial: Denial, told: Explanation) -> str:
    who, grant = denial.subject_id, denial.grant_id
    if denial.reason is DenyReason.UNKNOWN_TERM:
        return _remedy_of_terms(told)
    if denial.reason is DenyReason.TOO_LATE and who is None:
        return "ask for an `until` that is still to come"
    if denial.reason is DenyReason.TOO_LATE:
        return f"ask for an earlier `until`, or {who} gives a new grant that lasts longer ({denial.detail})"
    return {
        DenyReason.NO_SUBJECT: "the catalogue names everybody who is heard, and the recording is prepared again",
        DenyReason.INCOMPLETE: "the catalogue says that its list of people is complete, and nothing else is heard",
        DenyReason.CATALOGUE_CHANGED: "`provoice run` prepares it again with its new catalogue row",
        DenyReason.PROHIBITED: (f"ask for a use that {grant} does not prohibit: no new grant takes a prohibition back"),
        DenyReason.NO_GRANT: f"{who} is asked, and their grant imported",
        DenyReason.WITHDRAWN: f"{who} gives a new grant, under a new grant_id: a withdrawal is for good",
        DenyReason.REFUSED: f"{who} gives a new grant, under a new grant_id: a refusal is for good",
        DenyReason.INVALIDATED: f"{who} gives a new grant, under a new grant_id: {grant} was found not to be valid",
        DenyReason.NOT_YET_VALID: f"wait: {denial.detail}",
        DenyReason.EXPIRED: f"{who} gives a new grant, under a new grant_id: {denial.detail}",
        DenyReason.OUT_OF_SCOPE: f"{who} gives a grant that speaks of this recording",
        DenyReason.NOT_PERMITTED: f"{who} gives a grant that permits it{_nearest(told, who, grant)}",
    }.get(denial.reason, denial.detail)


def _remedy_of_terms(told: Explanation) -> str:
    if told.vocabulary is None:
        return "the ledger gets a vocabulary (`provoice consent vocabulary`), or ask for `any`"
    near = [
        f"{name} {listed(facet.near(asked))}"
        for name in TERMS
        if not (facet := told.vocabulary.facet(name)).knows(asked := getattr(told.use, name)) and facet.near(asked)
    ]
    said = f" (near it: {'; '.join(near)})" if near else ""
    return f"ask in terms of version {told.vocabulary.version}{said}, or bring a version that has the term"


def _nearest(told: Explanation, who: str | None, grant_id: str | None) -> str:
    """The permitting rule that lacks least, of the grant that came nearest."""
    rules = [
        rule
        for subject in told.subjects if subject.subject_id == who
        for grant in subject.grants if grant.grant_id == grant_id
        for rule in grant.rules if rule.effect == "permit"
    ]  # fmt: skip
    if not rules:
        return ""
    best = min(rules, key=lambda rule: (not rule.names_action, len(rule.missing)))
    lacks = [f"{told.use.action}"] if not best.names_action else []
    lacks += [f"{facet} {getattr(told.use, facet)}" for facet in best.missing]
    return f"; rule {best.index} of {grant_id} comes nearest, and lacks {listed(lacks, 7)}"
