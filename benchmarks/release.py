"""What a release of ten million utterances costs to make, to show and to verify.

    python -m benchmarks.release [--rows 10000000] [--threads 2] [--where SQL] [--json FILE]

The lake is made first (`release_lake`): merged files of a million rows, as a snapshot has them, a hundredth as many
people as rows, and a ledger of grants of twenty kinds. Each step is a process of its own, from start to end: its wall
time, its CPU seconds and its largest resident size are the kernel's figures.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.consent_lake import USE
from benchmarks.corpus import ROOT
from benchmarks.processes import CommandFailed
from benchmarks.release_lake import lake_of
from benchmarks.tables import table

WHERE = "snr_db > 15 and duration_s between 3 and 20"
NAME = "bench"


def measure(rows: int, threads: int, where: str) -> dict[str, Any]:
    """All figures of the report."""
    subprocess.run([sys.executable, "-m", "benchmarks.release_lake", str(rows)], cwd=ROOT, check=True)
    lake = lake_of(rows)
    shutil.rmtree(lake / "releases", ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        use = Path(folder) / "use.yaml"
        use.write_text("".join(f'{key}: "{value}"\n' for key, value in USE.model_dump(mode="json").items()))
        create = ["create", str(lake), NAME, "--use", str(use), "--where", where]
        commands = {
            "release create --dry-run": [*create, "--dry-run"],
            "release create": create,
            "release show": ["show", str(lake), NAME],
            "release verify": ["verify", str(lake), NAME],
        }
        steps = {name: cost(words, threads) for name, words in commands.items()}
    record = json.loads((lake / "releases" / NAME / "1" / "release.json").read_text())
    size = sum(part["size_bytes"] for part in record["index"])
    chosen = record["chosen"]["utterances"]
    return {"rows": rows, "chosen": chosen, "parts": len(record["index"]), "index_bytes": size, "steps": steps}


def cost(words: list[str], threads: int) -> dict[str, float]:
    """Wall and CPU seconds and peak bytes of one `provoice release …`, on so many cores."""
    cores = sorted(os.sched_getaffinity(0))[:threads]
    with tempfile.TemporaryFile() as log:
        began = time.perf_counter()
        child = subprocess.Popen(
            [sys.executable, "-m", "provoice", "release", *words], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),  # noqa: PLW1509  (nothing else runs in this process)
        )  # fmt: skip
        # wait4 and not Popen.wait: it alone says what this child used.
        _, status, usage = os.wait4(child.pid, 0)
        wall_s = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        if child.returncode != 0:
            raise CommandFailed(log.read().decode(errors="replace"))
    return {"wall_s": wall_s, "cpu_s": usage.ru_utime + usage.ru_stime, "peak_bytes": usage.ru_maxrss * 1024}


def shown(report: dict[str, Any]) -> str:
    """A row per step, and what came out."""
    rows = [
        [name, f"{one['wall_s']:.1f}", f"{one['cpu_s']:.1f}", f"{one['peak_bytes'] / 2**20:.0f}"]
        for name, one in report["steps"].items()
    ]
    about = (
        f"{report['rows']:,} utterances, {report['chosen']:,} chosen: {report['parts']} index parts, "
        f"{report['index_bytes'] / report['chosen']:.0f} bytes a row"
    )
    return f"{about}\n\n{table(['command', 'wall s', 'CPU s', 'peak MiB'], rows)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000, help="utterances (default ten million)")
    parser.add_argument("--threads", type=int, default=2, help="cores (default 2)")
    parser.add_argument("--where", default=WHERE, help=f"the condition (default {WHERE})")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    report = measure(options.rows, options.threads, options.where)
    sys.stdout.write(shown(report) + "\n")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
