"""Models that were registered as trained on a release, and the state that each is in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pipelines.notices.uses import Ending, Uses
from schemas.ledger import EventType


class State(StrEnum):
    """What becomes of a model."""

    IN_USE = "in_use"
    """Nobody who is in it has taken anything back."""
    TRAINED_WITH_SUBJECT = "trained_with_subject"
    """Somebody has, and its owner has not said what becomes of it."""
    TO_BE_RETIRED = "to_be_retired"
    RETIRED = "retired"
    EXEMPT = "exempt"
    """It stays, for a reason that its owner gave; until somebody else in it takes something back."""


MOVES = {
    State.TO_BE_RETIRED: EventType.RETIRING,
    State.RETIRED: EventType.RETIRED,
    State.EXEMPT: EventType.EXEMPTED,
}
"""What an owner may say, and the event that says it."""
_STATE_OF = {event.value: state for state, event in MOVES.items()}
ANSWERED = frozenset({State.RETIRED, State.EXEMPT})


@dataclass(frozen=True, slots=True)
class Model:
    """A registered model, by name."""

    model: str
    owners: tuple[str, ...]
    """Everybody who registered a use of it."""
    releases: tuple[str, ...]
    state: State
    since: datetime
    reason: str | None
    people_withdrawn: int
    """People in what it was trained on who have taken that back."""


def models(uses: Uses) -> list[Model]:
    """Every model, by name."""
    names = sorted({row["model"] for row in uses.used if row["model"]})
    return [_model(uses, name) for name in names]


def _model(uses: Uses, name: str) -> Model:
    used = [row for row in uses.used if row["model"] == name]
    named = {row["release"]["sha256"]: f"{row['release']['name']}@{row['release']['version']}" for row in used}
    records = [uses.records[sha256] for sha256 in named if sha256 in uses.records]
    ended = [pair for record in records for pair in uses.ended(record)]
    state, since, reason = _state(uses, name, used[0]["recorded_at"], [ending for _, ending in ended])
    return Model(
        model=name,
        owners=tuple(sorted({row["owner"] for row in used})),
        releases=tuple(sorted(named.values())),
        state=state,
        since=since,
        reason=reason,
        people_withdrawn=len({row["subject_id"] for row, _ in ended}),
    )


def _state(
    uses: Uses, name: str, began: datetime, endings: Sequence[Ending]
) -> tuple[State, datetime, str | None]:  # fmt: skip
    newest = max(endings, key=lambda one: one.position, default=None)
    moved = [row for row in uses.moved if row["model"] == name]
    if moved:
        last = moved[-1]
        state = _STATE_OF[last["type"]]
        # Who exempted it knew of nobody who came later.
        if state is not State.EXEMPT or newest is None or newest.position < last["position"]:
            return state, last["recorded_at"], last["note"]
    if newest is not None:
        return State.TRAINED_WITH_SUBJECT, newest.at, None
    return State.IN_USE, began, None
