"""The same hour of audio on every engine, start-up apart, beside the engine `local`; and one core against two.

    python -m benchmarks.engines [--rounds N] [--only NAME …] [--prism FILE] [--json FILE]

Each is a whole command. Its work lasts from the beginning of the first unit to the last commit, both of which the
commits record; what comes before and after is start-up. The engines take turns, and a ratio is taken within a round,
for seconds differ with what else runs on the machine. The median of the rounds counts.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.corpus import CACHE, ROOT, SEED, NoAudio, recording
from benchmarks.processes import ONE_THREAD, CommandFailed
from benchmarks.tables import table
from lake.lake import Lake
from lake.reader import LakeReader

FILES, FILE_S = 30, 120.0


@dataclass(frozen=True)
class Contender:
    """An engine with its words, and the one that it is compared with."""

    name: str
    words: tuple[str, ...]
    options: tuple[str, ...] = ()
    beside: str = "local, 2"


def contenders(prism: str | None) -> list[Contender]:
    """One process and two on this machine; Ray and Beam with two."""
    in_two = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
    found = [
        Contender("local, 2", ("--engine", "local", "--workers", "2")),
        Contender("local, 1", ("--engine", "local", "--workers", "1")),
        Contender("ray, 2", ("--engine", "ray", "--workers", "2")),
        Contender("beam direct, 1 × 2", ("--engine", "beam", "--workers", "2"), ("--runner=DirectRunner",)),
        Contender("beam direct, 2 × 1", ("--engine", "beam"), ("--runner=DirectRunner", *in_two)),
    ]
    if prism:
        where = (f"--prism_location={prism}", "--environment_type=LOOPBACK")
        found.append(
            Contender("beam prism, 1 × 2", ("--engine", "beam", "--workers", "2"), ("--runner=PrismRunner", *where))
        )
    return found


def an_hour() -> Path:
    """Folder with an hour in 30 MP3s, so that two workers have several each."""
    folder = CACHE / f"hour-{SEED}"
    for n in range(FILES):
        recording(f"talk{n:02d}.mp3", FILE_S, SEED + n, folder)
    return folder


def run(one: Contender, source: Path, out: Path) -> dict[str, float]:
    """Seconds of the work, and of the whole command."""
    shutil.rmtree(out, ignore_errors=True)
    words = ["run", "configs/explore.yaml", "--source", f"raw={source}", "--lake", str(out), *one.words]
    command = [sys.executable, "-m", "provoice", *words, "--", *one.options]
    began = time.perf_counter()
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **ONE_THREAD}, capture_output=True, text=True, check=False
    )
    whole_s = time.perf_counter() - began
    if done.returncode != 0:
        raise CommandFailed(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    commits = [commit for _, commit in LakeReader(Lake.open(str(out))).commits]
    first = min(commit.committed_at - timedelta(seconds=commit.wall_s) for commit in commits)
    last = max(commit.committed_at for commit in commits)
    work_s = (last - first).total_seconds()
    return {"work_s": work_s, "start_s": whole_s - work_s, "audio_s": sum(c.counts.source_s for c in commits)}


def benchmark(chosen: list[Contender], rounds: int) -> dict[str, Any]:
    """Every round's figures by name."""
    source, out = an_hour(), CACHE / f"out-{os.getpid()}"
    found: dict[str, list[dict[str, float]]] = {one.name: [] for one in chosen}
    for number in range(rounds):
        for one in chosen:
            print(f"round {number + 1} of {rounds}: {one.name}", file=sys.stderr, flush=True)
            found[one.name].append(run(one, source, out))
    shutil.rmtree(out, ignore_errors=True)
    return found


def shown(chosen: list[Contender], found: dict[str, Any]) -> str:
    """A row per engine."""
    rows = []
    for one in chosen:
        mine, others = found[one.name], found.get(one.beside, [])
        ratios = [other["work_s"] / own["work_s"] for own, other in zip(mine, others, strict=False)]
        spread = f" ({min(ratios):.2f}–{max(ratios):.2f})" if len(ratios) > 1 else ""
        rows.append(
            [
                one.name,
                f"{statistics.median(own['work_s'] for own in mine):.1f}",
                f"{statistics.median(own['start_s'] for own in mine):.1f}",
                f"{statistics.median(own['audio_s'] / own['work_s'] for own in mine):.0f}",
                f"{statistics.median(ratios):.2f}{spread}" if ratios else "–",
            ]
        )
    return table(["engine, processes", "work s", "start-up s", "times real time", "as fast as local, 2"], rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1, help="how often each runs (default 1)")
    parser.add_argument("--prism", metavar="FILE", help="the Prism binary, to run that too")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="run only these")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    chosen = [one for one in contenders(options.prism) if not options.only or one.name in options.only]
    try:
        found = benchmark(chosen, options.rounds)
    except (NoAudio, CommandFailed) as error:
        print(f"benchmarks.engines: {error}", file=sys.stderr)
        return 1
    print(shown(chosen, found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
