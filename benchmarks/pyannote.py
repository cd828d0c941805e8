"""What it saves to embed each window once: pyannote's stock pipeline beside ours, on a CPU, in turns.

    python -m benchmarks.pyannote [--seconds 300] [--rounds 1] [--threads 1] [--json FILE]

At community-1's shapes (PyanNet, WeSpeaker ResNet34), with random weights: its own are gated, and time depends on none.
Segmentation and embedding are timed; clustering is the same code in both. The sound is noise of changing level.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tables import table
from schemas.sound import ANALYSIS_RATE_HZ
from transforms.diarize.pyannote_shared import SharedWindows, as_file

_BATCH = 32


def pipeline_of_random_weights(seed: int = 0) -> Any:
    """community-1's pipeline without its weights. The clustering is 3.1's, which needs no PLDA, and is not timed."""
    import torch
    from pyannote.audio.core.plda import PLDA
    from pyannote.audio.core.task import Problem, Resolution, Specifications
    from pyannote.audio.models.embedding import WeSpeakerResNet34
    from pyannote.audio.models.segmentation import PyanNet
    from pyannote.audio.pipelines import SpeakerDiarization

    torch.manual_seed(seed)
    heard = PyanNet(sincnet={"stride": 10}, lstm={"hidden_size": 128, "num_layers": 4, "bidirectional": True})
    heard.specifications = Specifications(
        problem=Problem.MONO_LABEL_CLASSIFICATION,
        resolution=Resolution.FRAME,
        duration=10.0,
        classes=["speaker#1", "speaker#2", "speaker#3"],
        powerset_max_classes=2,
        permutation_invariant=True,
    )
    heard.build()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        # Random logits lie close together; spread, they say now this speaker, now that one.
        heard.classifier.weight.mul_(40)
    return SpeakerDiarization(
        segmentation=heard,
        embedding=WeSpeakerResNet34(),
        plda=PLDA.__new__(PLDA),
        clustering="AgglomerativeClustering",
        embedding_exclude_overlap=True,
        embedding_batch_size=_BATCH,
        segmentation_batch_size=_BATCH,
    ).instantiate(
        {
            "segmentation": {"min_duration_off": 0.0},
            "clustering": {"method": "centroid", "min_cluster_size": 12, "threshold": 0.7},
        }
    )


def stock(pipeline: Any, file: dict[str, Any]) -> tuple[Any, Any]:
    """Segmentations and vectors as pyannote makes them."""
    heard = pipeline.get_segmentations(file)
    return heard, pipeline.get_embeddings(file, heard, exclude_overlap=pipeline.embedding_exclude_overlap)


def ours(pipeline: Any, file: dict[str, Any]) -> tuple[Any, Any]:
    """The same, each window embedded once."""
    shared = SharedWindows(pipeline, _BATCH)
    (heard,) = shared.segmented([file])
    return heard, shared.embedded([file], [heard])[0]


def timed(make: Callable[[], tuple[Any, Any]]) -> tuple[float, tuple[Any, Any]]:
    began = time.process_time()
    made = make()
    return time.process_time() - began, made


def measured(seconds: float, rounds: int, threads: int) -> dict[str, Any]:
    """CPU seconds of both, the least of some rounds in turns, and how far their vectors lie apart at most."""
    import torch

    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    n = round(seconds * ANALYSIS_RATE_HZ)
    level = np.repeat(rng.uniform(0.001, 0.1, -(-n // 4000)), 4000)[:n]
    file = as_file((level * rng.standard_normal(n)).astype(np.float32), "made")
    pipeline = pipeline_of_random_weights()
    spent: dict[str, list[float]] = {"stock": [], "ours": []}
    said: dict[str, tuple[Any, Any]] = {}
    for _ in range(rounds):
        for name, way in (("stock", stock), ("ours", ours)):
            cpu_s, said[name] = timed(lambda way=way: way(pipeline, file))  # type: ignore[misc]
            spent[name].append(cpu_s)
    masks, speakers = said["ours"][0].data, said["ours"][0].data.shape[2]
    return {
        "audio_s": seconds,
        "threads": threads,
        "windows": len(masks),
        "speakers": speakers,
        "windows_with_a_voice": int(masks.any((1, 2)).sum()),
        "parameters": [sum(p.numel() for p in m.parameters()) for m in _models(pipeline)],
        "cpu_s": {name: round(min(each), 2) for name, each in spent.items()},
        "ratio": round(min(spent["stock"]) / min(spent["ours"]), 2),
        "largest_difference": float(np.nanmax(np.abs(said["stock"][1] - said["ours"][1]))),
        "same_segmentation": bool(np.array_equal(said["stock"][0].data, masks)),
    }


def _models(pipeline: Any) -> tuple[Any, Any]:
    return pipeline._segmentation.model, pipeline._embedding.model_


def main() -> int:
    parser = argparse.ArgumentParser(description="pyannote's stock pipeline beside ours")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    os.environ["PYANNOTE_METRICS_ENABLED"] = "0"
    warnings.simplefilter("ignore")
    result = measured(options.seconds, options.rounds, options.threads)
    rows = [[name, f"{cpu_s}", f"{result['audio_s'] / cpu_s:.2f}"] for name, cpu_s in result["cpu_s"].items()]
    print(table(["", "CPU s", "times real time"], rows))
    print(
        f"\n{result['ratio']} times; {result['windows_with_a_voice']} of {result['windows']} windows have a voice; "
        f"largest difference {result['largest_difference']:.1e}; parameters {result['parameters']}"
    )
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
