"""Samples of an opened release, each with what vouches for it; and whether that still holds when all are written.

The index says which grants allowed an utterance when the release was made. What the ledger has said since can only take
away, and the loader has left out what it took; so whatever the loader hands out is vouched for as the index says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from lake.lake import Lake
from pipelines.export.samples import ExportSample
from provoice.loader.watch import Clock, Watch
from schemas.consent import Justification
from schemas.errors import ConsentError, LakeError
from schemas.ids import source_id
from schemas.ledger import ENDS_GRANT, Event, EventType
from schemas.releases import ReleaseRecord

_BATCH_ROWS = 5000
_INTERVAL_S = 300.0  # the loader itself looks again meanwhile; we look at the beginning and at the end


class Overtaken(ConsentError):
    """While samples were written, something was taken away from them."""


class _Permitted(NamedTuple):
    """A row of the index."""

    key: str
    source_id: str | None
    justifications: tuple[Justification, ...]
    until: datetime


class Lineage:
    """Goes along with one reading of a release, from its first sample to the last look at the ledger.

    Made before the release is opened: what is recorded from then on is looked at in the end.
    """

    def __init__(self, lake: Lake, release: ReleaseRecord, clock: Clock) -> None:
        self._lake = lake
        self._release = release
        self._watch = Watch(lake.ledger(), release, _INTERVAL_S, clock)
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
        """The instant of the last look: now, but never before the newest event."""
        return self._watch.at()

    def samples(self, opened: Iterable[dict[str, Any]]) -> Iterator[ExportSample]:
        """`opened` (in the index's order, some rows left out) as exporters take them."""
        rows = self._rows()
        for sample in opened:
            key = sample["__key__"]
            row = next((row for row in rows if row.key == key), None)
            if row is None:
                raise LakeError(f"release {self._release.name}: {key} comes out of the order of the index")
            self._note(row)
            codec = next(name for name, value in sample.items() if isinstance(value, bytes))
            yield ExportSample(key, sample[codec], codec, sample["json"], row.justifications, row.until)

    def still_holds(self) -> bool:
        """Looks at the ledger again. False where something has been taken away meanwhile from what has passed."""
        fresh = self._watch.look()
        is_over = self._until is not None and self._until <= self._watch.at()
        return not is_over and not any(self._takes_away(event) for _, event in fresh)

    def _note(self, row: _Permitted) -> None:
        self.utterances += 1
        self._people.update(one.subject_id for one in row.justifications)
        self._sources.add(row.source_id)
        self._until = row.until if self._until is None else min(self._until, row.until)

    def _takes_away(self, event: Event) -> bool:
        """Whether `event` may deny what has passed; grants that only permit never do."""
        if event.type is EventType.VOCABULARY:
            return True
        if event.type is EventType.CATALOGUE_CHANGED:
            return source_id(event.source_root or "", event.source_path or "") in self._sources
        prohibits = event.grant is not None and any(one.effect == "prohibit" for one in event.grant.rules)
        return (prohibits or event.type in ENDS_GRANT) and event.subject_id in self._people

    def _rows(self) -> Iterator[_Permitted]:
        """Every row of the index, in order, in bounded memory."""
        import pyarrow.parquet as pq

        columns = ["key", "source_id", "justifications", "allowed_until"]
        for stored in self._release.index:
            with self._lake.root.open(stored.path) as file:
                for batch in pq.ParquetFile(file).iter_batches(_BATCH_ROWS, columns=columns):
                    for row in batch.to_pylist():
                        justified = tuple(Justification(**one) for one in row["justifications"] or ())
                        yield _Permitted(row["key"], row["source_id"], justified, row["allowed_until"])
