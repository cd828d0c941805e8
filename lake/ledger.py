"""The consent ledger: append-only segments of events, each chained to the one before by its digest.

A segment is one exclusive create, so that two writers never take the same place; the loser reads on and tries again.
Every byte of a segment is vouched for: its events by the digest in its header, its header by its place in the chain.
What no chain can show is that its last segments were taken away; whoever knows a position that was there says so
(`expect`).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lake import layout
from lake.reading import read_each
from lake.storage import ObjectInfo, Root
from schemas.errors import AlreadyExists, ConfigError, ConsentError, LakeError
from schemas.ledger import Event
from schemas.model import Frozen, parse

MAX_SEGMENT_EVENTS = 100_000
_APPEND_RACES = 1000
_GENESIS = "0" * 64


class SegmentHeader(Frozen):
    """First line of a segment. Positions count events; the first event of all is 1."""

    segment: int
    first_position: int
    events: int
    previous_sha256: str
    """Of the whole segment before; zeros in the first."""
    events_sha256: str
    """Of everything after this line."""

    @property
    def last_position(self) -> int:
        return self.first_position + self.events - 1


class Ledger:
    """Events of one ledger root. Remembers what it has verified, so that reading on costs only what is new."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self._known: list[tuple[SegmentHeader, str]] = []
        """Header and digest of every segment verified so far."""

    def ensure(self) -> None:
        """Marks the root as a ledger. Whoever makes a lake does this once: without the mark it cannot be read."""
        try:
            if not self.root.exists(layout.LEDGER_HEAD):
                self.root.create(layout.LEDGER_HEAD, b'{"format_version":1}')
        except AlreadyExists:
            pass
        except LakeError as error:
            raise ConsentError(f"the consent ledger cannot be made: {error}") from None

    def head(self) -> int:
        """Number of events recorded. Costs one listing and what is new since the last call."""
        for _ in self._segments(since=None):
            pass
        return self._position()

    def expect(self, position: int) -> None:
        """Raises ConsentError when fewer events than `position` are there: what was once decided on is gone."""
        head = self.head()
        if head < position:
            raise ConsentError(
                f"the consent ledger {self.root.uri} ends at event {head}, but event {position} has been read from it; "
                "its last segments are missing"
            )

    def events(self, since: int = 0) -> Iterator[tuple[int, Event]]:
        """(position, event) of every event after position `since`. Raises ConsentError where the chain is broken.

        Only who has read to the end knows that the whole chain holds.
        """
        for header, lines in self._segments(since):
            for position, line in enumerate(lines, header.first_position):
                if position > since:
                    yield position, self._event(line, header.segment)

    def append(self, events: Sequence[Event]) -> int:
        """Adds `events` in order, and returns the head's position. Needs the mark that `ensure` makes."""
        for start in range(0, len(events), MAX_SEGMENT_EVENTS):
            batch = events[start : start + MAX_SEGMENT_EVENTS]
            lines = (event.model_dump_json(exclude_none=True).encode() + b"\n" for event in batch)
            self._append_segment(len(batch), b"".join(lines))
        return self.head()

    def _append_segment(self, events: int, body: bytes) -> None:
        for attempt in range(_APPEND_RACES):
            header = SegmentHeader(
                first_position=self.head() + 1,
                segment=len(self._known),
                events=events,
                previous_sha256=self._known[-1][1] if self._known else _GENESIS,
                events_sha256=hashlib.sha256(body).hexdigest(),
            )
            path, data = layout.segment_path(header.segment), header.model_dump_json().encode() + b"\n" + body
            try:
                self.root.create(path, data)
                return
            except AlreadyExists:
                # Lost the race, or won it and lost the answer: then the segment there is ours to the byte, for its
                # events carry ids of their own.
                if self.root.read(path) == data:
                    return
                time.sleep(min(1.0, 0.002 * attempt))
        raise LakeError(f"{self.root.uri}: other writers took every place in {_APPEND_RACES} tries; try again")

    def _position(self) -> int:
        return self._known[-1][0].last_position if self._known else 0

    def _segments(self, since: int | None) -> Iterator[tuple[SegmentHeader, list[bytes]]]:
        """Segments with events after `since` (None: only those not verified yet), each verified."""
        listed = self._listed()
        first = len(self._known)
        if since is not None:
            first = next((n for n, (header, _) in enumerate(self._known) if header.last_position > since), first)
        contents = read_each(self.root, listed[first:])
        for number in range(first, len(listed)):
            with self._reached():
                data = next(contents)
            yield self._verified(number, data)

    def _listed(self) -> list[ObjectInfo]:
        """Every segment in order; none is missing between them, and none that was verified is gone."""
        with self._reached():
            found = {info.path: info for info in self.root.list("log") if info.path.endswith(".jsonl")}
            if not self._known and not self.root.exists(layout.LEDGER_HEAD):
                raise ConsentError(
                    f"no consent ledger at {self.root.uri} (it has no {layout.LEDGER_HEAD}); "
                    "it is never taken for an empty one"
                )
        expected = [layout.segment_path(number) for number in range(max(len(found), len(self._known)))]
        missing = next((path for path in expected if path not in found), None)
        if missing is not None:
            raise ConsentError(f"segment {missing} of the consent ledger {self.root.uri} is missing")
        return [found[path] for path in expected]

    def _verified(self, number: int, data: bytes) -> tuple[SegmentHeader, list[bytes]]:
        """The segment's header and lines; remembers a segment that is new, compares one that is not."""
        digest = hashlib.sha256(data).hexdigest()
        header, lines = self._taken_apart(number, data)
        if number < len(self._known):
            if digest != self._known[number][1]:
                raise self._broken(number, "it has changed since it was first read")
            return header, lines
        previous, position = (self._known[-1][1], self._position()) if self._known else (_GENESIS, 0)
        if (header.segment, header.first_position, header.previous_sha256) != (number, position + 1, previous):
            raise self._broken(number, "it does not follow from the segment before it")
        self._known.append((header, digest))
        return header, lines

    def _taken_apart(self, number: int, data: bytes) -> tuple[SegmentHeader, list[bytes]]:
        first, _, body = data.partition(b"\n")
        try:
            header = parse(SegmentHeader, json.loads(first), "its header")
        except (ValueError, ConfigError) as error:
            raise self._broken(number, str(error)) from None
        lines = body.split(b"\n")
        # The header must be written as we write it: another spelling of the same words is a changed byte, too.
        is_whole = header.model_dump_json().encode() == first and lines.pop() == b"" and len(lines) == header.events
        if not is_whole or hashlib.sha256(body).hexdigest() != header.events_sha256:
            raise self._broken(number, "its events are not those that were recorded")
        return header, lines

    def _broken(self, number: int, said: str) -> ConsentError:
        where = layout.segment_path(number)
        return ConsentError(f"the consent ledger {self.root.uri} is broken at {where}: {said}")

    def _event(self, line: bytes, segment: int) -> Event:
        try:
            return Event.model_validate_json(line)
        except ValueError as error:
            raise self._broken(segment, "no valid event: " + " ".join(str(error).split())) from None

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except LakeError as error:
            raise ConsentError(f"the consent ledger cannot be read: {error}") from None
