"""Whose voices may be erased: those who took everything back. Nothing is removed on a slip of the pen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from lake.ledger import Ledger
from schemas.errors import ConfigError
from schemas.ledger import ENDS_GRANT
from transforms.consent import fold


def withdrawn_at(ledger: Ledger, subjects: Sequence[str]) -> dict[str, datetime]:
    """When each of them ended the last of their grants, by the newest event that ends one.

    Raises ConfigError for a person of whom a grant still stands, or who never said a word: what has not been taken back
    may come in again while it is removed.
    """
    if not subjects:
        raise ConfigError("say whom to erase: --subject ID, or --due for everybody who has withdrawn")
    events = list(ledger.events_about(sorted(set(subjects)), ()))
    state = fold(events)
    ended = {
        event.subject_id: event.recorded_at for _, event in events if event.type in ENDS_GRANT and event.subject_id
    }
    for subject in subjects:
        if subject not in state.ended_subjects or subject not in ended:
            standing = [g for g in state.grants_of.get(subject, []) if state.grants[g].ended is None]
            said = f"{', '.join(standing)} of {subject} still stands" if standing else f"{subject} has not withdrawn"
            raise ConfigError(
                f"{said}; record that first: provoice consent withdraw LAKE --subject {subject} (it denies at once)"
            )
    return {subject: ended[subject] for subject in sorted(set(subjects))}


def who_has_withdrawn(ledger: Ledger) -> list[str]:
    """Everybody whose last word is an ending, whether anything of theirs is left or not."""
    return sorted(fold(ledger.events()).ended_subjects)


def without_repeats(subjects: Iterable[str]) -> tuple[str, ...]:
    """Sorted, each once. Raises ConfigError for a name that is empty."""
    found = tuple(sorted({subject.strip() for subject in subjects}))
    if "" in found:
        raise ConfigError("--subject is empty: say whom to erase")
    return found
