"""What each reason means and what a person can do about it, in one place for `why`, reports and documents."""

from __future__ import annotations

from schemas.consent import DenyReason
from schemas.errors import REASON_HELP, Reason

HELD_HELP: dict[DenyReason, str] = {
    DenyReason.NO_SUBJECT: "the catalogue names nobody for it; add a row that says who speaks",
    DenyReason.INCOMPLETE: "the catalogue does not say that everybody heard is listed; list them and set `complete`",
    DenyReason.NO_GRANT: "a person heard in it has no grant in the ledger; import one: provoice consent import",
    DenyReason.NOT_YET_VALID: "the grant begins later",
    DenyReason.EXPIRED: "the grant has ended; a renewal is a new grant",
    DenyReason.WITHDRAWN: "the person has withdrawn; only a new grant of theirs would change that",
    DenyReason.REFUSED: "the person has refused; only a new grant of theirs would change that",
    DenyReason.INVALIDATED: "the grant was found invalid; only a new grant would change that",
    DenyReason.OUT_OF_SCOPE: "there is a grant, but it does not cover this recording",
    DenyReason.UNKNOWN_TERM: "the vocabulary in the ledger does not know a term of the request",
    DenyReason.NOT_PERMITTED: "there is a grant, but none of its rules permits this use",
    DenyReason.PROHIBITED: "a rule of the person prohibits this use; prohibitions outlive their grant",
    DenyReason.TOO_LATE: "the request asks for longer than the grant lasts",
    DenyReason.CATALOGUE_CHANGED: "its catalogue row has changed since it was prepared; run again",
    DenyReason.EXTRA_VOICE: "a voice is heard that the catalogue does not name; correct the catalogue, and run again",
    DenyReason.SUPPRESSED: "it was erased, and its place or its bytes are on the suppression list; it stays out",
}


def help_for(status: str | None, reason: str | None) -> str:
    """What a person can do about a row of this status and reason; empty where there is nothing to do."""
    if status == "held" and reason in set(DenyReason):
        return HELD_HELP[DenyReason(reason)]
    return REASON_HELP[Reason(reason)] if reason in set(Reason) else ""
