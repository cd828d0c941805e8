"""What planning costs: CPU seconds and peak memory for an inventory of so many sources, with a catalogue row for each.

    python -m benchmarks.planning [--sources 1000000] [--json FILE]

The inventory and the catalogue are written first, in no order; two rows in three name one person, the third two.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.tables import table
from pipelines.catalogue import Catalogue, load_catalogue
from pipelines.plan import PlanConfig, write_plan
from pipelines.sources import SourceRoot, SourcesConfig

Answer = TypeVar("Answer")


def write_tables(folder: Path, sources: int) -> None:
    """`inventory.csv` and `catalogue.csv` of MP3 files between 1 and 31 MB, the same on every machine."""
    numbers = list(range(sources))
    random.Random(1).shuffle(numbers)
    with (
        (folder / "inventory.csv").open("w", newline="") as listed,
        (folder / "catalogue.csv").open("w", newline="") as said,
    ):
        inventory, catalogue = csv.writer(listed), csv.writer(said)
        inventory.writerow(["path", "version", "size"])
        catalogue.writerow(["path", "subjects", "complete", "language", "collected_at", "extra.show"])
        for n in numbers:
            path = f"show{n % 5000:05d}/2025/{n // 5000:05d}/episode-{n:08d}.mp3"
            people = f"s{n % 20_000:06d}" + ("" if n % 3 else f";t{n * 31 % 20_000:06d}")
            inventory.writerow([path, f"{n:032x}", 1_000_000 + n * 7919 % 30_000_000])
            catalogue.writerow([path, people, "true", "en-GB", "2025-03-01", f"show{n % 5000}"])


def measured(name: str, report: list[dict[str, Any]], step: Callable[[], Answer]) -> Answer:
    """The answer of `step`; what it cost goes into the report."""
    wall, cpu = time.monotonic(), time.process_time()
    answer = step()
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    spent = {"cpu_s": time.process_time() - cpu, "wall_s": time.monotonic() - wall, "peak_bytes": peak_bytes}
    report.append({"step": name, **spent})
    return answer


def plan(folder: Path, catalogue: Catalogue | None) -> int:
    """Plans the inventory; returns the number of units."""
    sources = SourcesConfig(inventory=str(folder / "inventory.csv"))
    return write_plan(
        [SourceRoot("r", "s3://bucket/in")], catalogue, sources, PlanConfig(), folder / "plan.parquet"
    ).units


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=int, default=1_000_000, help="how many (default 1,000,000)")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    asked = parser.parse_args()
    report: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="provoice-bench-") as name:
        folder = Path(name)
        write_tables(folder, asked.sources)
        measured("plan without a catalogue", report, lambda: plan(folder, None))
        catalogue = measured("read the catalogue", report, lambda: load_catalogue(str(folder / "catalogue.csv")))
        units = measured("plan with it", report, lambda: plan(folder, catalogue))
    rows = [
        [step["step"], f"{step['cpu_s']:.1f}", f"{step['wall_s']:.1f}", f"{step['peak_bytes'] / 2**20:.0f}"]
        for step in report
    ]
    print(f"{asked.sources:,} sources, {units:,} units; peak memory is the process's so far\n")
    print(table(["step", "CPU s", "wall s", "peak MiB"], rows))
    if asked.json:
        asked.json.write_text(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
