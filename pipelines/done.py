"""What earlier runs of a recipe have dealt with, so that no source is planned twice and none is forgotten."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lake.commits import committed_units, read_commits
from lake.lake import Lake
from lake.runs import plan_batches
from pipelines.config import ConsentConfig
from pipelines.gate import ConsentGate, Held
from pipelines.plan import PlannedSource, planned_source
from schemas.consent import DenyReason
from schemas.errors import RETRIABLE
from schemas.ledger import Event, EventType
from schemas.records import RunRecord
from transforms.consent import fold

DONE_SCHEMA = pa.schema([("recording_id", pa.string()), ("catalogue_row_sha256", pa.string())])

_COLUMNS = ["recording_id", "status", "reason", "catalogue_row_sha256"]


def done_sources(lake: Lake, runs: Sequence[RunRecord], recipe_sha256: str, consent: ConsentConfig) -> pa.Table:
    """Sources, each with the catalogue row it was done with, that a new plan leaves out: emitted, finally rejected,
    held by the same decision as before, or still held open by an unfinished run of this recipe."""
    done: dict[str, str | None] = {}
    gate: ConsentGate | None = None
    for run in (run for run in runs if run.recipe_sha256 == recipe_sha256):
        held: dict[str, str] = {}
        for recording_id, status, reason, digest in _committed(lake, run):
            # A later run's word on a recording replaces an earlier one's.
            done.pop(recording_id, None)
            if status == "held":
                held[recording_id] = reason
            elif status == "emitted" or reason not in RETRIABLE:
                done[recording_id] = digest
        is_waiting = not run.is_closed and len(committed := committed_units(lake, run.run_id)) < run.units
        if not held and not is_waiting:
            continue
        if gate is None:
            gate = ConsentGate(lake.ledger(), consent)
            gate.refresh()
        for unit_id, planned in _planned(lake, run):
            name = planned.source.recording_id
            if (is_waiting and unit_id not in committed) or (
                name in held and _is_still_held(gate, planned, held[name])
            ):
                done[name] = planned.catalogue_row_sha256
    return pa.table({"recording_id": list(done), "catalogue_row_sha256": list(done.values())}, schema=DONE_SCHEMA)


def _committed(lake: Lake, run: RunRecord) -> Iterator[tuple[str, str, str, str | None]]:
    for commit in read_commits(lake, run.run_id):
        for stored in commit.objects:
            if stored.kind == "recordings":
                with lake.root.open(stored.path) as file:
                    table = pq.read_table(file, columns=_COLUMNS)
                yield from zip(*(table[name].to_pylist() for name in _COLUMNS), strict=True)


def _planned(lake: Lake, run: RunRecord) -> Iterator[tuple[str, PlannedSource]]:
    for batch in plan_batches(lake, run):
        yield from ((row["unit_id"], planned_source(row)) for row in batch.to_pylist())


def _is_still_held(gate: ConsentGate, planned: PlannedSource, reason: str) -> bool:
    """A voice that nobody named stays until the catalogue changes; anything else is asked again."""
    if reason == DenyReason.EXTRA_VOICE:
        return True
    answer = gate.ask(planned)
    return isinstance(answer, Held) and answer.reason == reason


def announce_changes(lake: Lake, runs: Sequence[RunRecord], plan_path: Path) -> int:
    """Appends a `catalogue_changed` event for every planned source whose committed row was made with another catalogue
    row: from then on the old row is denied. Returns how many."""
    before: dict[str, str | None] = {}
    for run in runs:
        before.update((name, digest) for name, status, _, digest in _committed(lake, run) if status == "emitted")
    if not before:
        return 0
    ledger = lake.ledger()
    known = fold(ledger.events()).catalogue_rows
    events: list[Event] = []
    columns = ["recording_id", "source_root", "source_path", "catalogue_row_sha256"]
    for batch in pq.ParquetFile(plan_path).iter_batches(columns=columns):
        for name, root, path, digest in zip(*(batch.column(c).to_pylist() for c in columns), strict=True):
            if name in before and before[name] != digest and known.get((root, path), before[name]) != digest:
                events.append(_changed(root, path, digest, ledger.head() + len(events)))
    if events:
        ledger.append(events)
    return len(events)


def _changed(root: str, path: str, digest: str | None, position: int) -> Event:
    content = repr((root, path, digest, position)).encode("utf-8", "surrogateescape")
    return Event(
        event_id=hashlib.sha256(content).hexdigest()[:32],
        type=EventType.CATALOGUE_CHANGED,
        recorded_at=datetime.now(UTC),
        source_root=root,
        source_path=path,
        catalogue_row_sha256=digest,
    )
