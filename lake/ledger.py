"""The consent ledger: append-only segments of events, each chained to the one before by its digest (`lake.chain`).

What no chain can show is that its last segments were taken away; whoever knows a position that was there says so
(`expect`), and so does the projection, from which a ledger of many events is opened (`lake.projection`).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lake.chain import Chain, Found
from lake.storage import Root
from schemas.errors import ConsentError, LakeError
from schemas.ledger import Event

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


class Ledger:
    """Events of one ledger root. Remembers what it has verified, so that reading on costs only what is new."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self._chain = Chain(root, self._start)
        self._projection: Projection | None = None

    def ensure(self) -> None:
        """Marks the root as a ledger. Whoever makes a lake does this once: without the mark it cannot be read."""
        self._chain.ensure()

    def head(self) -> int:
        """Number of events recorded. Costs one listing and what is new since the last call."""
        return self._chain.head()

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
        for header, lines in self._chain.segments(since):
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
        return self._chain.position

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
            self._chain.append(lines[start : start + MAX_SEGMENT_EVENTS])

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
            newest = self._chain.reading(Projection.newest)
            if newest is not None and newest.position > covered:
                self._adopt(newest)
        return self._projection

    def _start(self, found: Found) -> None:
        """What the newest projection covers counts as verified: by who built it, and by the digests it recorded."""
        if sum(info.size_bytes for info in found.values()) <= _LOOK_BEYOND_BYTES:
            return
        from lake.projection import Projection

        newest = self._chain.reading(Projection.newest)
        if newest is not None:
            self._adopt(newest, found)

    def _adopt(self, projection: Projection, found: Found | None = None) -> None:
        """Reads on from `projection`. Raises ConsentError where it is not of this ledger."""
        self._chain.vouch(self._chain.reading(lambda _: projection.segments()), found)
        self._projection = projection

    def _segment_lines(self, since: int) -> Iterator[Any]:
        from lake.projection_build import SegmentLines

        for header, lines in self._chain.segments(since):
            size = len(header.model_dump_json()) + 1 + sum(map(len, lines)) + len(lines)
            row = {**header.model_dump(exclude={"segment"}), "sha256": self._chain.digest(header.segment)}
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

    def _event(self, line: bytes, segment: int) -> Event:
        try:
            return Event.model_validate_json(line)
        except ValueError as error:
            raise self._chain.broken(segment, "no valid event: " + " ".join(str(error).split())) from None

    def _event_at(self, line: bytes, position: int) -> Event:
        return self._event(line, self._chain.segment_at(position))


def _no_rows() -> pa.RecordBatch:
    import pyarrow as pa

    from schemas.consent_tables import EVENTS_SCHEMA

    return pa.RecordBatch.from_pylist([], EVENTS_SCHEMA)
