"""A forecast for what a command line would do: a new run's plan, or what an unfinished run has left."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lake.commits import committed_units
from lake.forecasts import keep_forecast
from lake.plans import plan_batches
from lake.runs import list_runs
from pipelines.forecast.make import Plan, forecast, named_cluster
from pipelines.forecast.prices import PriceTable
from pipelines.plan import PlanSummary
from pipelines.run import Request, previewed, unfinished
from pipelines.stages import digest_of, recipe
from schemas.errors import OverBudget
from schemas.forecast import Forecast
from schemas.records import RunRecord


@dataclass(frozen=True, slots=True)
class Ahead:
    """What lies ahead: a new run's plan, or the rest of one that is unfinished; `forecast` is None where nothing is."""

    summary: PlanSummary | None
    resumed: RunRecord | None
    forecast: Forecast | None


@dataclass(frozen=True, slots=True)
class Asked:
    """What else the plan is asked for: the cluster it is meant for, and prices."""

    cluster: str | None = None
    prices: PriceTable | None = None


def ahead_of_run(request: Request, asked: Asked, on_listing: Callable[[int], None] | None = None) -> Ahead:
    """Plans as a run would, measures a sample, and keeps what it foretells beside the run that would be next.

    For an unfinished run it foretells what is left, and keeps nothing: the plan of the whole is another.
    """
    named_cluster(request.config, asked.cluster)
    run = unfinished(request)
    with tempfile.TemporaryDirectory(prefix="provoice-plan-") as folder:
        path = Path(folder) / "plan.parquet"
        if run is not None:
            units = _left(request, run, path)
            return Ahead(None, run, _foretold(request, asked, path, units) if units else None)
        summary = previewed(request.lake.root.uri, request.config, request.roots, request.catalogue, path, on_listing)
        if not summary.sources:
            return Ahead(summary, None, None)
        found = _foretold(request, asked, path, summary.units)
    keep_forecast(request.lake, max((run.number for run in list_runs(request.lake)), default=0) + 1, found)
    return Ahead(summary, None, found)


def check_budget(found: Forecast, budget: float) -> None:
    """Raises OverBudget where the run may cost more: the upper end of its interval counts."""
    if found.cost is not None and found.cost.total.high > budget:
        cost = found.cost
        raise OverBudget(
            f"the run may cost {cost.total.high:,.2f} {cost.currency} (probably {cost.total.value:,.2f}, by "
            f"{cost.prices}), and the budget is {budget:,.2f}; nothing was started. Plan fewer sources, "
            f"other machines (--cluster), or a larger --budget"
        )


def _foretold(request: Request, asked: Asked, path: Path, units: int) -> Forecast:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    plan = Plan(
        path,
        sha256,
        digest_of(recipe(request.config)),
        request.root_uris,
        request.lake.ledger().root.uri,
        units,
        request.lake.root.uri,
    )
    return forecast(request.config, plan, asked.cluster, asked.prices, time.process_time())


def _left(request: Request, run: RunRecord, path: Path) -> int:
    """Writes the plan of the units that are not committed to `path`, with numbers from 0; returns how many."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    committed = pa.array(sorted(committed_units(request.lake, run.run_id)), pa.string())
    seen: dict[str, int] = {}
    writer = None
    for batch in plan_batches(request.lake, run):
        left = batch.filter(pc.invert(pc.is_in(batch.column("unit_id"), value_set=committed)))
        numbers = [seen.setdefault(unit, len(seen)) for unit in left.column("unit_id").to_pylist()]
        place = left.schema.get_field_index("unit_index")
        left = left.set_column(place, left.schema.field(place), pa.array(numbers, pa.int32()))
        writer = writer or pq.ParquetWriter(path, left.schema)
        writer.write_batch(left)
    if writer is not None:
        writer.close()
    return len(seen)
