"""Reading a stored plan: Parquet sorted by unit, whose row groups hold whole units."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lake.lake import Lake
from schemas.errors import LakeError
from schemas.records import RunRecord

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 65_536
ERASED = "erased"
"""Column of a plan from which sources were erased: how many of them a row stands for; null in every other row."""


@dataclass(frozen=True, slots=True)
class PlannedUnit:
    """A unit of a plan without its sources."""

    unit_id: str
    estimated_s: float
    deadline_s: float
    sources: int
    """Those that were erased are among them."""


def read_plan_units(lake: Lake, run: RunRecord) -> list[PlannedUnit]:
    """The plan's units in order, without their sources."""
    import pyarrow as pa

    units: dict[str, PlannedUnit] = {}
    for batch in _batches(lake, run, ["unit_id", "estimated_s", "deadline_s", ERASED]):
        table = pa.Table.from_batches([batch]).drop_columns([ERASED]).append_column("sources", _stands_for(batch))
        groups = table.group_by("unit_id", use_threads=False)
        found = groups.aggregate([("estimated_s", "sum"), ("deadline_s", "max"), ("sources", "sum")])
        names = ("unit_id", "estimated_s_sum", "deadline_s_max", "sources_sum")
        rows = zip(*(found[name].to_pylist() for name in names), strict=True)
        for unit_id, estimated_s, deadline_s, sources in rows:
            known = units.get(unit_id, PlannedUnit(unit_id, 0.0, deadline_s, 0))
            estimated_s = round(known.estimated_s + estimated_s, 6)
            units[unit_id] = PlannedUnit(unit_id, estimated_s, deadline_s, known.sources + sources)
    return list(units.values())


def read_unit(lake: Lake, run: RunRecord, unit_id: str) -> pa.Table:
    """The plan rows of one unit, as `schemas.tables.PLAN_SCHEMA`, with `erased` where something was erased from the
    plan; reads only the row groups that can hold it."""
    import pyarrow.compute as pc

    index = int(unit_id.split("-", 1)[0])
    with _plan(lake, run) as plan:
        column = plan.schema_arrow.get_field_index("unit_index")
        groups = [n for n in range(plan.num_row_groups) if _may_hold(plan.metadata.row_group(n).column(column), index)]
        table = plan.read_row_groups(groups, use_threads=False)
    rows = table.filter(pc.equal(table["unit_id"], unit_id))
    if rows.num_rows == 0:
        raise LakeError(f"the plan of run {run.run_id} has no unit {unit_id}")
    return rows


def plan_batches(lake: Lake, run: RunRecord) -> Iterator[pa.RecordBatch]:
    """The whole plan but for what was erased from it, a bounded number of rows at a time."""
    import pyarrow.compute as pc

    for batch in _batches(lake, run, None):
        left = batch.filter(pc.is_null(batch.column(ERASED)))
        yield left.select([name for name in left.schema.names if name != ERASED])


def _batches(lake: Lake, run: RunRecord, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    """Batches with `erased`, which is null throughout in a plan from which nothing was erased."""
    import pyarrow as pa

    with _plan(lake, run) as plan:
        names = None if columns is None else [name for name in columns if name in plan.schema_arrow.names]
        for batch in plan.iter_batches(batch_size=_BATCH_ROWS, columns=names, use_threads=False):
            if ERASED not in batch.schema.names:
                batch = batch.append_column(ERASED, pa.nulls(batch.num_rows, pa.int64()))
            yield batch


def _stands_for(batch: pa.RecordBatch) -> pa.Array:
    """Of how many sources each row speaks."""
    import pyarrow.compute as pc

    return pc.fill_null(batch.column(ERASED), 1)


@contextmanager
def _plan(lake: Lake, run: RunRecord) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with lake.root.open(run.plan.path) as file:
        try:
            yield pq.ParquetFile(file, pre_buffer=True)
        except (OSError, pa.ArrowInvalid) as error:
            said = " ".join(str(error).split())
            raise LakeError(f"{lake.root.uri_of(run.plan.path)} cannot be read as a plan: {said}") from error


def _may_hold(column: Any, index: int) -> bool:
    """Whether a row group, by the statistics of its `unit_index` (a flat column, so leaf and field agree)."""
    found = column.statistics
    return found is None or not found.has_min_max or found.min <= index <= found.max
