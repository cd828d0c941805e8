"""What earlier runs of a recipe have dealt with, so that no source is planned twice and none is forgotten."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from lake.commits import committed_units, read_commits
from lake.lake import Lake
from pipelines.config import ConsentConfig
from pipelines.gate import ConsentGate, Held
from pipelines.plan import PlannedSource
from schemas.consent import DenyReason
from schemas.errors import RETRIABLE
from schemas.ids import event_id
from schemas.instants import now
from schemas.ledger import Event, EventType
from schemas.records import RunRecord, StoredObject

DONE_SCHEMA = pa.schema([("recording_id", pa.string()), ("catalogue_row_sha256", pa.string())])

_COLUMNS = ["recording_id", "status", "reason", "catalogue_row_sha256"]


def done_sources(lake: Lake, runs: Sequence[RunRecord], recipe_sha256: str, consent: ConsentConfig) -> pa.Table:
    """Sources, with the catalogue row they were done with, that a new plan leaves out: emitted, finally rejected,
    held by the same decision as before, or still held open by an unfinished run."""
    done: dict[str, str | None] = {}
    gate: ConsentGate | None = None
    for run in (run for run in runs if run.recipe_sha256 == recipe_sha256):
        open_units = {unit.unit_id for unit in _units(lake, run)} - set(committed_units(lake, run.run_id))
        held: dict[str, str] = {}
        for row in _recording_rows(lake, run):
            # A later run's word on a recording replaces an earlier one's.
            done.pop(row["recording_id"], None)
            if row["status"] == "held":
                held[row["recording_id"]] = row["reason"]
            elif row["status"] == "emitted" or row["reason"] not in RETRIABLE:
                done[row["recording_id"]] = row["catalogue_row_sha256"]
        if not held and (run.is_closed or not open_units):
            continue
        if gate is None:
            gate = ConsentGate(lake.ledger(), consent)
            gate.refresh()
        for planned, unit in planned_sources(lake, run):
            name = planned.source.recording_id
            is_waiting = unit in open_units and not run.is_closed
            if is_waiting or (name in held and _is_still_held(gate, planned, held[name])):
                done[name] = planned.catalogue_row_sha256
    return pa.table({"recording_id": list(done), "catalogue_row_sha256": list(done.values())}, schema=DONE_SCHEMA)


def _is_still_held(gate: ConsentGate, planned: PlannedSource, reason: str) -> bool:
    """A voice that nobody named stays until the catalogue changes; anything else is asked again."""
    if reason == DenyReason.EXTRA_VOICE:
        return True
    answer = gate.ask(planned)
    return isinstance(answer, Held) and answer.reason == reason
