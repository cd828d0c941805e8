"""What is compared: provoice in two settings, an ordinary script, and the parts chained by hand."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Stages = dict[str, float]


@dataclass(frozen=True, slots=True)
class Contender:
    """A command from a folder of MP3s to an output folder, and where its CPU seconds per stage are to be read."""

    name: str
    about: str
    command: Callable[[Path, Path], list[str]]
    stages: Callable[[Path, Path], Stages]
    """Of the output folder and the log."""


def provoice_command(*overrides: str) -> Callable[[Path, Path], list[str]]:
    """`provoice run` with keys of configs/explore.yaml changed, from a folder into a lake."""
    changes = [word for override in overrides for word in ("--set", override)]
    return lambda source, out: [
        *(sys.executable, "-m", "provoice", "run", "configs/explore.yaml"),
        *("--source", f"bench={source}", "--lake", str(out), *changes),
    ]


def _script(module: str) -> Callable[[Path, Path], list[str]]:
    return lambda source, out: [sys.executable, "-W", "ignore", "-m", module, str(source), str(out)]


def commit_seconds(lake: Path, log: Path | None = None) -> Stages:
    """CPU seconds per stage over all commits of a lake."""
    del log
    total: Stages = {}
    for path in sorted(lake.glob("commits/**/*.json")):
        for stage, spent in json.loads(path.read_text())["seconds"].items():
            total[stage] = total.get(stage, 0.0) + spent
    return {stage: round(spent, 2) for stage, spent in total.items()}


def worker_peak_bytes(lake: Path) -> int:
    """Highest peak memory that any unit's worker recorded in its commit."""
    commits = [json.loads(path.read_text()) for path in sorted(lake.glob("commits/**/*.json"))]
    return max(int(commit["peak_memory_bytes"]) for commit in commits)


def printed_seconds(out: Path, log: Path) -> Stages:
    """What a script printed as its last line."""
    del out
    spent: Stages = json.loads(log.read_text().strip().splitlines()[-1])
    return {stage: round(seconds, 2) for stage, seconds in spent.items()}


CONTENDERS = (
    Contender(
        "provoice",
        "every measurement but diarization and accent",
        provoice_command("diarize.backend=single", "accent=null"),
        commit_seconds,
    ),
    Contender(
        "provoice+diarization",
        "every measurement, embedded diarizer",
        provoice_command("diarize.backend=embedded"),
        commit_seconds,
    ),
    Contender("ordinary", "an ordinary good script", _script("benchmarks.ordinary"), printed_seconds),
    Contender("parts", "the best parts chained by hand", _script("benchmarks.parts"), printed_seconds),
)
