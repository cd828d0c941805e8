"""Audio-hours per core-hour, start-up included: provoice beside an ordinary script and the limit of its parts.

    python -m benchmarks.speed [--rounds N] [--json FILE] [--compare EARLIER.json] [--only NAME …]

All run one after the other, each as a whole process on one core; CPU seconds are the kernel's, of every process it
started. Seconds differ between machines and with what else runs on them: compare ratios, within one run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.contenders import CONTENDERS, Contender
from benchmarks.corpus import CACHE, NoAudio, hour_of_mp3, moment_of_mp3, source_hours
from benchmarks.processes import CommandFailed, Cost, cost_of
from benchmarks.tables import stage_table, table

RATIOS = (
    ("provoice", "ordinary"),
    ("provoice", "parts"),
    ("provoice+diarization", "ordinary"),
    ("provoice+diarization", "parts"),
    ("parts", "ordinary"),
)
LIBRARIES = ("onnxruntime", "silero-vad", "soundfile", "soxr", "av", "pyarrow", "numpy", "torch", "librosa")

Result = dict[str, Any]


def measured(contender: Contender, source: Path, out: Path, core: int) -> tuple[Cost, dict[str, float]]:
    """One run into an empty folder: its cost, and CPU seconds per stage."""
    shutil.rmtree(out, ignore_errors=True)
    log = out.with_suffix(".log")
    cost = cost_of(contender.command(source, out), log, core)
    return cost, contender.stages(out, log)


def benchmark(chosen: list[Contender], rounds: int, core: int) -> dict[str, Any]:
    """Medians over `rounds`, in which the contenders take turns."""
    hour, moment = hour_of_mp3(), moment_of_mp3()
    # A folder of this process's own: two benchmarks at once must not write into each other's lake.
    out = CACHE / f"out-{os.getpid()}"
    runs: dict[str, list[Result]] = {contender.name: [] for contender in chosen}
    for contender in chosen:
        # Unmeasured, once: models are converted, byte code is compiled, files come into memory.
        measured(contender, moment, out / contender.name, core)
    for number in range(rounds):
        for contender in chosen:
            print(f"round {number + 1} of {rounds}: {contender.name}", file=sys.stderr, flush=True)
            start, _ = measured(contender, moment, out / contender.name, core)
            cost, stages = measured(contender, hour, out / contender.name, core)
            runs[contender.name].append(
                {
                    "cpu_s": cost.cpu_s,
                    "wall_s": cost.wall_s,
                    "peak_bytes": cost.peak_bytes,
                    "start_cpu_s": start.cpu_s,
                    "start_wall_s": start.wall_s,
                    "stages": stages,
                }
            )
    shutil.rmtree(out, ignore_errors=True)
    results = {name: _median(found) for name, found in runs.items()}
    return {"hours": source_hours(hour), "rounds": rounds, "machine": machine(), "results": results}


def _median(runs: list[Result]) -> Result:
    """The run with the median CPU seconds, whole: its stages then add up to its total."""
    middle = statistics.median_low(run["cpu_s"] for run in runs)
    return next(run for run in runs if run["cpu_s"] == middle)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    names = [line.split(":", 1)[1].strip() for line in _cpuinfo() if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in LIBRARIES},
    }


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def speeds(report: dict[str, Any]) -> dict[str, float]:
    """Audio-hours per core-hour of each contender."""
    return {name: report["hours"] * 3600.0 / result["cpu_s"] for name, result in report["results"].items()}


def ratios(report: dict[str, Any]) -> dict[str, float]:
    """How many times as fast as the second the first is, for each pair that was measured."""
    found = speeds(report)
    return {f"{one} / {other}": found[one] / found[other] for one, other in RATIOS if one in found and other in found}


def shown(report: dict[str, Any], earlier: dict[str, Any] | None) -> str:
    """The tables of a report, beside an earlier one where there is one."""
    about = {contender.name: contender.about for contender in CONTENDERS}
    before = speeds(earlier) if earlier else {}
    head = [
        "",
        "audio-h per core-h",
        "CPU s per audio-h",
        "start-up CPU s",
        "start-up wall s",
        "peak MiB",
        "what it is",
    ]
    rows = [
        [
            name,
            f"{speed:.0f}" + (f" (was {before[name]:.0f})" if name in before else ""),
            f"{3600.0 / speed:.2f}",
            f"{report['results'][name]['start_cpu_s']:.2f}",
            f"{report['results'][name]['start_wall_s']:.2f}",
            f"{report['results'][name]['peak_bytes'] / 2**20:.0f}",
            about[name],
        ]
        for name, speed in speeds(report).items()
    ]
    was = ratios(earlier) if earlier else {}
    pairs = [
        [name, f"{value:.2f}" + (f" (was {was[name]:.2f})" if name in was else "")]
        for name, value in ratios(report).items()
    ]
    on = report["machine"]
    title = f"{report['hours']:.2f} h of MP3, 44.1 kHz stereo; one core of {on['cpu']}, Python {on['python']}"
    stages = {name: result["stages"] for name, result in report["results"].items()}
    return "\n\n".join(
        [title, table(head, rows), table(["ratio", "times as fast"], pairs), stage_table(stages, report["hours"])]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1, help="how often each runs; the median counts (default 1)")
    parser.add_argument(
        "--core", type=int, default=max(os.sched_getaffinity(0)), help="core to run on (default: the last)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="show an earlier run's figures beside these")
    names = [contender.name for contender in CONTENDERS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="run only these")
    options = parser.parse_args()
    earlier = json.loads(options.compare.read_text()) if options.compare else None
    try:
        report = benchmark([c for c in CONTENDERS if c.name in options.only], options.rounds, options.core)
    except (NoAudio, CommandFailed) as error:
        print(f"benchmarks.speed: {error}", file=sys.stderr)
        return 1
    print(shown(report, earlier))
    if options.json:
        options.json.write_text(json.dumps(report | {"ratios": ratios(report)}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
