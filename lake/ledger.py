"""The consent ledger: append-only segments of events, each chained to the one before by its digest.

A segment is one exclusive create, so that two writers never take the same place; the loser reads on and tries again.
Every byte of a segment is vouched for: its events by the digest in its header, its header by its place in the chain.
What no chain can show is that its last segments were taken away; whoever knows a position that was there says so
(`expect`), and so does the projection, from which a ledger of many events is opened (`lake.projection`).
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from lake import layout
from lake.reading import read_each
from lake.storage import ObjectInfo, Root
from schemas.errors import AlreadyExists, ConfigError, ConsentError, LakeError
from schemas.ledger import Event
from schemas.model import Frozen, parse

if TYPE_CHECKING:
    import pyarrow as pa

    from lake.projection import Projection, Source

log = logging.getLogger("provoice.ledger")

PROJECT_BEYOND = 20_000
"""Events beyond the projection from which on it is built on. A reader spends a third of a second on so many lines,
whoever builds them on a few, once; a ledger that has not as many is read as fast without one."""
_PROJECT_AT_ONCE = 500_000
"""An append builds on no more than this, which takes half a minute; an import takes the time."""
_LOOK_BEYOND_BYTES = 64 * PROJECT_BEYOND
"""A log of fewer bytes holds too few events to have a projection: then none is asked for."""
MAX_SEGMENT_EVENTS = 100_000
_APPEND_RACES = 1000
_GENESIS = "0" * 64


_IF_NOT_OURS = "if the projection is another ledger's, delete the folder `projection` and it is made anew"
Answer = TypeVar("Answer")


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
        """Header and digest of every segment verified so far, by ourselves or by who built the projection."""
        self._projection: Projection | None = None
        self._sizes: list[int] = []
        """Of the segments that the projection covers."""

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

    def events_about(
        self, subjects: Collection[str], sources: Collection[Source], since: int = 0
    ) -> Iterator[tuple[int, Event]]:
        """(position, event), in order, of what a fold needs for these subjects and sources (root, path).

        These are the effective events about the subjects, the sources' new catalogue rows, and every vocabulary. An
        event that names a source and a person, and is about no grant, is found by its source.
        """
        from lake.projection import is_about
        from lake.projection_tail import effective, effective_beyond

        subjects, sources = frozenset(subjects), frozenset(sources)
        projection = self._newest_projection()
        found: Iterator[tuple[int, Event]]
        if projection is None:
            found = ((n, event) for n, event in effective(self.events()) if is_about(event, subjects, sources))
        else:
            if since < projection.position:
                yield from ((n, event) for n, event in projection.about(subjects, sources) if n > since)
            tail = list(self.events(projection.position))
            found = effective_beyond(projection, tail, lambda event: is_about(event, subjects, sources))
        yield from ((n, event) for n, event in found if n > since)

    def events_table(self, subjects: Collection[str] | None = None) -> pa.Table:
        """The effective events as rows of EVENTS_SCHEMA, by position: all, or those about these subjects and about
        nobody."""
        import pyarrow as pa

        from schemas.consent_tables import EVENTS_SCHEMA

        projection = self._newest_projection()
        if projection is None or subjects is None:
            batches = list(self.events_batches()) if subjects is None else [self._rows_beyond(None, subjects)]
        else:
            covered = projection.table(frozenset(subjects), None).to_batches()
            batches = [*covered, self._rows_beyond(projection, subjects)]
        return pa.Table.from_batches(batches, EVENTS_SCHEMA)

    def events_batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """All effective events as rows of EVENTS_SCHEMA, by position; of a projection in bounded memory."""
        projection = self._newest_projection()
        if projection is not None:
            yield from projection.by_position(columns)
        tail = self._rows_beyond(projection, None)
        yield tail if columns is None else tail.select(list(columns))

    def taken_names(self) -> Iterator[pa.RecordBatch]:
        """(high, low) of the id of every event and of every grant that was given: `lake.projection.name_of`."""
        from lake.projection_build import names_in
        from lake.projection_files import read_groups
        from lake.projection_rows import table_of

        projection = self._newest_projection()
        if projection is not None:
            yield from read_groups(self.root, projection.head.of("name"))
        tail = table_of(self.events(projection.position if projection else 0))
        yield from names_in(tail).select(["high", "low"]).to_batches()

    @property
    def position(self) -> int:
        """Events that were there when the ledger was last read or written."""
        return self._position()

    @property
    def is_projected(self) -> bool:
        """Whether reading about a few is quicker than reading all. Known once the ledger has been read."""
        return self._projection is not None

    def append(self, events: Sequence[Event]) -> int:
        """Adds `events` in order, and returns the head's position. Needs the mark that `ensure` makes."""
        self.append_lines([event.model_dump_json(exclude_none=True).encode() for event in events])
        head = self.head()
        beyond = head - (self._projection.position if self._projection else 0)
        if PROJECT_BEYOND < beyond <= _PROJECT_AT_ONCE:
            try:
                self.project()
            except (ConsentError, LakeError) as error:
                # What was to be recorded has been; who reads next is told what is wrong with the projection.
                log.warning("the projection of the consent ledger was not built on: %s", error)
        return head

    def append_lines(self, lines: Sequence[bytes]) -> None:
        """Adds events as `append` writes them, one a line without its end, and leaves the projection alone."""
        for start in range(0, len(lines), MAX_SEGMENT_EVENTS):
            batch = lines[start : start + MAX_SEGMENT_EVENTS]
            self._append_segment(len(batch), b"\n".join(batch) + b"\n")

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
        if not self._known and sum(info.size_bytes for info in found.values()) > _LOOK_BEYOND_BYTES:
            self._start(found)
        expected = [layout.segment_path(number) for number in range(max(len(found), len(self._known)))]
        missing = next((path for path in expected if path not in found), None)
        if missing is not None:
            raise ConsentError(f"segment {missing} of the consent ledger {self.root.uri} is missing")
        changed = next((n for n, size in enumerate(self._sizes) if found[expected[n]].size_bytes != size), None)
        if changed is not None:
            raise self._broken(changed, f"it has not the size that its projection recorded; {_IF_NOT_OURS}")
        return [found[path] for path in expected]

    def _verified(self, number: int, data: bytes) -> tuple[SegmentHeader, list[bytes]]:
        """The segment's header and lines; remembers a segment that is new, compares one that is not."""
        digest = hashlib.sha256(data).hexdigest()
        if number < len(self._known):
            if digest != self._known[number][1]:
                raise self._broken(number, "it has changed since it was first read")
            return self._known[number][0], data.split(b"\n")[1:-1]
        header, lines = self._taken_apart(number, data)
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

    # --- the projection -------------------------------------------------------------------------------------------

    def project(self, beyond: int | None = None) -> None:
        """Builds the projection on where more than `beyond` events (PROJECT_BEYOND) are not in it yet."""
        from lake.projection_build import build_on

        head = self.head()
        projection = self._newest_projection()
        covered = projection.position if projection else 0
        if head - covered > (PROJECT_BEYOND if beyond is None else beyond):
            built = build_on(self.root, projection, self._segment_lines(covered), self._event_at)
            self._adopt(built)

    def _newest_projection(self) -> Projection | None:
        """The one in hand, or a newer one where many events lie beyond it, or None. Reads the ledger's head."""
        from lake.projection import Projection

        covered = self._projection.position if self._projection else 0
        if self.head() - covered > PROJECT_BEYOND:
            newest = self._reading(Projection.newest)
            if newest is not None and newest.position > covered:
                self._adopt(newest)
        return self._projection

    def _start(self, found: Mapping[str, ObjectInfo]) -> None:
        """What the newest projection covers counts as verified: by who built it, and by the digests it recorded."""
        from lake.projection import Projection

        newest = self._reading(Projection.newest)
        if newest is not None:
            self._adopt(newest, found)

    def _adopt(self, projection: Projection, found: Mapping[str, ObjectInfo] | None = None) -> None:
        """Reads on from `projection`. Raises ConsentError where it is not of this ledger."""
        rows = self._reading(lambda _: projection.segments())
        if found is None:
            found = {info.path: info for info in self._reading(lambda root: list(root.list("log")))}
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
                raise self._broken(number, f"it is not the one that its projection covers; {_IF_NOT_OURS}")
        known = [(_header(number, row), row["sha256"]) for number, row in enumerate(rows)]
        if known:
            # The header names the digests of its events and of the segment before: it stands for the chain up to it.
            self._check_header(known[-1][0])
        self._known = known + self._known[len(known) :]
        self._sizes = [row["size_bytes"] for row in rows]
        self._projection = projection

    def _check_header(self, header: SegmentHeader) -> None:
        expected = header.model_dump_json().encode() + b"\n"
        path = layout.segment_path(header.segment)
        if self._reading(lambda root: root.read(path, 0, len(expected))) != expected:
            raise self._broken(header.segment, f"it is not the one that its projection covers; {_IF_NOT_OURS}")

    def _segment_lines(self, since: int) -> Iterator[Any]:
        from lake.projection_build import SegmentLines

        for header, lines in self._segments(since):
            size = len(header.model_dump_json()) + 1 + sum(map(len, lines)) + len(lines)
            row = {**header.model_dump(exclude={"segment"}), "sha256": self._known[header.segment][1]}
            yield SegmentLines({**row, "size_bytes": size}, lines)

    def _rows_beyond(self, projection: Projection | None, subjects: Collection[str] | None) -> pa.RecordBatch:
        """Effective events that the projection does not cover, about these subjects (None: all) and about nobody."""
        from lake.projection import is_about_nobody
        from lake.projection_rows import table_of
        from lake.projection_tail import effective, effective_beyond

        def is_wanted(event: Event) -> bool:
            return subjects is None or event.subject_id in subjects or is_about_nobody(event)

        if projection is None:
            events = [(n, event) for n, event in effective(self.events()) if is_wanted(event)]
        else:
            events = list(effective_beyond(projection, list(self.events(projection.position)), is_wanted))
        return table_of(events).combine_chunks().to_batches()[0] if events else _no_rows()

    def _broken(self, number: int, said: str) -> ConsentError:
        where = layout.segment_path(number)
        return ConsentError(f"the consent ledger {self.root.uri} is broken at {where}: {said}")

    def _event(self, line: bytes, segment: int) -> Event:
        try:
            return Event.model_validate_json(line)
        except ValueError as error:
            raise self._broken(segment, "no valid event: " + " ".join(str(error).split())) from None

    def _event_at(self, line: bytes, position: int) -> Event:
        firsts = [header.first_position for header, _ in self._known]
        return self._event(line, bisect_right(firsts, position) - 1)

    def _reading(self, read: Callable[[Root], Answer]) -> Answer:
        with self._reached():
            return read(self.root)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except LakeError as error:
            raise ConsentError(f"the consent ledger cannot be read: {error}") from None


def _header(number: int, row: Mapping[str, Any]) -> SegmentHeader:
    named = ("first_position", "events", "previous_sha256", "events_sha256")
    return SegmentHeader(segment=number, **{name: row[name] for name in named})


def _no_rows() -> pa.RecordBatch:
    import pyarrow as pa

    from schemas.consent_tables import EVENTS_SCHEMA

    return pa.RecordBatch.from_pylist([], EVENTS_SCHEMA)
