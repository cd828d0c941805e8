"""What a release costs to make, to show and to verify, beside DuckDB choosing the same rows without asking anybody.

    python -m benchmarks.release [--utterances 200000] [--threads 2] [--where SQL] [--json FILE]

The lake is made first (`release_lake`): merged files of a million rows, as a snapshot has them, a hundredth as many
people as rows, half as many grants again, of twenty kinds. Each step is a process of its own, from start to end: its
wall time, its CPU seconds and its largest resident size are the kernel's figures.

Beside them DuckDB counts the rows that match the condition, and writes them, with the columns that an index has from
`utterances`, to one Parquet file in the index's order. Ratios of CPU seconds can be compared from machine to machine.
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
from pipelines.release.index import SAME

WHERE = "snr_db > 15 and duration_s between 3 and 20"
NAME = "bench"
PLAIN = {"release create --dry-run": "DuckDB: count what matches", "release create": "DuckDB: write what matches"}
"""Which plain step stands beside which command."""
_COUNT = "select count(*), sum(duration_s), count(distinct recording_id) from ({matching})"
_WRITE = "copy ({matching} order by shard, audio_offset) to '{out}' (format parquet, compression zstd)"


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
            "release create --dry-run": _release(*create, "--dry-run"),
            "release create": _release(*create),
            "release show": _release("show", str(lake), NAME),
            "release verify": _release("verify", str(lake), NAME),
            PLAIN["release create --dry-run"]: _plain(lake, where, threads),
            PLAIN["release create"]: _plain(lake, where, threads, Path(folder) / "plain.parquet"),
        }
        steps = {name: cost(words, threads) for name, words in commands.items()}
    record = json.loads((lake / "releases" / NAME / "1" / "release.json").read_text())
    size = sum(part["size_bytes"] for part in record["index"])
    return {
        "rows": rows, "matching": record["matching"]["utterances"], "chosen": record["chosen"]["utterances"],
        "people": record["candidates"]["people"], "parts": len(record["index"]), "index_bytes": size, "steps": steps,
    }  # fmt: skip


def plain(lake: str, where: str, threads: int, out: str | None) -> None:
    """Chooses by the condition alone, as anybody would by hand."""
    import duckdb

    files = ", ".join(f"'{path}'" for path in sorted(Path(lake).glob("snapshots/*/utterances-*.parquet")))
    names = "duration_s, recording_id" if out is None else ", ".join(SAME)
    matching = f"select {names} from read_parquet([{files}]) where {where}"
    with duckdb.connect(config={"threads": threads}) as connection:
        asked = _COUNT if out is None else _WRITE
        connection.execute(asked.format(matching=matching, out=out)).fetchall()


def _plain(lake: Path, where: str, threads: int, out: Path | None = None) -> list[str]:
    said = (str(lake), where, threads, None if out is None else str(out))
    return [sys.executable, "-c", f"from benchmarks.release import plain; plain(*{said!r})"]


def _release(*words: str) -> list[str]:
    return [sys.executable, "-m", "provoice", "release", *words]


def cost(command: list[str], threads: int) -> dict[str, float]:
    """Wall and CPU seconds and peak bytes of one command, on so many cores."""
    cores = sorted(os.sched_getaffinity(0))[:threads]
    with tempfile.TemporaryFile() as log:
        began = time.perf_counter()
        child = subprocess.Popen(
            command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT,
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


def ratios(report: dict[str, Any]) -> dict[str, float]:
    """CPU seconds of a command over those of the plain step beside it."""
    steps = report["steps"]
    return {name: steps[name]["cpu_s"] / steps[beside]["cpu_s"] for name, beside in PLAIN.items()}


def shown(report: dict[str, Any]) -> str:
    """A row per step, and what came out."""
    found = ratios(report)
    rows = [
        [name, f"{one['wall_s']:.1f}", f"{one['cpu_s']:.1f}", f"{one['peak_bytes'] / 2**20:.0f}",
         f"{found[name]:.1f}" if name in found else ""]
        for name, one in report["steps"].items()
    ]  # fmt: skip
    about = (
        f"{report['rows']:,} utterances of {report['people']:,} people, {report['matching']:,} match, "
        f"{report['chosen']:,} chosen: {report['parts']} index parts, "
        f"{report['index_bytes'] / report['chosen']:.1f} bytes a row"
    )
    titles = ["command", "wall s", "CPU s", "peak MiB", "CPU, times DuckDB"]
    return f"{about}\n\n{table(titles, rows)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=200_000, help="how many there are (default 200,000)")
    parser.add_argument("--threads", type=int, default=2, help="cores (default 2)")
    parser.add_argument("--where", default=WHERE, help=f"the condition (default {WHERE})")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    try:
        report = measure(options.utterances, options.threads, options.where)
    except CommandFailed as error:
        print(f"benchmarks.release: {error}", file=sys.stderr)
        return 1
    sys.stdout.write(shown(report) + "\n")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
