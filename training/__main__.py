"""Makes the network that ships: rooms, mixtures, fit, calibration, export, data sheet.

    python -m training [--seed 1] [--steps 9000] [--out FOLDER] [--small]

Writes `acoustics.onnx` and `acoustics.md` into FOLDER (default `.cache/training/out`) and says what to copy where.
Under an hour on two idle cores; the network is fitted on a GPU where there is one. `--small` makes something useless in
a minute, to see that all parts fit.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from dataclasses import asdict
from pathlib import Path

from benchmarks.corpus import ROOT, NoAudio
from training.pool import Size

CACHE = ROOT / ".cache" / "training"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1, help="of the fit; the pool keeps its own")
    parser.add_argument("--steps", type=int, default=9000, help="batches of the fit")
    parser.add_argument("--pool", type=Path, default=CACHE / "pool", help="where rooms and stretches are kept")
    parser.add_argument("--out", type=Path, default=CACHE / "out", help="where the weights and their sheet go")
    parser.add_argument("--small", action="store_true", help="a pool and a fit of a minute")
    asked = parser.parse_args()
    try:
        made(asked.pool, asked.out, asked.seed, asked.small, asked.steps)
    except NoAudio as error:
        parser.exit(2, f"{error}\n")


def made(pool_folder: Path, out: Path, seed: int, is_small: bool, steps: int = 9000) -> None:
    """Everything, in order; each part says what it took."""
    import torch

    from training import export, fit, pool, report, sheet
    from training.calibrate import calibrated
    from transforms.models import onnx_session

    size = Size(40, 60, 60) if is_small else Size()
    how = fit.Fit(steps=30, batch=8, valid_batches=4, seed=seed) if is_small else fit.Fit(seed=seed, steps=steps)
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {what}", flush=True)

    drawn = pool.made(pool_folder, size, seed=1, processes=os.cpu_count() or 1)
    say(f"{len(drawn.speech)} stretches of speech, {len(drawn.noise)} of noise")
    network = fit.fitted(drawn, how, say)
    scores = fit.validated(network, drawn, how)
    calibration = calibrated(scores)
    say(f"validating: {scores.mean_errors()}, {calibration}")
    out.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), out / "network.pt")
    file = out / "acoustics.onnx"
    sha256 = export.exported(export.Shipped(network, calibration.offset, calibration.spread), file)
    minutes = (time.monotonic() - began) / 60
    session = onnx_session(file)
    facts = {
        "sha256": sha256,
        "bytes": file.stat().st_size,
        "parameters": sum(p.numel() for p in network.parameters()),
        "opset": export.OPSET,
        "size": asdict(size),
        "fit": asdict(how),
        "calibration": asdict(calibration),
        "minutes": round(minutes),
        "machine": machine(torch.cuda.is_available()),
        "rows": report.table_of(40 if is_small else 400, lambda samples: report.shipped(samples, session)),
        "speed": round(report.times_real_time(session)),
    }
    (out / "made.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    (out / "acoustics.md").write_text(sheet.sheet(facts), encoding="utf-8")
    say(f"{file}: sha256 {sha256}; copy both files to transforms/weights and the digest to transforms/acoustics.py")


def machine(has_gpu: bool) -> str:
    return f"{os.cpu_count()} cores of {platform.machine()}{' and a GPU' if has_gpu else ''}"


if __name__ == "__main__":
    main()
