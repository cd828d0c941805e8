"""Samples of an opened release, each with what vouches for it now; and whether that still holds when all are written.

The index says which grants allowed an utterance when the release was made. Where the ledger has said something about
its people or its source since, it is decided again here, so that an export names no grant that has ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from lake.lake import Lake
from pipelines.export.samples import ExportSample
from provoice.loader.permissions import CONSENT_COLUMNS
from provoice.loader.watch import Clock, Watch
from schemas.consent import Justification
from schemas.errors import ConsentError, LakeError
from schemas.ids import source_id
from schemas.ledger import ENDS_GRANT, Event, EventType
from schemas.releases import ReleaseRecord

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 5000


class Overtaken(ConsentError):
    """While samples were written, something was taken away from them."""


class _Permitted(NamedTuple):
    """A row of the index, as of now; without justifications it is denied."""

    key: str
    source_id: str | None
    justifications: tuple[Justification, ...]
    until: datetime | None


class Lineage:
    """Goes along with one reading of a release, from its first sample to the last look at the ledger."""

    def __init__(self, lake: Lake, release: ReleaseRecord, clock: Clock) -> None:
        self._lake = lake
        self._release = release
        self._watch = Watch(lake.ledger(), release, float("inf"), clock)
        self._watch.look()
        self.utterances = 0
        """Samples that have passed."""
        self._people: set[str] = set()
        self._sources: set[str | None] = set()
        self._until: datetime | None = None

    @property
    def position(self) -> int:
        """How far the ledger has been read."""
        return self._watch.position

    def at(self) -> datetime:
        return self._watch.at()

    def samples(self, opened: Iterable[dict[str, Any]]) -> Iterator[ExportSample]:
        """`opened` in the index's order, rows left out among them, as exporters take them."""
        rows = self._rows()
        for sample in opened:
            key = sample["__key__"]
            row = next((row for row in rows if row.key == key), None)
            if row is None:
                raise LakeError(f"release {self._release.name}: {key} comes out of the order of the index")
            if not row.justifications or row.until is None:
                raise Overtaken(f"{key} is denied by now")
            self._note(row, row.until)
            codec = next(name for name, value in sample.items() if isinstance(value, bytes))
            yield ExportSample(key, sample[codec], codec, sample["json"], row.justifications, row.until)

    def still_holds(self) -> bool:
        """Looks at the ledger again. False where something has been taken away meanwhile from what has passed."""
        fresh = self._watch.look()
        is_over = self._until is not None and self._until <= self._watch.at()
        return not is_over and not any(self._takes_away(event) for _, event in fresh)

    def _note(self, row: _Permitted, until: datetime) -> None:
        self.utterances += 1
        self._people.update(one.subject_id for one in row.justifications)
        self._sources.add(row.source_id)
        self._until = until if self._until is None else min(self._until, until)

    def _takes_away(self, event: Event) -> bool:
        """Whether `event` may deny what has passed; grants that only permit never do."""
        if event.type is EventType.VOCABULARY:
            return True
        if event.type is EventType.CATALOGUE_CHANGED:
            return source_id(event.source_root or "", event.source_path or "") in self._sources
        ends = event.type in ENDS_GRANT or (event.grant and any(one.effect == "prohibit" for one in event.grant.rules))
        return bool(ends) and event.subject_id in self._people

    def _rows(self) -> Iterator[_Permitted]:
        """Every row of the index, in order, decided again where there is reason to."""
        events = [event for _, event in self._watch.events]
        people = {event.subject_id for event in events if event.subject_id is not None}
        sources = {
            source_id(event.source_root, event.source_path)
            for event in events
            if event.source_root is not None and event.source_path is not None
        }
        is_all = any(event.type is EventType.VOCABULARY for event in events)
        for batch in self._batches():
            rows = batch.to_pylist()
            touched = [
                n
                for n, row in enumerate(rows)
                if is_all or row["source_id"] in sources or not people.isdisjoint(row["subject_ids"] or ())
            ]
            for n, decided in zip(touched, self._decided(batch, touched), strict=True):
                rows[n] |= decided
            yield from (_permitted(row) for row in rows)

    def _batches(self) -> Iterator[pa.Table]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        for stored in self._release.index:
            with self._lake.root.open(stored.path) as file:
                for batch in pq.ParquetFile(file).iter_batches(_BATCH_ROWS, columns=list(CONSENT_COLUMNS)):
                    yield pa.Table.from_batches([batch])

    def _decided(self, batch: pa.Table, rows: list[int]) -> list[dict[str, Any]]:
        """Justifications and end of some rows, as of now; none where they are denied."""
        if not rows:
            return []
        from transforms.consent_table import recheck_table

        watch, use = self._watch, self._release.use
        decided = recheck_table(batch.take(rows), use, watch.since(), watch.vocabulary_then, watch.at())
        found: list[dict[str, Any]] = decided.select(["justifications", "allowed_until"]).to_pylist()
        return found


def _permitted(row: dict[str, Any]) -> _Permitted:
    justified = tuple(Justification(**one) for one in row["justifications"] or ())
    return _Permitted(row["key"], row["source_id"], justified, row["allowed_until"])
