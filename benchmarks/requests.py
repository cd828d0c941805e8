"""How many requests a run makes of an object store: counted by a proxy in front of a local server, gs:// and s3://.

    python -m benchmarks.requests [--stores gs s3] [--json FILE]

The same speech, sources and lake in the bucket, in three plans: few sources in few units, many in few, many in many.
Three counts make a plane: so many for the run, for each unit, for each source. `pipelines/forecast/requests.py` has the
figures. Writes are what stores bill dearly (creates, parts of uploads, listings), reads are everything else.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.corpus import NoAudio, audio_folder
from benchmarks.tables import table
from tests.servers import stores
from tests.servers.faulty_proxy import Request, faulty

PLANS = ((6, 6), (24, 6), (24, 24))
"""Sources and units."""


class _Counts:
    """A rule of the proxy that breaks nothing and counts."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def __call__(self, request: Request) -> None:
        is_write = request.is_listing or request.method in ("PUT", "POST", "PATCH")
        self.counts["writes" if is_write else "reads"] += 1


def counted(scheme: str, sources: int, units: int, folder: Path) -> dict[str, int]:
    """Requests of one run in a bucket of its own."""
    clips = sorted((audio_folder() / "speakers").glob("librispeech_*/**/*.flac"))[:sources]
    rule = _Counts()
    with stores.proven(scheme, folder) as (uri, environment), faulty(scheme, environment) as (proxy, behind):
        _upload(f"{uri}/raw", clips)
        proxy.rule = rule
        command = [
            sys.executable, "-m", "provoice", "run", "configs/explore.yaml", "--source", f"raw={uri}/raw",
            "--lake", f"{uri}/lake", "--workers", "1", "--json", "--set", "diarize.backend=single",
            "--set", f"plan.unit_max_sources={sources // units}",
            "--set", "plan.units_at_least=1",
        ]  # fmt: skip
        environ = {**os.environ, **behind, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"benchmarks.requests: the run ended with {done.returncode}: {done.stderr[-500:]}")
    return {**rule.counts, "utterances": json.loads(done.stdout)["utterances"]}


def _upload(uri: str, clips: list[Path]) -> None:
    import fsspec

    filesystem, base = fsspec.core.url_to_fs(uri)
    for clip in clips:
        filesystem.pipe_file(f"{base}/{clip.name}", clip.read_bytes())


def plane(found: list[dict[str, int]], kind: str) -> tuple[float, float, float]:
    """(for the run, for each unit, for each source) that explain the three counts."""
    at = np.array([[1.0, units, sources] for sources, units in PLANS])
    fixed, per_unit, per_source = np.linalg.solve(at, np.array([float(one[kind]) for one in found]))
    return float(fixed), float(per_unit), float(per_source)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stores", nargs="+", choices=["gs", "s3"], default=["gs", "s3"])
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    asked = parser.parse_args()
    report: dict[str, Any] = {}
    rows = []
    for scheme in asked.stores:
        try:
            with tempfile.TemporaryDirectory(prefix="provoice-bench-") as folder:
                found = [counted(scheme, *plan, Path(folder) / str(n)) for n, plan in enumerate(PLANS)]
        except NoAudio as error:
            print(f"benchmarks.requests: {error}", file=sys.stderr)
            return 1
        report[scheme] = found
        for kind in ("reads", "writes"):
            counts = ", ".join(str(one[kind]) for one in found)
            rows.append([f"{scheme}://", kind, counts, *(f"{value:.1f}" for value in plane(found, kind))])
    print(table(["store", "requests", "counted", "for the run", "per unit", "per source"], rows))
    if asked.json:
        asked.json.write_text(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
