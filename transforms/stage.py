"""What a stage is: it opens its models once per worker, then answers every item of a batch, in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar, runtime_checkable

from schemas.errors import Rejected

Item = TypeVar("Item")
Made = TypeVar("Made")


@runtime_checkable
class Stage(Protocol[Item]):
    """`name` and `version` land in the recipe; a new version makes new bytes. Items are Recordings or Utterances.

    Three outcomes: an item; `Rejected` in that item's place; anything else propagates and fails the unit, which is
    retried.
    """

    name: str
    version: int

    def open(self) -> None:
        """Load models. Called once per worker process, before the first batch."""

    def __call__(self, batch: list[Item]) -> Sequence[Item | Rejected]:
        """One answer per item, in order."""


def each(batch: Sequence[Item], function: Callable[[Item], Made]) -> list[Made | Rejected]:
    """`function` over `batch`; a Rejected that it raises takes that item's place, and its neighbours go on."""
    answers: list[Made | Rejected] = []
    for item in batch:
        try:
            answers.append(function(item))
        except Rejected as rejected:
            answers.append(rejected)
    return answers
