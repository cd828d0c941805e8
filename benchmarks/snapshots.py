"""What a lake of many commits costs to open, to ask, and to snapshot.

    python -m benchmarks.snapshots [--commits 20000] [--parts N] [--later N] [--rows 3] [--files 2000] [--lake DIR]
        [--json FILE]

The lake is made first: so many committed units, of which `--parts` have parts of `--rows` utterances each (all of them
unless told; a million tiny files take an hour to write), then, as a second run, some of them again. Each step is a
process of its own on one core. Last it is said what opening reads: of this lake, and of one whose snapshot lists
`--files` merged files, as that of 10^6 units and 10^9 rows does.
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

from benchmarks.processes import CommandFailed, cost_of
from benchmarks.tables import table

_COUNT = "select count(*) from utterances"
_OPEN = "from benchmarks.snapshots import opened; opened({!r})"
_READS = "from benchmarks.snapshots import reads; reads({!r})"
_MANY = "from benchmarks.snapshots import list_files; list_files({!r}, {})"


def opened(uri: str) -> None:
    """Opens the lake as every command does, and says how long the reader alone took."""
    from lake.lake import Lake
    from lake.reader import LakeReader

    began = time.perf_counter()
    reader = LakeReader(Lake.open(uri))
    print(json.dumps({"tail": len(reader.tail), "s": time.perf_counter() - began}))


def reads(folder: str) -> None:
    """What is listed and read until the view `utterances` can be asked, and until its rows are counted."""
    from benchmarks.counted_store import CountedStore
    from lake.lake import Lake
    from provoice.sql import connect, records

    began = time.perf_counter()
    found: dict[str, Any] = {}
    with connect(Lake.open(f"counted://{folder}"), _COUNT) as connection:
        found["open"] = {**CountedStore.figures(), "s": time.perf_counter() - began}
        found["rows"] = records(connection, _COUNT)[0]["count_star()"]
    found["counted"] = {**CountedStore.figures(), "s": time.perf_counter() - began}
    print(json.dumps(found))


def list_files(folder: str, number: int) -> None:
    """Another snapshot, whose current utterances are the newest one's, listed again under so many names."""
    from lake.lake import Lake
    from lake.snapshots import create_snapshot, newest_snapshot

    lake = Lake.open(folder)
    head = newest_snapshot(lake)
    if head is None:
        raise SystemExit(f"{folder} has no snapshot")
    one = max(head.merged("utterances"), key=lambda file: file.size_bytes)
    target = Path(folder) / f"snapshots/{head.number + 1:08d}"
    target.mkdir()
    files = []
    for n in range(number):
        path = f"snapshots/{head.number + 1:08d}/utterances-{n:016x}.parquet"
        os.link(Path(folder) / one.path, Path(folder) / path)
        files.append(one.model_copy(update={"path": path}))
    others = tuple(file for file in head.files if file.kind != "utterances")
    create_snapshot(lake, head.model_copy(update={"number": head.number + 1, "files": (*files, *others)}))


class Steps:
    """Runs what is measured, one process after the other."""

    def __init__(self, folder: Path, core: int) -> None:
        self.folder, self.core = folder, core
        self.report: list[dict[str, Any]] = []

    def python(self, name: str, *words: str) -> str:
        """What the command said; what it cost goes into the report."""
        log = self.folder / "log" / f"{len(self.report):02d}.log"
        cost = cost_of([sys.executable, *words], log, self.core)
        self.report.append({"step": name, "cpu_s": cost.cpu_s, "wall_s": cost.wall_s, "peak_bytes": cost.peak_bytes})
        return log.read_text().strip()

    def ask(self, lake: str, said: str) -> None:
        """Opens, asks where the runs stand, and counts utterances."""
        self.python(f"open, {said}", "-c", _OPEN.format(lake))
        self.python(f"status, {said}", "-m", "provoice", "status", lake)
        self.python(f"sql, {said}", "-m", "provoice", "sql", lake, _COUNT)


def measure(steps: Steps, lake: str, asked: argparse.Namespace) -> dict[str, Any]:
    """All steps in order; returns what opening reads."""
    made = [str(asked.commits), str(asked.parts if asked.parts is not None else asked.commits), str(asked.rows)]
    if not Path(lake).exists():
        steps.python("make the lake (not measured: by files, not by a run)", "-m", "benchmarks.made_lake", lake, *made)
    if asked.commits <= asked.without:
        steps.ask(lake, "no snapshot")
    steps.python("snapshot, the first", "-m", "provoice", "snapshot", lake)
    steps.ask(lake, "all in the snapshot")
    later = str(asked.later or max(1, asked.commits // 100))
    steps.python("make a second run", "-m", "benchmarks.made_lake", lake, later, later, made[2])
    steps.ask(lake, f"{int(later):,} commits since")
    steps.python("snapshot, the second", "-m", "provoice", "snapshot", lake)
    steps.ask(lake, "all in the second snapshot")
    found = {"this lake": json.loads(steps.python("reads", "-c", _READS.format(lake)))}
    steps.python("list many files", "-c", _MANY.format(lake, asked.files))
    said = f"{asked.files:,} merged files"
    steps.ask(lake, said)
    return {**found, said: json.loads(steps.python("reads", "-c", _READS.format(lake)))}


def columns(lake: str) -> dict[str, float]:
    """Compressed bytes per row in the first snapshot's largest file of utterances: all, and the consent column."""
    import pyarrow.parquet as pq

    file = max(Path(lake).glob("snapshots/00000001/utterances-*.parquet"), key=lambda path: path.stat().st_size)
    with pq.ParquetFile(file) as parquet:
        meta = parquet.metadata
        groups = [meta.row_group(n) for n in range(meta.num_row_groups)]
        chunks = [group.column(c) for group in groups for c in range(meta.num_columns)]
        consent = sum(c.total_compressed_size for c in chunks if c.path_in_schema.startswith("consent."))
        every = sum(c.total_compressed_size for c in chunks)
        return {"rows": meta.num_rows, "row": every / meta.num_rows, "consent": consent / meta.num_rows}


def shown(report: list[dict[str, Any]], found: dict[str, Any], bytes_per_row: dict[str, float]) -> str:
    """The table of steps, then what opening reads."""
    rows = [
        [step["step"], f"{step['wall_s']:.1f}", f"{step['cpu_s']:.1f}", f"{step['peak_bytes'] / 2**20:.0f}"]
        for step in report
    ]
    lines = [table(["step", "wall s", "CPU s", "peak MiB"], rows), ""]
    for name, one in found.items():
        for what, figures in (("open", one["open"]), (f"count of {one['rows']:,} rows", one["counted"])):
            read = (
                f"{figures['objects']:,} objects in {figures['requests']:,} requests, {figures['bytes'] / 1e6:,.2f} MB"
            )
            lines.append(f"{name}, {what}: {figures['listed']:,} names listed, {read}, {figures['s']:.2f} s")
    row = f"{bytes_per_row['row']:.1f} bytes a row, {bytes_per_row['consent']:.2f} of them the consent column"
    return "\n".join([*lines, f"merged utterances: {row} ({bytes_per_row['rows']:,} rows)"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commits", type=int, default=20_000, help="committed units (default 20,000)")
    parser.add_argument("--parts", type=int, help="how many of them have parts (default: all)")
    parser.add_argument("--later", type=int, help="units of the second run (default: one in a hundred)")
    parser.add_argument("--rows", type=int, default=3, help="utterances in a part (default 3)")
    parser.add_argument("--files", type=int, default=2_000, help="merged files of the last lake (default 2,000)")
    parser.add_argument(
        "--without", type=int, default=50_000, metavar="N", help="also measured without a snapshot up to N"
    )
    parser.add_argument("--lake", type=Path, help="keep the lake here; one that is there is taken as it is")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="provoice-bench-") as name:
        steps = Steps(Path(name), asked.core)
        lake = str((asked.lake or Path(name) / "lake").absolute())
        try:
            found = measure(steps, lake, asked)
        except CommandFailed as error:
            print(f"benchmarks.snapshots: {error}", file=sys.stderr)
            return 1
        per_row = columns(lake)
    print(shown(steps.report, found, per_row))
    if asked.json:
        asked.json.write_text(json.dumps({"steps": steps.report, "reads": found, "bytes": per_row}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
