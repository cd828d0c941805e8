"""How the overlap detector was made, and makes it again:

    python -m training.overlap [--seed N] [--scenes N] [--steps N] [--out FOLDER]

Scenes are drawn once and kept as features, 90 kB each; every step hears some of them, and pieces of meetings, with a
random equaliser and sometimes without some bands. Writes `overlap.onnx` into FOLDER, prints its SHA-256, and how well
it does on readers and meetings that it has not heard. Five minutes of one core.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.corpus import NoAudio
from benchmarks.voices import Meeting, meetings
from schemas.sound import ANALYSIS_RATE_HZ as RATE
from training.overlap_net import OverlapNet, exported
from training.overlap_scenes import LABEL_HZ, Voices, meeting_scene, scene, voices_at
from transforms.diarize.overlap import BANDS, bands_of

SEED = 0
_SCENES_SEED, _VALIDATING_SEED, _MEETINGS_SEED = 3, 2, 7
SCENES, STEPS = 6000, 1000
_VALIDATING, _PER_GROUP_OF_MEETINGS = 600, 160
_BATCH, _OF_MEETINGS = 25, 5
_LEARNT_FROM = ("trn00+trn01+trn02+trn03", "trn07+trn08")
"""Groups of meetings; trn04, the third on the side that trains, validates."""
_RATE = 3e-3
_LOUDEST = 20_000 / 32_768
_EQUALISED, _MASKED = 0.12, 0.5
"""Spread of the random equaliser, in 20 dB; share of batches in which some bands are missing."""

Heard = tuple[NDArray[np.float16], Voices]
"""Features of scenes, shape (n, BANDS, frames of 20 ms), and how many speak, shape (n, frames of 40 ms)."""


def made(count: int, seed: int, validating: bool = False) -> Heard:
    """Scenes as they are heard, in 16 bits."""
    rng = np.random.default_rng(seed)
    features, voices = [], []
    for _ in range(count):
        samples, speaking = scene(rng, validating)
        stored = np.trunc(samples / max(float(np.abs(samples).max()), 1e-6) * _LOUDEST * 32_768)
        features.append(bands_of((stored / 32_768).astype(np.float32)).astype(np.float16))
        voices.append(speaking)
    return np.stack(features), np.stack(voices)


def from_meetings(clips: list[Meeting]) -> Heard:
    """Pieces of meetings, as many of each group."""
    pairs = []
    for group in _LEARNT_FROM:
        rng, own = np.random.default_rng(_MEETINGS_SEED), [clip for clip in clips if clip.group == group]
        pairs += [meeting_scene(own, rng) for _ in range(_PER_GROUP_OF_MEETINGS)]
    return np.stack([bands_of(x).astype(np.float16) for x, _ in pairs]), np.stack([y for _, y in pairs])


def fitted(made_scenes: Heard, of_meetings: Heard, steps: int, rng: np.random.Generator) -> OverlapNet:
    """The network after so many steps of AdamW under one cycle of the learning rate."""
    net = OverlapNet()
    optimiser = torch.optim.AdamW(net.parameters(), lr=_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=steps, pct_start=0.15)
    loss_of = nn.BCEWithLogitsLoss()
    for step in range(steps):
        picked = np.sort(rng.integers(0, len(made_scenes[1]), _BATCH - _OF_MEETINGS))
        beside = rng.integers(0, len(of_meetings[1]), _OF_MEETINGS)
        features = np.concatenate([made_scenes[0][picked], of_meetings[0][beside]])
        voices = np.concatenate([made_scenes[1][picked], of_meetings[1][beside]])
        target = torch.from_numpy(np.stack([voices >= 1, voices >= 2], 1).astype(np.float32))
        optimiser.zero_grad()
        loss = loss_of(net(_changed(features, rng)), target)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if (step + 1) % 100 == 0:
            print(f"step {step + 1}: loss {loss.item():.3f}", flush=True)
    return net.eval()


def _changed(features: NDArray[np.float16], rng: np.random.Generator) -> Tensor:
    """As through another microphone, and sometimes without some bands."""
    heard = torch.from_numpy(features.astype(np.float32))
    if rng.random() < _MASKED:
        first = int(rng.integers(0, BANDS - 12))
        heard[:, first : first + int(rng.integers(4, 20))] = -1.0
    knots = torch.from_numpy(rng.normal(0, _EQUALISED, (len(heard), 1, 6)).astype(np.float32))
    curve = nn.functional.interpolate(knots, size=BANDS, mode="linear", align_corners=True)
    return heard + curve.transpose(1, 2)


def average_precision(net: OverlapNet, features: NDArray[Any], voices: Voices) -> float:
    """Of "two or more speak", over all frames."""
    with torch.no_grad():
        score = torch.cat([net(torch.from_numpy(x[None].astype(np.float32)))[0, 1] for x in features]).numpy()
    right = (voices.ravel() >= 2)[np.argsort(-score, kind="stable")]
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    return float((precision * right).sum() / max(1, right.sum()))


def on_meetings(net: OverlapNet, clips: list[Meeting]) -> float:
    """Average precision over whole clips."""
    frames = min(len(clip.known.samples) for clip in clips) * LABEL_HZ // RATE
    features = np.stack([bands_of(clip.known.samples[: frames * RATE // LABEL_HZ]) for clip in clips])
    at = (np.arange(frames) + 0.5) / LABEL_HZ
    return average_precision(net, features, np.stack([voices_at(clip.known.spans, at) for clip in clips]))


def main() -> int:
    parser = argparse.ArgumentParser(description="makes the overlap detector")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--scenes", type=int, default=SCENES)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--out", type=Path, default=Path())
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    try:
        clips = meetings("train")
    except NoAudio as error:
        print(error, file=sys.stderr)
        return 2
    unheard = [clip for clip in clips if clip.group not in _LEARNT_FROM] + meetings("report")
    rng = np.random.default_rng(options.seed)
    net = fitted(made(options.scenes, _SCENES_SEED), from_meetings(clips), options.steps, rng)
    features, voices = made(_VALIDATING, _VALIDATING_SEED, validating=True)
    options.out.mkdir(parents=True, exist_ok=True)
    print(f"average precision: readers unheard {average_precision(net, features, voices):.3f}", end="; ")
    print(f"meetings unheard {on_meetings(net, unheard):.3f}")
    print(f"sha256 {exported(net, options.out / 'overlap.onnx')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
