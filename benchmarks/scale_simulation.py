"""A petabyte on 10 to 10,000 workers, simulated from what units take here: which size of unit loses least.

    python -m benchmarks.scale_simulation [--measured FILE] [--workers N …] [--unit-audio-s S …] [--prices FILE]

Stage times come from real runs that this command makes (a quarter of an hour of MP3 for the cost, clips of WAV for how
far sources differ); `--measured FILE` keeps them, and takes them from there if it exists. What is assumed stands in
`benchmarks.scale_model.World`, and `--stress` shows what becomes of the recommendation where it is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.corpus import NoAudio, audio_folder, hour_of_mp3
from benchmarks.processes import CommandFailed, cost_of
from benchmarks.scale_model import Measured, Outcome, World, simulate
from benchmarks.tables import table
from pipelines.estimate import BYTES_PER_S, estimated_s
from pipelines.forecast.prices import PriceTable, load_prices
from pipelines.plan import PlanConfig

WORKERS = (10, 100, 1_000, 10_000)
UNITS_AUDIO_S = (7_500.0, 15_000.0, 30_000.0, 60_000.0, 120_000.0, 240_000.0, 480_000.0)
STRESSED = (30_000.0, 60_000.0, 120_000.0, 240_000.0)
WAVS = ("meetings", "noisy_pairs", "overlap", "speakers/digits_8khz")
"""Folders of WAV only, from 8 kHz to 48 kHz: what they take per byte differs as sources of one extension do."""
MEMORY_GIB_PER_WORKER = 2.0
WORLDS = {
    "as assumed": World(),
    "no spot": World(preemptions_per_hour=0.0),
    "spot ten times a day": World(preemptions_per_hour=10 / 24),
    "requests take 200 ms": World(latency_s=0.2),
    "the store grows no limit": World(grows_to=1.0),
    "cores twice as fast": World(speed=2.0),
}


def measured_here(core: int) -> Measured:
    """Runs the real worker, every source a unit, and reads what the commits say."""
    with tempfile.TemporaryDirectory(prefix="provoice-bench-") as work:
        mp3, whole_s = _commits([hour_of_mp3() / "talk0.mp3"], Path(work) / "mp3", core)
        clips, _ = _commits([audio_folder() / folder for folder in WAVS], Path(work) / "clips", core)
    audio_s = sum(one["counts"]["source_s"] for one in mp3)
    units_s = sum(sum(one["seconds"].values()) for one in mp3)
    stages: dict[str, float] = {}
    for one in mp3:
        for name, spent in one["seconds"].items():
            stages[name] = stages.get(name, 0.0) + spent * 3600 / audio_s
    unit_cpu_s = min(one["seconds"]["other"] for one in clips)
    return Measured(
        cpu_s_per_audio_s=(units_s - unit_cpu_s * len(mp3)) / audio_s,
        unit_cpu_s=unit_cpu_s,
        spread=_spread(clips, unit_cpu_s),
        start_s=whole_s - units_s,
        bytes_out_per_audio_s=sum(o["size_bytes"] for one in mp3 for o in one["objects"]) / audio_s,
        stages={name: round(spent, 3) for name, spent in sorted(stages.items())},
    )


def _commits(folders: list[Path], out: Path, core: int) -> tuple[list[dict[str, Any]], float]:
    """The commits of a run of these folders, and CPU seconds of all its processes."""
    out.mkdir()
    command = [
        sys.executable, "-m", "provoice", "run", "configs/explore.yaml", "--lake", str(out / "lake"), "--json",
        "--set", "plan.unit_max_sources=1",
    ]  # fmt: skip
    for folder in folders:
        command += ["--source", f"{folder.stem}={folder}"]
    cost = cost_of(command, out / "log", core)
    return [json.loads(path.read_text()) for path in sorted((out / "lake" / "commits").rglob("*.json"))], cost.cpu_s


def _spread(commits: list[dict[str, Any]], unit_cpu_s: float) -> tuple[float, ...]:
    """What sources of emitted units took, per byte-estimated second as planning knows it, over the mean."""
    taken = [
        (sum(one["seconds"].values()) - unit_cpu_s) / estimated_s("a.wav", one["counts"]["source_bytes"], BYTES_PER_S)
        for one in commits
        if one["counts"]["emitted"]
    ]
    mean = sum(taken) / len(taken)
    return tuple(round(one / mean, 4) for one in taken)


def cost_of_run(outcome: Outcome, workers: int, prices: PriceTable) -> float:
    """Machines from start to end, and requests."""
    core = prices.core_hour_spot or prices.core_hour
    memory = prices.memory_gib_hour_spot or prices.memory_gib_hour
    if core is None or memory is None or prices.read_requests_1000 is None or prices.write_requests_1000 is None:
        raise SystemExit(f"benchmarks.scale_simulation: {prices.name} lacks prices of cores, memory or requests")
    machines = workers * outcome.makespan_s / 3600 * (core.amount + MEMORY_GIB_PER_WORKER * memory.amount)
    reads = outcome.reads / 1000 * prices.read_requests_1000.amount
    return machines + reads + outcome.writes / 1000 * prices.write_requests_1000.amount


def efficiency(outcome: Outcome) -> float:
    """What the audio alone would take these workers, over what the run takes them."""
    return outcome.ideal_s / outcome.makespan_s


def rows_of(found: dict[tuple[int, float], Outcome], prices: PriceTable, work_s: float) -> list[list[str]]:
    """A row per number of workers and size of unit."""
    return [
        [
            f"{workers:,}",
            f"{unit:,.0f}",
            f"{unit * work_s / 60:.1f}",
            f"{one.units:,}",
            f"{one.makespan_s / 3600:,.1f}",
            f"{efficiency(one):.1%}",
            f"{one.tail_s / 60:.1f}",
            f"{one.lost_s / max(one.busy_s, 1):.2%}",
            f"{one.waited_s / max(one.busy_s, 1):.2%}",
            f"{cost_of_run(one, workers, prices):,.0f}",
        ]
        for (workers, unit), one in found.items()
    ]


def excess(found: dict[tuple[int, float], Outcome], workers: int, prices: PriceTable) -> dict[float, float]:
    """By size of unit: how much more the run costs than with the best one, as a share. Machines that idle, work that is
    lost and requests are all in it."""
    here = {unit: cost_of_run(one, workers, prices) for (count, unit), one in found.items() if count == workers}
    return {unit: value / min(here.values()) - 1 for unit, value in here.items()}


def recommended(more: list[dict[float, float]]) -> tuple[float, float]:
    """The size that costs least too much where it costs most, and how much that is; the larger of two alike, for it
    makes fewer commits."""
    sizes = set.intersection(*(set(one) for one in more))
    worst = {unit: max(one[unit] for one in more) for unit in sizes}
    best = min(worst, key=lambda unit: (round(worst[unit], 3), -unit))
    return best, worst[best]


def simulated(
    measured: Measured, world: World, workers: tuple[int, ...], units: tuple[float, ...], most: int
) -> dict[tuple[int, float], Outcome]:
    """Every combination."""
    found = {}
    for count in workers:
        for unit in units:
            print(f"{count:,} workers, units of {unit:,.0f} s", file=sys.stderr, flush=True)
            found[count, unit] = simulate(measured, world, count, unit, max(most, 8 * count), seed=1)
    return found


def _load_or_measure(path: Path | None) -> Measured:
    if path is not None and path.exists():
        values = json.loads(path.read_text())
        return Measured(**{**values, "spread": tuple(values["spread"])})
    measured = measured_here(max(os.sched_getaffinity(0)))
    if path is not None:
        path.write_text(json.dumps(asdict(measured), indent=2))
    return measured


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measured", type=Path, help="stage times: taken from here, or kept here")
    parser.add_argument("--workers", type=int, nargs="+", default=list(WORKERS))
    parser.add_argument("--unit-audio-s", type=float, nargs="+", default=list(UNITS_AUDIO_S))
    parser.add_argument(
        "--prices", default="configs/prices/gcp-example.yaml", help="table of prices, spot where it has"
    )
    parser.add_argument("--most-units", type=int, default=10_000, help="simulated of each run; the rest is more of it")
    parser.add_argument("--stress", action="store_true", help="also say what is recommended in worlds unlike this one")
    asked = parser.parse_args()
    try:
        measured = _load_or_measure(asked.measured)
    except (NoAudio, CommandFailed) as error:
        print(f"benchmarks.scale_simulation: {error}", file=sys.stderr)
        return 1
    prices = load_prices(asked.prices)
    workers, units = tuple(asked.workers), tuple(asked.unit_audio_s)
    found = simulated(measured, World(), workers, units, asked.most_units)
    each = f"{measured.unit_cpu_s * 1000:.0f} ms per unit, {measured.start_s:.1f} s to start"
    print(f"measured: {measured.cpu_s_per_audio_s * 3600:.1f} CPU s per hour of audio, {each}\n")
    head = [
        "workers",
        "audio s in a unit",
        "its minutes",
        "units",
        "hours",
        "efficiency",
        "tail min",
        "lost",
        "waited",
        prices.currency,
    ]
    print(table(head, rows_of(found, prices, measured.cpu_s_per_audio_s)))
    unit, worst = recommended([excess(found, count, prices) for count in workers])
    print(f"\ncosts least too much, on any number of workers: units of {unit:,.0f} s of audio (at most {worst:.1%})")
    print(f"the default, plan.unit_audio_s: {PlanConfig().unit_audio_s:,.0f} s")
    if asked.stress:
        print(f"\n{stressed(measured, found, max(workers), asked.most_units, prices)}")
    return 0


def stressed(
    measured: Measured, found: dict[tuple[int, float], Outcome], workers: int, most: int, prices: PriceTable
) -> str:
    """What each size costs too much in worlds unlike the assumed one, on the most workers, where it matters most."""
    rows, every = [], []
    for name, world in WORLDS.items():
        one = found if world == World() else simulated(measured, world, (workers,), STRESSED, most)
        more = excess({(count, unit): each for (count, unit), each in one.items() if unit in STRESSED}, workers, prices)
        fast = {unit: efficiency(one[workers, unit]) for unit in STRESSED}
        every.append(more)
        rows.append([name, *(f"{more[unit]:.1%} ({fast[unit]:.0%})" for unit in STRESSED)])
    unit, worst = recommended(every)
    head = [f"too much on {workers:,} workers (efficiency)", *(f"{unit:,.0f} s" for unit in STRESSED)]
    return f"{table(head, rows)}\n\ncosts least too much: units of {unit:,.0f} s of audio (at most {worst:.1%})"


if __name__ == "__main__":
    raise SystemExit(main())
