"""Plans without some sources, and runs that name them: of what was erased a plan says how many, in which unit."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from lake.commits import committed_units, read_commits
from lake.lake import Lake
from lake.plans import ERASED
from lake.runs import list_runs, put_plan, read_plan_units, reread_run, revise_run
from lake.storage import Root
from schemas.errors import AlreadyExists, LakeError
from schemas.records import RunRecord, StoredObject
from schemas.tables import ERASED_PLAN_SCHEMA

_RACES = 20


def erase_from_plans(lake: Lake, touched: pa.Table) -> list[RunRecord]:
    """Gives every run that planned one of the recordings a plan without them, and no report, for its figures and
    examples are about everybody; the runs as they are now. The old plans and reports stay until they are swept."""
    planned = touched.filter(touched["is_planned"])
    of_run: dict[str, set[str]] = {}
    for row in planned.select(["run_id", "recording_id"]).to_pylist():
        of_run.setdefault(row["run_id"], set()).add(row["recording_id"])
    also_report = set(touched["run_id"].to_pylist())
    runs = [run for run in list_runs(lake) if run.run_id in also_report]
    return [_revised(lake, run, of_run.get(run.run_id, set())) for run in runs]


def _revised(lake: Lake, run: RunRecord, recordings: Collection[str]) -> RunRecord:
    for _ in range(_RACES):
        run = reread_run(lake, run)
        plan = _without(lake, run, recordings) if recordings else None
        if plan is None and run.report is None:
            return run
        try:
            return revise_run(lake, run.model_copy(update={"plan": plan or run.plan, "report": None}))
        except AlreadyExists:
            continue  # it was closed meanwhile, say: begin with what it is now
    raise LakeError(f"others revised run {run.run_id} again and again; start the command once more")


def _without(lake: Lake, run: RunRecord, recordings: Collection[str]) -> StoredObject | None:
    """A stored plan without the recordings; None where it has none of them."""
    import pyarrow.parquet as pq

    gone = pa.array(sorted(recordings), pa.string())
    erased = 0
    with tempfile.TemporaryDirectory(prefix="provoice-erase-") as folder:
        path = Path(folder) / "plan.parquet"
        with pq.ParquetWriter(path, ERASED_PLAN_SCHEMA, compression="zstd", compression_level=3) as writer:
            for group in _groups(lake.root, run.plan.path):
                is_gone = pc.fill_null(pc.is_in(group["recording_id"], gone), False)
                erased += pc.sum(is_gone).as_py() or 0
                left = _erased(group, is_gone)
                writer.write_table(left, row_group_size=max(1, left.num_rows))
        return put_plan(lake, path, run.number) if erased else None


def _groups(root: Root, path: str) -> Iterator[pa.Table]:
    """The row groups of a plan, which hold whole units, with the columns of a plan from which something was erased."""
    import pyarrow.parquet as pq

    with root.open(path) as file:
        plan = pq.ParquetFile(file, pre_buffer=True)
        for number in range(plan.num_row_groups):
            rows = plan.read_row_group(number, use_threads=False)
            there = set(rows.schema.names)
            columns = [
                rows[field.name].cast(field.type) if field.name in there else pa.nulls(rows.num_rows, field.type)
                for field in ERASED_PLAN_SCHEMA
            ]
            yield pa.Table.from_arrays(columns, schema=ERASED_PLAN_SCHEMA)


def _erased(group: pa.Table, is_gone: pa.ChunkedArray) -> pa.Table:
    """The group with one row in each unit for all that was erased from it, before the others."""
    if not pc.any(is_gone, min_count=0).as_py():
        return group
    before = pc.is_valid(group[ERASED])
    counted = pc.if_else(is_gone, 1, pc.fill_null(group[ERASED], 0)).combine_chunks()
    out = pc.or_(is_gone, before)
    rows = group.select(["unit_index", "unit_id", "deadline_s"]).append_column("n", counted).filter(out)
    sums = rows.group_by(["unit_index", "unit_id", "deadline_s"], use_threads=False).aggregate([("n", "sum")])
    values = {name: sums[name] for name in ("unit_index", "unit_id", "deadline_s")} | {ERASED: sums["n_sum"]}
    values["estimated_s"] = pa.array([0.0] * sums.num_rows, pa.float64())
    columns = [
        values[field.name].cast(field.type) if field.name in values else pa.nulls(sums.num_rows, field.type)
        for field in ERASED_PLAN_SCHEMA
    ]
    stand_ins = pa.Table.from_arrays(columns, schema=ERASED_PLAN_SCHEMA)
    every = pa.concat_tables([stand_ins, group.filter(pc.invert(out))])
    # Stable, so that what stands for the erased comes first in its unit and the others keep their order.
    return every.take(pc.sort_indices(every["unit_index"])).combine_chunks()


def work_until(lake: Lake, touched: pa.Table, now: datetime) -> datetime | None:
    """When the last worker must have given up that may have a unit in hand with one of the recordings, of which it
    knows from the plan as it was; None where nobody can.

    That is every unit that is not committed; and, as long as its run goes on, one that is, for whoever came second may
    still be uploading what nobody will name. A run that is complete, or closed, is at rest.
    """
    waits: list[datetime] = []
    for run in list_runs(lake):
        units = set(touched.filter(pc.equal(touched["run_id"], run.run_id))["unit_id"].to_pylist())
        if not units or run.is_closed:
            continue
        deadlines = {one.unit_id: timedelta(seconds=one.deadline_s) for one in read_plan_units(lake, run)}
        committed = committed_units(lake, run.run_id).keys()
        if deadlines.keys() <= committed:
            continue
        waits += [now + deadlines[unit_id] for unit_id in units - committed if unit_id in deadlines]
        for commit in read_commits(lake, run.run_id, units & committed & deadlines.keys()):
            if commit.committed_at <= now < commit.committed_at + deadlines[commit.unit_id]:
                waits.append(commit.committed_at + deadlines[commit.unit_id])
    return max(waits).astimezone(UTC) if waits else None
