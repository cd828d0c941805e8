"""Peak memory of a worker on a recording of three minutes and on one of three hours: it must not grow with the file.

    python -m benchmarks.memory [--minutes 3 180] [--set KEY=VALUE …] [--json FILE] [--compare EARLIER.json]

The recordings are FLAC, 44.1 kHz stereo. "worker" is what the unit's commit recorded of the process that did the work,
"any process" the kernel's figure for the largest process of the whole command.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from benchmarks.contenders import provoice_command, worker_peak_bytes
from benchmarks.corpus import CACHE, NoAudio, one_file
from benchmarks.processes import CommandFailed, cost_of
from benchmarks.tables import table


def peak(minutes: int, overrides: list[str], core: int) -> dict[str, Any]:
    """Peak bytes and CPU seconds of a run over one recording of so many minutes."""
    source, out = one_file(minutes), CACHE / f"out-{os.getpid()}" / f"memory-{minutes}"
    shutil.rmtree(out, ignore_errors=True)
    cost = cost_of(provoice_command(*overrides)(source, out), out.with_suffix(".log"), core)
    worker = worker_peak_bytes(out)
    shutil.rmtree(out.parent, ignore_errors=True)
    return {"minutes": minutes, "worker_bytes": worker, "largest_bytes": cost.peak_bytes, "cpu_s": cost.cpu_s}


def shown(report: list[dict[str, Any]], earlier: list[dict[str, Any]]) -> str:
    """A row per recording, and the growth from the shortest to the longest."""
    before = {found["minutes"]: found for found in earlier}
    rows = []
    for found in report:
        was = before.get(found["minutes"])
        note = f" (was {was['worker_bytes'] / 2**20:.0f})" if was else ""
        rows.append(
            [
                f"{found['minutes']} min",
                f"{found['worker_bytes'] / 2**20:.0f}{note}",
                f"{found['largest_bytes'] / 2**20:.0f}",
                f"{found['cpu_s']:.1f}",
            ]
        )
    growth = (report[-1]["worker_bytes"] - report[0]["worker_bytes"]) / 2**20
    hours = (report[-1]["minutes"] - report[0]["minutes"]) / 60
    head = ["recording", "worker, peak MiB", "any process, peak MiB", "CPU s"]
    per_hour = f", {growth / hours:+.1f} MiB per hour of audio" if hours else ""
    return f"{table(head, rows)}\n\ngrowth: {growth:+.0f} MiB{per_hour}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--minutes", type=int, nargs="+", default=[3, 180], help="lengths, shortest first (default 3 180)"
    )
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="show an earlier run's figures beside these")
    options = parser.parse_args()
    earlier = json.loads(options.compare.read_text()) if options.compare else []
    try:
        report = [peak(minutes, options.overrides, options.core) for minutes in options.minutes]
    except (NoAudio, CommandFailed) as error:
        print(f"benchmarks.memory: {error}", file=sys.stderr)
        return 1
    print(shown(report, earlier))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
