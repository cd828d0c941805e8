"""The segments of a ledger: each one exclusive create, chained to the one before by its digest.

Two writers never take the same place; the loser reads on and tries again. Every byte of a segment is vouched for: its
events by the digest in its header, its header by its place in the chain. What no chain can show is that its last
segments were taken away.
"""

from __future__ import annotations

import hashlib
import json
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from lake import layout
from lake.reading import read_each
from lake.storage import ObjectInfo, Root
from schemas.errors import AlreadyExists, ConfigError, ConsentError, LakeError
from schemas.model import Frozen, parse

_APPEND_RACES = 1000
_GENESIS = "0" * 64
_IF_NOT_OURS = "if the projection is another ledger's, delete the folder `projection` and it is made anew"

Answer = TypeVar("Answer")
Found = Mapping[str, ObjectInfo]
"""What a listing of the log showed, by path."""


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


class Chain:
    """Segments of one ledger root, verified. Remembers what it has verified, so that reading on costs what is new.

    `on_first_listing` is shown the log before the first segment is read; it may `vouch` for the first ones.
    """

    def __init__(self, root: Root, on_first_listing: Callable[[Found], None]) -> None:
        self.root = root
        self._on_first_listing = on_first_listing
        self._known: list[tuple[SegmentHeader, str]] = []
        """Header and digest of every segment verified so far, by ourselves or by whom we were vouched for."""
        self._sizes: list[int] = []
        """Of the segments that were vouched for."""

    @property
    def position(self) -> int:
        """Events in the segments that are verified."""
        return self._known[-1][0].last_position if self._known else 0

    def ensure(self) -> None:
        """Marks the root as a ledger. Whoever makes a lake does this once: without the mark it cannot be read."""
        try:
            if not self.root.exists(layout.LEDGER_HEAD):
                self.root.create(layout.LEDGER_HEAD, b'{"format_version":1}')
        except AlreadyExists:
            # Whoever is refused looks at the holder: a lake whose ledger has no mark could never be read.
            if not self.root.exists(layout.LEDGER_HEAD):
                where = self.root.uri_of(layout.LEDGER_HEAD)
                raise ConsentError(f"{where} refuses to be created and cannot be read; try again") from None
        except LakeError as error:
            raise ConsentError(f"the consent ledger cannot be made: {error}") from None

    def head(self) -> int:
        """Number of events recorded. Costs one listing and what is new since the last call."""
        for _ in self.segments(since=None):
            pass
        return self.position

    def append(self, lines: Sequence[bytes]) -> None:
        """Adds one segment of events, one a line without its end."""
        body = b"\n".join(lines) + b"\n"
        for attempt in range(_APPEND_RACES):
            header = SegmentHeader(
                first_position=self.head() + 1,
                segment=len(self._known),
                events=len(lines),
                previous_sha256=self._known[-1][1] if self._known else _GENESIS,
                events_sha256=hashlib.sha256(body).hexdigest(),
            )
            path, data = layout.segment_path(header.segment), header.model_dump_json().encode() + b"\n" + body
            try:
                self.root.create(path, data)
                # Made by us, byte for byte: it need not be read again.
                self._known.append((header, hashlib.sha256(data).hexdigest()))
                return
            except AlreadyExists:
                # Lost the race, or won it and lost the answer: then the segment there is ours to the byte, for its
                # events carry ids of their own.
                if self.root.read(path) == data:
                    return
                time.sleep(min(1.0, 0.002 * attempt))
        raise LakeError(f"{self.root.uri}: other writers took every place in {_APPEND_RACES} tries; try again")

    def segments(self, since: int | None) -> Iterator[tuple[SegmentHeader, list[bytes]]]:
        """Segments with events after position `since` (None: only those not verified yet), each verified."""
        listed = self._listed()
        first = len(self._known)
        if since is not None:
            first = next((n for n, (header, _) in enumerate(self._known) if header.last_position > since), first)
        contents = read_each(self.root, listed[first:])
        for number in range(first, len(listed)):
            with self._reached():
                data = next(contents)
            yield self._verified(number, data)

    def digest(self, segment: int) -> str:
        """Of a whole segment that was verified."""
        return self._known[segment][1]

    def segment_at(self, position: int) -> int:
        """The number of the verified segment with the event at `position`."""
        return bisect_right([header.first_position for header, _ in self._known], position) - 1

    def vouch(self, rows: Sequence[Mapping[str, Any]], found: Found | None = None) -> None:
        """Takes the first segments as verified, by what somebody recorded who verified them: of each `first_position`,
        `events`, `previous_sha256`, `events_sha256`, `sha256` and `size_bytes`. Raises ConsentError where they are not
        the ones that lie here."""
        if found is None:
            found = {info.path: info for info in self.reading(lambda root: list(root.list("log")))}
        for number, row in enumerate(rows):
            info = found.get(layout.segment_path(number))
            if info is None:
                path = layout.segment_path(number)
                raise ConsentError(
                    f"segment {path} of the consent ledger {self.root.uri} is missing, but its projection covers it; "
                    f"{_IF_NOT_OURS}"
                )
            is_other = number < len(self._known) and self._known[number][1] != row["sha256"]
            if info.size_bytes != row["size_bytes"] or is_other:
                raise self.broken(number, f"it is not the one that its projection covers; {_IF_NOT_OURS}")
        known = [(_header(number, row), row["sha256"]) for number, row in enumerate(rows)]
        if known:
            # The header names the digests of its events and of the segment before: it stands for the chain up to it.
            self._check_header(known[-1][0])
        self._known = known + self._known[len(known) :]
        self._sizes = [row["size_bytes"] for row in rows]

    def broken(self, number: int, said: str) -> ConsentError:
        """The error that names a segment."""
        where = layout.segment_path(number)
        return ConsentError(f"the consent ledger {self.root.uri} is broken at {where}: {said}")

    def reading(self, read: Callable[[Root], Answer]) -> Answer:
        """What `read` answers; a store that is away means a ledger that cannot be read, and never an empty one."""
        with self._reached():
            return read(self.root)

    def _listed(self) -> list[ObjectInfo]:
        """Every segment in order; none is missing between them, and none that was verified is gone."""
        with self._reached():
            found = {info.path: info for info in self.root.list("log") if info.path.endswith(".jsonl")}
            if not self._known and not self.root.exists(layout.LEDGER_HEAD):
                raise ConsentError(
                    f"no consent ledger at {self.root.uri} (it has no {layout.LEDGER_HEAD}); "
                    "it is never taken for an empty one"
                )
        if not self._known:
            self._on_first_listing(found)
        expected = [layout.segment_path(number) for number in range(max(len(found), len(self._known)))]
        missing = next((path for path in expected if path not in found), None)
        if missing is not None:
            raise ConsentError(f"segment {missing} of the consent ledger {self.root.uri} is missing")
        changed = next((n for n, size in enumerate(self._sizes) if found[expected[n]].size_bytes != size), None)
        if changed is not None:
            raise self.broken(changed, f"it has not the size that its projection recorded; {_IF_NOT_OURS}")
        return [found[path] for path in expected]

    def _verified(self, number: int, data: bytes) -> tuple[SegmentHeader, list[bytes]]:
        """The segment's header and lines; remembers a segment that is new, compares one that is not."""
        digest = hashlib.sha256(data).hexdigest()
        if number < len(self._known):
            if digest != self._known[number][1]:
                raise self.broken(number, "it has changed since it was first read")
            return self._known[number][0], data.split(b"\n")[1:-1]
        header, lines = self._taken_apart(number, data)
        previous = self._known[-1][1] if self._known else _GENESIS
        if (header.segment, header.first_position, header.previous_sha256) != (number, self.position + 1, previous):
            raise self.broken(number, "it does not follow from the segment before it")
        self._known.append((header, digest))
        return header, lines

    def _taken_apart(self, number: int, data: bytes) -> tuple[SegmentHeader, list[bytes]]:
        first, _, body = data.partition(b"\n")
        try:
            header = parse(SegmentHeader, json.loads(first), "its header")
        except (ValueError, ConfigError) as error:
            raise self.broken(number, str(error)) from None
        lines = body.split(b"\n")
        # The header must be written as we write it: another spelling of the same words is a changed byte, too.
        is_whole = header.model_dump_json().encode() == first and lines.pop() == b"" and len(lines) == header.events
        if not is_whole or hashlib.sha256(body).hexdigest() != header.events_sha256:
            raise self.broken(number, "its events are not those that were recorded")
        return header, lines

    def _check_header(self, header: SegmentHeader) -> None:
        expected = header.model_dump_json().encode() + b"\n"
        path = layout.segment_path(header.segment)
        if self.reading(lambda root: root.read(path, 0, len(expected))) != expected:
            raise self.broken(header.segment, f"it is not the one that its projection covers; {_IF_NOT_OURS}")

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except LakeError as error:
            raise ConsentError(f"the consent ledger cannot be read: {error}") from None


def _header(number: int, row: Mapping[str, Any]) -> SegmentHeader:
    named = ("first_position", "events", "previous_sha256", "events_sha256")
    return SegmentHeader(segment=number, **{name: row[name] for name in named})
