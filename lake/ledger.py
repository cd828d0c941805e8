"""The consent ledger: append-only segments of events, each chained to the one before by its digest.

A segment is one exclusive create, so that two writers never take the same place; the loser reads on and tries again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence

from lake import layout
from lake.storage import Missing, Root
from schemas.errors import AlreadyExists, ConfigError, ConsentError, LakeError
from schemas.ledger import Event
from schemas.model import Frozen, parse

MAX_SEGMENT_EVENTS = 100_000
_MARKER = "ledger.0.json"
_APPEND_RACES = 1000
_GENESIS = "0" * 64


class SegmentHeader(Frozen):
    """First line of a segment. Positions count events; the first event of all is 1."""

    segment: int
    first_position: int
    events: int
    previous_sha256: str


class Ledger:
    """Events of one ledger root. Remembers what it has verified, so that reading on costs only what is new."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self._segments: list[tuple[SegmentHeader, str]] = []
        """Header and digest of every segment verified so far."""

    def ensure(self) -> None:
        """Marks the root as a ledger; without the mark it is never read as an empty one."""
        if not self.root.exists(_MARKER):
            try:
                self.root.create(_MARKER, b'{"format_version":1}')
            except AlreadyExists:
                pass
            except LakeError as error:
                raise ConsentError(f"the consent ledger cannot be made: {error}") from None

    def head(self) -> int:
        """Number of events recorded."""
        self._read_on(None)
        return self._position()

    def events(self, since: int = 0) -> Iterator[tuple[int, Event]]:
        """(position, event) of every event after position `since`. Raises ConsentError where the chain is broken."""
        fresh: dict[int, list[bytes]] = {}
        self._read_on(fresh)
        for header, _ in list(self._segments):
            if header.first_position + header.events - 1 <= since:
                continue
            lines = fresh.get(header.segment) or self._lines(header.segment)[1]
            for position, line in enumerate(lines, header.first_position):
                if position > since:
                    yield position, self._event(line, header.segment)

    def append(self, events: Sequence[Event]) -> int:
        """Adds `events` in order, and returns the head's position. Needs the mark that `ensure` makes."""
        waiting = list(events)
        while waiting:
            batch, waiting = waiting[:MAX_SEGMENT_EVENTS], waiting[MAX_SEGMENT_EVENTS:]
            self._append_segment([event.model_dump_json(exclude_none=True).encode() for event in batch])
        return self.head()

    def _append_segment(self, lines: list[bytes]) -> None:
        for _ in range(_APPEND_RACES):
            self._read_on(None)
            header = SegmentHeader(
                segment=len(self._segments),
                first_position=self._position() + 1,
                events=len(lines),
                previous_sha256=self._segments[-1][1] if self._segments else _GENESIS,
            )
            data = b"\n".join([header.model_dump_json().encode(), *lines]) + b"\n"
            try:
                self.root.create(layout.segment_path(header.segment), data)
                return
            except AlreadyExists:
                # Lost the race, or won it and lost the answer: then the segment there is ours to the byte, for its
                # events carry ids of their own.
                if self.root.read(layout.segment_path(header.segment)) == data:
                    return
        raise LakeError(f"{self.root.uri}: other writers took every place in {_APPEND_RACES} tries; try again")

    def _position(self) -> int:
        if not self._segments:
            return 0
        last = self._segments[-1][0]
        return last.first_position + last.events - 1

    def _read_on(self, keep: dict[int, list[bytes]] | None) -> None:
        """Verifies the segments that have come since; their lines go into `keep`."""
        if not self._segments and not self._is_marked():
            raise ConsentError(f"no consent ledger at {self.root.uri} (it has no {_MARKER}); it is never taken for an empty one")
        while True:
            number = len(self._segments)
            try:
                header, lines, digest = self._verified(number)
            except Missing:
                break
            self._segments.append((header, digest))
            if keep is not None:
                keep[number] = lines
        if number == 0 or keep is not None:
            self._check_no_gap(len(self._segments))

    def _is_marked(self) -> bool:
        try:
            return self.root.exists(_MARKER)
        except LakeError as error:
            raise ConsentError(f"the consent ledger cannot be reached: {error}") from None

    def _check_no_gap(self, known: int) -> None:
        """A segment after a missing one means that something was removed."""
        beyond = [info.path for info in self.root.list("log") if _number(info.path) > known]
        if beyond:
            raise ConsentError(f"segment {known} of the ledger {self.root.uri} is missing, but {min(beyond)} is there")

    def _verified(self, number: int) -> tuple[SegmentHeader, list[bytes], str]:
        header, lines, digest = self._lines_and_digest(number)
        previous = self._segments[-1][1] if self._segments else _GENESIS
        expected = (number, self._position() + 1, len(lines), previous)
        if (header.segment, header.first_position, header.events, header.previous_sha256) != expected:
            raise ConsentError(
                f"the chain of the ledger {self.root.uri} is broken at {layout.segment_path(number)}: "
                "it does not follow from the segment before it"
            )
        return header, lines, digest

    def _lines(self, number: int) -> tuple[SegmentHeader, list[bytes]]:
        header, lines, digest = self._lines_and_digest(number)
        if digest != self._segments[number][1]:
            raise ConsentError(f"{self.root.uri_of(layout.segment_path(number))} has changed since it was first read")
        return header, lines

    def _lines_and_digest(self, number: int) -> tuple[SegmentHeader, list[bytes], str]:
        path = layout.segment_path(number)
        try:
            data = self.root.read(path)
        except Missing:
            raise
        except LakeError as error:
            raise ConsentError(f"the consent ledger cannot be read: {error}") from None
        first, *lines = data.splitlines() or [b""]
        try:
            header = parse(SegmentHeader, json.loads(first), path)
        except (ValueError, ConfigError) as error:
            raise ConsentError(f"{self.root.uri_of(path)} is broken: {error}") from None
        return header, lines, hashlib.sha256(data).hexdigest()

    def _event(self, line: bytes, segment: int) -> Event:
        try:
            return Event.model_validate_json(line)
        except ValueError as error:
            said = " ".join(str(error).split())
            raise ConsentError(f"{self.root.uri_of(layout.segment_path(segment))} holds no valid event: {said}") from None


def _number(path: str) -> int:
    name = path.rsplit("/", 1)[-1].removesuffix(".jsonl")
    return int(name) if name.isdigit() else -1
