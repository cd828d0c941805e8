"""What planning costs: seconds and peak memory of inventories, catalogues, listings, and of opening the plan.

    python -m benchmarks.planning [--sources 1000000] [--steps NAME …] [--folder DIR] [--json FILE]

Inventory and catalogues are written first, in no order; two rows of the catalogue in three name one person, the third
two. Each step is a process of its own. Peak memory is what the operating system says of it and all that it starts; it
counts what Python and the libraries take. Pages of a bucket are made up on the way, which costs what it costs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.planning_inputs import Bucket, write_tables
from benchmarks.tables import table
from benchmarks.tree import run_and_watch

_ROOT = "gs://bucket/in"
STEPS = {
    "inventory": "inventory, no catalogue",
    "catalogue": "inventory, a catalogue row for each source",
    "prefixes": "inventory, 5,000 prefix rows",
    "gs": "pages of a bucket, gs://",
    "s3": "pages of a bucket, s3://",
    "open": "open the plan: runs, units, commits, tasks",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=int, default=1_000_000, help="how many (default 1,000,000)")
    parser.add_argument("--steps", nargs="+", choices=list(STEPS), default=list(STEPS), help="these only")
    parser.add_argument("--folder", type=Path, help="where tables and plans are written; else a temporary folder")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.step:
        print(json.dumps(_DO[asked.step](asked.folder, asked.sources)))
        return 0
    with tempfile.TemporaryDirectory(prefix="provoice-bench-", dir=asked.folder) as name:
        report = [measured(step, Path(name), asked.sources) for step in ["tables", *asked.steps]][1:]
    rows = [
        [
            STEPS[step["step"]],
            f"{step['units']:,}",
            f"{step['wall_s']:.1f}",
            f"{step['cpu_s']:.1f}",
            f"{step['peak_bytes'] / 2**20:.0f}",
            "; ".join(f"{name} {seconds:.1f} s" for name, seconds in step["parts"].items()),
        ]
        for step in report
    ]
    print(f"{asked.sources:,} sources, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print(table(["step", "units", "wall s", "CPU s", "peak MiB", "of that"], rows))
    if asked.json:
        asked.json.write_text(json.dumps(report, indent=2))
    return 0


def measured(step: str, folder: Path, sources: int) -> dict[str, Any]:
    """Runs a step in a process of its own: what it says, and what it and its descendants took."""
    own = ["--step", step, "--folder", str(folder), "--sources", str(sources)]
    said, cost = run_and_watch([sys.executable, "-m", "benchmarks.planning", *own])
    return {"step": step, **json.loads(said.strip().splitlines()[-1]), **cost}


@contextmanager
def _timed(parts: dict[str, float], name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    parts[name] = round(time.monotonic() - began, 2)


def _tables(folder: Path, sources: int) -> dict[str, Any]:
    write_tables(folder, sources)
    return {"units": 0, "parts": {}}


def _planned(folder: Path, catalogue: str | None, inventory: bool = True, uri: str = _ROOT) -> dict[str, Any]:
    from pipelines.catalogue import load_catalogue
    from pipelines.plan import PlanConfig, write_plan
    from pipelines.sources import SourceRoot, SourcesConfig

    parts: dict[str, float] = {}
    said = None
    if catalogue:
        with _timed(parts, "read the catalogue"):
            said = load_catalogue(str(folder / catalogue))
    sources = SourcesConfig(inventory=str(folder / "inventory.csv") if inventory else None)
    with _timed(parts, "plan"):
        made = write_plan([SourceRoot("r", uri)], said, sources, PlanConfig(), folder / "plan.parquet")
    return {"units": made.units, "sources": made.sources, "parts": parts}


def _listed(folder: Path, sources: int, uri: str) -> dict[str, Any]:
    from pipelines import listing

    listing.open_filesystem = Bucket(uri, sources).opened  # type: ignore[attr-defined]
    return _planned(folder, None, inventory=False, uri=uri)


def _opened(folder: Path, sources: int) -> dict[str, Any]:
    """What `provoice run` does with a plan before the first unit is handed out."""
    from lake.commits import committed_units
    from lake.lake import Lake
    from lake.runs import create_run, list_runs, put_plan, read_plan_units, read_unit
    from pipelines.engines.contract import Task
    from schemas.records import RunRecord

    parts: dict[str, float] = {}
    lake = Lake.create_or_open(str(folder / "lake"))
    with _timed(parts, "store it"):
        plan = put_plan(lake, folder / "plan.parquet", 1)
    record = {"number": 1, "run_id": "r", "recipe_sha256": "0" * 64, "roots": {"r": _ROOT}, "plan": plan}
    create_run(
        lake, RunRecord.model_validate({**record, "units": 1, "sources": sources, "created_at": datetime.now(UTC)})
    )
    with _timed(parts, "its units, longest first"):
        (run,) = list_runs(lake)
        committed = committed_units(lake, run.run_id)
        units = read_plan_units(lake, run)
        tasks = [Task(unit.unit_id, unit.estimated_s, unit.deadline_s) for unit in units]
        tasks = sorted((task for task in tasks if task.name not in committed), key=lambda task: -task.estimated_s)
    with _timed(parts, "a worker's look at one"):
        read_unit(lake, run, tasks[0].name)
    return {"units": len(tasks), "parts": parts}


_DO: dict[str, Callable[[Path, int], dict[str, Any]]] = {
    "tables": _tables,
    "inventory": lambda folder, _: _planned(folder, None),
    "catalogue": lambda folder, _: _planned(folder, "catalogue.csv"),
    "prefixes": lambda folder, _: _planned(folder, "prefixes.csv"),
    "gs": lambda folder, sources: _listed(folder, sources, "gs://bucket/in"),
    "s3": lambda folder, sources: _listed(folder, sources, "s3://bucket/in"),
    "open": _opened,
}


if __name__ == "__main__":
    raise SystemExit(main())
