"""What the ledger has said since a release was made, looked at again and again, and how long ago it was last seen."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from lake import layout
from lake.ledger import Ledger
from lake.storage import Root
from schemas.errors import ConsentError, LakeError
from schemas.ledger import ENDS_GRANT, Event, EventType
from schemas.releases import ReleaseRecord
from schemas.vocabulary import Vocabulary

if TYPE_CHECKING:
    import pyarrow as pa

Clock = Callable[[], datetime]
DECIDING = frozenset({EventType.GIVEN, EventType.CATALOGUE_CHANGED, EventType.VOCABULARY, *ENDS_GRANT})
"""Types of events that a decision reads."""

_log = logging.getLogger("provoice.loader")


def utc_now() -> datetime:
    return datetime.now(UTC)


class Watch:
    """Reads the ledger from where the release was decided. Whoever decides asks `at` for the instant to decide at."""

    def __init__(self, ledger: Ledger, release: ReleaseRecord, interval_s: float, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._name = f"release {release.name} {release.version}"
        self._began = release.ledger_position
        self._interval = timedelta(seconds=interval_s)
        self._max_age = timedelta(seconds=release.demands.max_ledger_age_s)
        self.position = release.ledger_position
        """How far the ledger has been read."""
        self.events: list[tuple[int, Event]] = []
        """Those since the release that a decision reads, by position."""
        self._newest = release.decided_at
        self._tried: datetime | None = None
        self._seen: datetime | None = None
        self._vocabulary: Vocabulary | None = None
        self._has_read_vocabulary = False

    def at(self) -> datetime:
        """Now: the clock, but never before the newest event or the release itself, whatever the clock says."""
        return max(self._clock(), self._newest)

    def is_due(self) -> bool:
        """The ledger has not been looked at for an interval, or for as long as the release allows at most."""
        if self._tried is None or self._seen is None:
            return True
        now = self._clock()
        # A clock that was set back says nothing about how long ago it was.
        return not self._tried <= now < min(self._tried + self._interval, self._seen + self._max_age)

    def look(self) -> list[tuple[int, Event]]:
        """Events that decide and that no earlier look has found.

        A ledger out of reach is borne until it was last seen as long ago as the release allows, with a warning each
        time; then, and at once where it is broken or has lost its end, ConsentError.
        """
        self._tried = self._clock()
        try:
            fresh = self._read()
        except (ConsentError, LakeError) as error:
            if not self._is_out_of_reach():
                raise
            self._bear(error)
            return []
        self._seen = self._tried
        return fresh

    @property
    def vocabulary_then(self) -> Vocabulary | None:
        """The vocabulary that was in force when the release was decided; read when it is first asked for."""
        if not self._has_read_vocabulary:
            try:
                about = list(self._ledger.events_about((), ()))
            except LakeError as error:
                raise ConsentError(f"the consent ledger cannot be read: {error}") from None
            spoken = [event.vocabulary for position, event in about if position <= self._began and event.vocabulary]
            self._vocabulary = spoken[-1] if spoken else None
            self._has_read_vocabulary = True
        return self._vocabulary

    def since(self) -> pa.Table:
        """`events` as a table of EVENTS_SCHEMA."""
        from lake.projection_rows import table_of

        return table_of(self.events)

    def record(self, event: Event) -> None:
        """Adds `event` to the ledger. Raises LakeError or ConsentError."""
        self._ledger.append([event])

    def in_this_process(self) -> Watch:
        """The same watch with a connection of its own: clients of object stores do not outlive a fork."""
        other = copy.copy(self)
        other._ledger = copy.copy(self._ledger)
        other._ledger.root = Root(self._ledger.root.uri)
        other.events = list(self.events)
        return other

    def _read(self) -> list[tuple[int, Event]]:
        if self._seen is None:
            self._ledger.expect(self._began)
        found = list(self._ledger.events(self.position))
        # Only now: who has read to the end knows that all of it holds.
        fresh = [(position, event) for position, event in found if event.type in DECIDING]
        self.events += fresh
        self.position = found[-1][0] if found else self.position
        self._newest = max([self._newest, *(event.recorded_at for _, event in found)])
        return fresh

    def _is_out_of_reach(self) -> bool:
        """Nothing answers, which says nothing about what is in there."""
        try:
            return not self._ledger.root.exists(layout.LEDGER_HEAD)
        except LakeError:
            return True

    def _bear(self, error: ConsentError | LakeError) -> None:
        now = self._clock()
        if self._seen is None:
            raise ConsentError(str(error)) from None
        age = now - self._seen
        if age >= self._max_age or age < timedelta(0):
            raise ConsentError(
                f"{self._name} demands a ledger seen within {self._max_age.total_seconds():g} s, and it was last seen "
                f"{age.total_seconds():.0f} s ago: {error}; resume once it can be reached"
            ) from None
        _log.warning("%s goes on by the ledger as seen %.0f s ago: %s", self._name, age.total_seconds(), error)
