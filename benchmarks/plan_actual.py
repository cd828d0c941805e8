"""What `provoice plan` foretold beside what `provoice run` then took, on mixes of real recordings.

    python -m benchmarks.plan_actual [--mixes NAME …] [--json FILE]

Plan and run are whole processes on one core. CPU seconds of the run are the kernel's, of every process that it started;
those of its units are what commits say. Bytes are those of the tars and parts that commits name. Wall time is not
compared: other work on the machine changes it at will.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.corpus import ROOT, NoAudio, audio_folder
from benchmarks.processes import ONE_THREAD, CommandFailed, cost_of
from benchmarks.tables import table

MIXES = {
    "meetings and read speech": (
        "meetings",
        "speakers/librispeech_train-clean-100",
        "speakers/librispeech_test-other",
    ),
    "formats and telephone": (
        "codecs",
        "containers",
        "noisy_pairs",
        "speakers/digits_8khz",
        "speakers/mp3",
        "speakers/vctk_48khz",
    ),
    "studio, noise and music": ("speakers/vctk", "overlap", "dry_and_reverberated", "noise", "music"),
}

Figures = dict[str, Any]


def compared(folders: tuple[str, ...], work: Path, core: int) -> Figures:
    """Plans and runs one mix: each figure as foretold, with its interval, and as it came."""
    lake = work / "lake"
    words = ["configs/explore.yaml", "--lake", str(lake), "--json"]
    for folder in folders:
        words += ["--source", f"{Path(folder).name}={audio_folder() / folder}"]
    foretold = _planned([sys.executable, "-m", "provoice", "plan", *words], core)
    cost = cost_of([sys.executable, "-m", "provoice", "run", *words], work / "run.log", core)
    commits = [json.loads(path.read_text()) for path in sorted((lake / "commits").rglob("*.json"))]
    start_s = foretold["start_cpu_s"]
    whole = {name: value + start_s for name, value in foretold["work_cpu_s"].items()}
    return {
        "sources": foretold["sources"],
        "units": foretold["units"],
        "measured": sum(one["measured"] for one in foretold["strata"]),
        "measured_share": sum(one["measured_bytes"] for one in foretold["strata"]) / foretold["size_bytes"],
        "sample_cpu_s": foretold["sample_cpu_s"],
        "figures": {
            "CPU s, the run": (whole, cost.cpu_s),
            "CPU s, its units": (foretold["work_cpu_s"], sum(sum(one["seconds"].values()) for one in commits)),
            "output, MB": (
                _scaled(foretold["output_bytes"], 1e-6),
                sum(stored["size_bytes"] for one in commits for stored in one["objects"]) * 1e-6,
            ),
            "audio, s": (foretold["audio_s"], sum(one["counts"]["source_s"] for one in commits)),
            "utterances": (foretold["utterances"], sum(one["counts"]["utterances"] for one in commits)),
            "units": ({"value": foretold["units"], "low": foretold["units"], "high": foretold["units"]}, len(commits)),
        },
    }


def _planned(command: list[str], core: int) -> Figures:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.pinned", str(core), *command],
        check=False,
        env={**os.environ, **ONE_THREAD},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise CommandFailed(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-500:]}")
    found: Figures = json.loads(done.stdout)["forecast"]
    return found


def _scaled(interval: dict[str, float], by: float) -> dict[str, float]:
    return {name: value * by for name, value in interval.items()}


def shown(found: Figures) -> str:
    """A row per figure, with its error."""
    rows = []
    for name, (foretold, actual) in found["figures"].items():
        error = foretold["value"] / actual - 1 if actual else 0.0
        is_inside = foretold["low"] <= actual <= foretold["high"]
        between = f"{foretold['low']:,.1f} – {foretold['high']:,.1f}"
        rows.append(
            [
                name,
                f"{foretold['value']:,.1f}",
                between,
                f"{actual:,.1f}",
                f"{error:+.1%}",
                "yes" if is_inside else "no",
            ]
        )
    return table(["", "foretold", "interval", "actual", "error", "inside"], rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mixes", nargs="+", choices=list(MIXES), default=list(MIXES), help="these only")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    asked = parser.parse_args()
    core = max(os.sched_getaffinity(0))
    report: dict[str, Figures] = {}
    for name in asked.mixes:
        try:
            with tempfile.TemporaryDirectory(prefix="provoice-bench-") as work:
                report[name] = found = compared(MIXES[name], Path(work), core)
        except (NoAudio, CommandFailed) as error:
            print(f"benchmarks.plan_actual: {error}", file=sys.stderr)
            return 1
        said = f"{found['measured']} of {found['sources']} sources measured, {found['measured_share']:.1%} of the bytes"
        print(f"\n{name}: {said}, in {found['sample_cpu_s']:.1f} CPU s\n\n{shown(found)}", flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
