"""What it costs to say where a large run stands, and to follow it.

    python -m benchmarks.status [--sources 10000000] [--units 100000] [--committed N] [--json FILE]

The plan and half of the commits (or `--committed`) are written to this machine's disk first; each step is a process of
its own on one core.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.made_lake import _BEGAN, _commit, _digest, _units
from benchmarks.processes import CommandFailed, cost_of
from benchmarks.tables import table
from lake import layout
from lake.lake import Lake
from lake.runs import create_run, put_plan
from schemas.records import RunRecord
from schemas.tables import PLAN_SCHEMA

_GROUP = 100_000
_FOLLOW = "from benchmarks.status import follow; follow({!r}, {})"


def write_plan(path: Path, sources: int, units: int) -> None:
    """Rows as planning writes them, in row groups of whole units."""
    names = [unit_id for _, unit_id in _units(units)]
    of_unit = sources // units
    with pq.ParquetWriter(path, PLAN_SCHEMA, compression="zstd") as file:
        for start in range(0, sources, _GROUP):
            n = np.arange(start, min(sources, start + _GROUP))
            unit = np.minimum(n // of_unit, units - 1)
            made: dict[str, Any] = {
                "unit_index": unit, "unit_id": [names[u] for u in unit], "recording_id": [f"{i:032x}" for i in n],
                "source_root": ["raw"] * len(n), "source_path": [f"show{i // 2000:05d}/episode-{i:09d}.mp3" for i in n],
                "source_version": [f"{i * 7919:032x}" for i in n], "source_size_bytes": 1_000_000 + n % 30_000_000,
                "estimated_s": 60.0 + n % 1800, "deadline_s": np.full(len(n), 3600.0),
            }  # fmt: skip
            columns = [
                pa.array(made[field.name], type=field.type) if field.name in made else pa.nulls(len(n), field.type)
                for field in PLAN_SCHEMA
            ]
            file.write_table(pa.Table.from_arrays(columns, schema=PLAN_SCHEMA))


def make(folder: Path, sources: int, units: int, committed: int) -> None:
    """The lake: one run that is going on."""
    lake = Lake.create_or_open(str(folder))
    write_plan(folder / "plan.parquet", sources, units)
    run = create_run(
        lake,
        RunRecord(
            number=1, run_id="000001-made", recipe_sha256=_digest("recipe", 64), units=units, roots={"raw": "s3://raw"},
            plan=put_plan(lake, folder / "plan.parquet", 1), sources=sources, created_at=_BEGAN,
        ),
    )  # fmt: skip
    commit(folder, run, 0, committed)


def commit(folder: Path, run: RunRecord, first: int, last: int) -> None:
    """Writes the commits of some units."""
    (folder / layout.commit_folder(run.run_id)).mkdir(parents=True, exist_ok=True)
    for unit, unit_id in _units(last):
        if unit >= first:
            path = folder / layout.commit_path(run.run_id, unit_id, 0)
            path.write_text(_commit(run, unit, unit_id, [], 100))


def follow(folder: str, committed: int) -> None:
    """The first look of a follower, one in which nothing is new, and one after ten more commits."""
    from benchmarks.counted_store import CountedStore
    from lake.runs import list_runs
    from provoice.status_tally import Tally

    found: list[dict[str, Any]] = []
    began = time.perf_counter()
    lake = Lake.open(f"counted://{folder}")
    (run,) = list_runs(lake)
    tally = Tally(lake, run)
    found.append({"look": "plan read", **CountedStore.figures(), "s": time.perf_counter() - began})
    for said, more in (("first", 0), ("nothing new", 0), ("ten new", 10)):
        commit(Path(folder), run, committed, committed + more)
        before, began = CountedStore.figures(), time.perf_counter()
        tally.look()
        cost = {name: value - before[name] for name, value in CountedStore.figures().items()}
        found.append({"look": said, **cost, "s": time.perf_counter() - began})
    print(json.dumps(found))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=int, default=10_000_000, help="planned sources (default 10,000,000)")
    parser.add_argument("--units", type=int, default=100_000, help="units of the plan (default 100,000)")
    parser.add_argument("--committed", type=int, help="units that are committed (default: half)")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    asked = parser.parse_args()
    committed = asked.units // 2 if asked.committed is None else asked.committed
    steps: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="provoice-bench-") as name:
        folder = Path(name) / "lake"
        make(folder, asked.sources, asked.units, committed)
        commands = {
            "status": ["-m", "provoice", "status", str(folder)],
            "follow, four looks": ["-c", _FOLLOW.format(str(folder), committed)],
        }
        for step, words in commands.items():
            log = Path(name) / f"{len(steps)}.log"
            try:
                cost = cost_of([sys.executable, *words], log, asked.core)
            except CommandFailed as error:
                print(f"benchmarks.status: {error}", file=sys.stderr)
                return 1
            steps.append({"step": step, "cpu_s": cost.cpu_s, "wall_s": cost.wall_s, "peak_bytes": cost.peak_bytes})
        looks = json.loads(log.read_text())
    print(f"{asked.sources:,} sources in {asked.units:,} units, {committed:,} committed\n")
    rows = [[s["step"], f"{s['wall_s']:.1f}", f"{s['cpu_s']:.1f}", f"{s['peak_bytes'] / 2**20:.0f}"] for s in steps]
    print(table(["step", "wall s", "CPU s", "peak MiB"], rows), "\n")
    shown = [
        [n["look"], f"{n['listed']:,}", f"{n['requests']:,}", f"{n['bytes'] / 1e6:.2f}", f"{n['s']:.2f}"] for n in looks
    ]
    print(table(["look", "names listed", "requests", "MB", "s"], shown))
    if asked.json:
        asked.json.write_text(json.dumps({"steps": steps, "looks": looks}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
