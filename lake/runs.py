"""Runs and their plans. A run's number is its place in the one order; whoever creates its record first has it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from lake import layout
from lake.lake import Lake
from schemas.errors import ConfigError, LakeError
from schemas.model import parse
from schemas.records import RunRecord, StoredObject


@dataclass(frozen=True, slots=True)
class PlannedUnit:
    """A unit of a plan without its sources."""

    unit_id: str
    estimated_s: float
    deadline_s: float
    sources: int


def list_runs(lake: Lake) -> list[RunRecord]:
    """Every run in its highest generation, in order of number."""
    newest: dict[int, tuple[int, str]] = {}
    for info in lake.root.list("runs"):
        _, number, name = info.path.split("/", 2)
        if name.startswith("run.") and name.endswith(".json"):
            generation = int(name.split(".")[1])
            newest[int(number)] = max(newest.get(int(number), (-1, "")), (generation, info.path))
    return [_read(lake, path) for _, (_, path) in sorted(newest.items())]


def find_run(lake: Lake, run_id: str) -> RunRecord | None:
    """The run called `run_id`."""
    return next((run for run in list_runs(lake) if run.run_id == run_id), None)


def reread_run(lake: Lake, run: RunRecord) -> RunRecord:
    """The highest generation of a run that is known already; costs no listing."""
    while lake.root.exists(layout.run_path(run.number, run.generation + 1)):
        run = _read(lake, layout.run_path(run.number, run.generation + 1))
    return run


def create_run(lake: Lake, record: RunRecord) -> RunRecord:
    """Creates the run under its number. Raises AlreadyExists when another planner has that number."""
    lake.root.create(layout.run_path(record.number, record.generation), _json(record))
    return record


def revise_run(lake: Lake, record: RunRecord) -> RunRecord:
    """Writes `record` as the next generation of its run."""
    revised = record.model_copy(update={"generation": record.generation + 1})
    lake.root.create(layout.run_path(revised.number, revised.generation), _json(revised))
    return revised


def put_plan(lake: Lake, local_path: Path, number: int) -> StoredObject:
    """Stores a plan under its digest; a run record names it afterwards."""
    with local_path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    path = layout.plan_path(number, sha256)
    lake.root.put(path, local_path, sha256)
    return StoredObject(kind="plan", path=path, size_bytes=local_path.stat().st_size, sha256=sha256)


def read_plan_units(lake: Lake, run: RunRecord) -> list[PlannedUnit]:
    """The plan's units in order, without their sources."""
    units: dict[str, list[float]] = {}
    columns = ["unit_id", "estimated_s", "deadline_s"]
    for batch in _batches(lake, run, columns):
        values = [batch.column(name).to_pylist() for name in columns]
        for unit_id, estimated_s, deadline_s in zip(*values, strict=True):
            unit = units.setdefault(unit_id, [0.0, deadline_s, 0])
            unit[0] += estimated_s
            unit[2] += 1
    return [PlannedUnit(name, round(unit[0], 6), unit[1], int(unit[2])) for name, unit in units.items()]


def read_unit(lake: Lake, run: RunRecord, unit_id: str) -> pa.Table:
    """The plan rows of one unit; reads only the row groups that can hold it."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    index = int(unit_id.split("-", 1)[0])
    with lake.root.open(run.plan.path) as file:
        plan = pq.ParquetFile(file)
        groups = [g for g in range(plan.num_row_groups) if _may_hold(plan.metadata.row_group(g), index)]
        table = plan.read_row_groups(groups)
    rows = table.filter(pc.equal(table["unit_id"], unit_id))
    if rows.num_rows == 0:
        raise LakeError(f"the plan of run {run.run_id} has no unit {unit_id}")
    return rows


def plan_batches(lake: Lake, run: RunRecord) -> Iterator[pa.RecordBatch]:
    """The whole plan, a bounded number of rows at a time."""
    yield from _batches(lake, run, None)


def _batches(lake: Lake, run: RunRecord, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    with lake.root.open(run.plan.path) as file:
        yield from pq.ParquetFile(file).iter_batches(batch_size=65_536, columns=columns)


def _may_hold(group: object, index: int) -> bool:
    for n in range(group.num_columns):  # type: ignore[attr-defined]
        column = group.column(n)  # type: ignore[attr-defined]
        if column.path_in_schema == "unit_index":
            found = column.statistics
            return found is None or not found.has_min_max or found.min <= index <= found.max
    return True


def _json(record: RunRecord) -> bytes:
    return record.model_dump_json(indent=1).encode()


def _read(lake: Lake, path: str) -> RunRecord:
    try:
        return parse(RunRecord, json.loads(lake.root.read(path)), lake.root.uri_of(path))
    except (ValueError, ConfigError) as error:
        raise LakeError(f"{lake.root.uri_of(path)} is not a run: {error}") from None
