"""What `gc` costs in a lake of many objects: time and memory until it is known what may go.

    python -m benchmarks.gc [--objects 10000000] [--commits 1000000] [--json FILE]

One object in ten is an orphan. The commits lie in a snapshot; listings are made up name by name, in no order, as a
store would give them, for nobody's disk wants ten million files: what a store takes to answer is not in the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.made_lake import _digest
from benchmarks.processes import CommandFailed, cost_of
from benchmarks.tables import table
from lake import layout
from lake.lake import Lake
from lake.runs import create_run, list_runs, put_plan
from lake.snapshots import create_snapshot, put_file
from lake.storage import ObjectInfo, Root
from schemas.records import RunRecord, StoredObject
from schemas.snapshots import COMMITS_SCHEMA, OBJECT, FoldedRun, SnapshotHead
from schemas.tables import PLAN_SCHEMA

_RUN = "000001-made"
_GROUP = 50_000
_AT = datetime(2026, 1, 1, tzinfo=UTC)
_SWEEP = "from benchmarks.gc import sweep; sweep({!r}, {}, {})"


def unit_name(unit: int) -> str:
    return f"{unit:07d}-{unit * 2654435761 % 2**48:012x}"


def path_of(unit: int, n: int) -> str:
    """Object `n` of a unit: two parts, then tars."""
    digest = f"{(unit * 1_000 + n) * 11400714819323198485 % 2**64:016x}"
    if n < 2:
        return f"{'utterances' if n else 'recordings'}/run={_RUN}/{unit_name(unit)}-{digest}.parquet"
    return f"shards/{_RUN}/{unit_name(unit)}-{digest}.tar"


def make(folder: Path, objects: int, commits: int) -> None:
    """A lake whose snapshot holds so many commits, which name nine objects in ten."""
    lake = Lake.create_or_open(str(folder))
    pq.write_table(PLAN_SCHEMA.empty_table(), folder / "plan.parquet")
    run = create_run(
        lake,
        RunRecord(
            number=1, run_id=_RUN, recipe_sha256=_digest("recipe", 64), units=commits, roots={"raw": "s3://raw"},
            plan=put_plan(lake, folder / "plan.parquet", 1), sources=20 * commits, created_at=_AT,
        ),
    )  # fmt: skip
    with pq.ParquetWriter(folder / "commits.parquet", COMMITS_SCHEMA, compression="zstd") as file:
        for start in range(0, commits, _GROUP):
            file.write_table(_commits(run, range(start, min(commits, start + _GROUP)), objects * 9 // 10 // commits))
    where, size, sha256 = put_file(lake, 1, "commits", folder / "commits.parquet")
    stored = StoredObject(kind="commits", path=where, size_bytes=size, sha256=sha256, rows=commits)
    folded = (FoldedRun(run_number=1, run_id=_RUN, commits=commits, is_closed=True),)
    create_snapshot(lake, SnapshotHead(number=1, created_at=_AT, runs=folded, commits=stored, files=()))


def _commits(run: RunRecord, units: range, each: int) -> pa.Table:
    paths = [path_of(unit, n) for unit in units for n in range(each)]
    count = len(paths)
    parts = {"kind": ["shard"] * count, "path": paths, "size_bytes": [1 << 27] * count, "sha256": ["0" * 64] * count}
    arrays = [pa.array(parts[f.name], f.type) if f.name in parts else pa.nulls(count, f.type) for f in OBJECT]
    rows = pa.StructArray.from_arrays(arrays, fields=list(OBJECT))
    offsets = pa.array(np.arange(0, count + 1, each, dtype=np.int32))
    made = {
        "run_number": pa.array([1] * len(units), pa.int32()), "run_id": pa.array([_RUN] * len(units)),
        "unit_id": pa.array([unit_name(unit) for unit in units]), "generation": pa.array([0] * len(units), pa.int32()),
        "committed_at": pa.array([_AT] * len(units), pa.timestamp("us", "UTC")),
        "recipe_sha256": pa.array([run.recipe_sha256] * len(units)), "objects": pa.ListArray.from_arrays(offsets, rows),
    }  # fmt: skip
    columns = [made[f.name].cast(f.type) if f.name in made else pa.nulls(len(units), f.type) for f in COMMITS_SCHEMA]
    return pa.Table.from_arrays(columns, schema=COMMITS_SCHEMA)


class _MadeUp(Root):
    """The folder, and besides as many objects and commits as are wanted."""

    objects = commits = 0

    def list(self, prefix: str = "", unfinished: bool = False) -> Iterator[ObjectInfo]:
        if prefix == layout.commit_folder(_RUN):
            for unit in range(self.commits):
                yield ObjectInfo(layout.commit_path(_RUN, unit_name(unit), 0), 3_000, _AT)
            return
        yield from super().list(prefix, unfinished)
        if not prefix:
            each = self.objects // self.commits
            for n in range(each):
                for unit in range(self.commits):
                    yield ObjectInfo(path_of(unit, n), 1 << 27, _AT + timedelta(seconds=unit))


def sweep(folder: str, objects: int, commits: int) -> None:
    """A dry run, by stages."""
    from pipelines.gc import gc
    from pipelines.gc_account import Wanted

    root = _MadeUp(folder)
    root.objects, root.commits = objects, commits
    lake = Lake(root, Lake.open(folder).head)
    began = time.perf_counter()
    account = gc(lake, Wanted())
    said = {name: vars(amount) for name, amount in account.swept.items()}
    print(
        json.dumps({"s": time.perf_counter() - began, "swept": said["unit"]["objects"], "runs": len(list_runs(lake))})
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=10_000_000, help="objects of units (default 10,000,000)")
    parser.add_argument("--commits", type=int, default=1_000_000, help="committed units (default 1,000,000)")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    asked = parser.parse_args()
    steps: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="provoice-bench-") as name:
        folder = Path(name) / "lake"
        make(folder, asked.objects, asked.commits)
        log = Path(name) / "log"
        try:
            cost = cost_of(
                [sys.executable, "-c", _SWEEP.format(str(folder), asked.objects, asked.commits)], log, asked.core
            )
        except CommandFailed as error:
            print(f"benchmarks.gc: {error}", file=sys.stderr)
            return 1
        steps.append({**vars_of(cost), **json.loads(log.read_text().splitlines()[-1])})
    rows = [
        [f"{s['swept']:,}", f"{s['wall_s']:.1f}", f"{s['cpu_s']:.1f}", f"{s['peak_bytes'] / 2**20:.0f}"] for s in steps
    ]
    print(f"{asked.objects:,} objects, {asked.commits:,} commits\n")
    print(table(["would delete", "wall s", "CPU s", "peak MiB"], rows))
    if asked.json:
        asked.json.write_text(json.dumps(steps, indent=2) + "\n")
    return 0


def vars_of(cost: Any) -> dict[str, Any]:
    return {"cpu_s": cost.cpu_s, "wall_s": cost.wall_s, "peak_bytes": cost.peak_bytes}


if __name__ == "__main__":
    raise SystemExit(main())
