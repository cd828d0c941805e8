"""Which events of a ledger have an effect: beyond what its projection covers, or in all of it where there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from lake.projection import Name, Projection, name_of
from schemas.ledger import Event, EventType

Numbered = tuple[int, Event]


class Once:
    """Says of each event, in order, whether it has an effect: an event's id counts once, a grant is given once.

    `taken` are names that earlier events have taken.
    """

    def __init__(self, taken: frozenset[Name] = frozenset()) -> None:
        self._taken = taken
        self._seen: set[str] = set()
        self._given: set[str] = set()

    def counts(self, event: Event) -> bool:
        if event.event_id in self._seen or self._is_taken("e", event.event_id):
            return False
        self._seen.add(event.event_id)
        if event.type is not EventType.GIVEN or event.grant_id is None:
            return True
        if event.grant_id in self._given or self._is_taken("g", event.grant_id):
            return False
        self._given.add(event.grant_id)
        return True

    def _is_taken(self, prefix: str, word: str) -> bool:
        return bool(self._taken) and name_of(prefix, word) in self._taken


def effective(events: Iterable[Numbered]) -> Iterator[Numbered]:
    """Those with an effect, of events from the first on."""
    once = Once()
    return ((position, event) for position, event in events if once.counts(event))


def effective_beyond(
    projection: Projection, tail: Sequence[Numbered], is_wanted: Callable[[Event], bool]
) -> Iterator[Numbered]:
    """Wanted events with an effect, of `tail`, which follows what the projection covers.

    It is asked only about names that the wanted events depend on, for it knows many.
    """
    wanted = [event for _, event in tail if is_wanted(event)]
    grants = {event.grant_id for event in wanted if event.type is EventType.GIVEN and event.grant_id is not None}
    ids = {event.event_id for event in wanted}
    # Whoever else gives these grants comes first only if their own event counts.
    ids |= {event.event_id for _, event in tail if event.type is EventType.GIVEN and event.grant_id in grants}
    names = [*(name_of("e", name) for name in sorted(ids)), *(name_of("g", name) for name in sorted(grants))]
    once = Once(frozenset(projection.taken(names)))
    for position, event in tail:
        gives = event.type is EventType.GIVEN and event.grant_id in grants
        if (event.event_id in ids or gives) and once.counts(event) and is_wanted(event):
            yield position, event
