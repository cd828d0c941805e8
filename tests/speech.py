"""Real speech that a package carries, for tests that need a voice: 30 s of two people, 16 kHz."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from provoice.demo.sources import RATE_HZ, sample_conversation, spans_of


@cache
def conversation() -> NDArray[np.float64]:
    """The whole conversation, shape (480000,)."""
    return sample_conversation()[0]


@cache
def voice(label: str = "speaker90", seconds: float = 12.0) -> NDArray[np.float64]:
    """One person of the conversation alone: the stretches in which nobody else speaks, joined, again and again."""
    samples, rttm = sample_conversation()
    alone = np.zeros(len(samples), bool)
    for start, end, _ in (span for span in spans_of(rttm) if span[2] == label):
        alone[round(start * RATE_HZ) : round(end * RATE_HZ)] = True
    for start, end, _ in (span for span in spans_of(rttm) if span[2] != label):
        alone[round(start * RATE_HZ) : round(end * RATE_HZ)] = False
    return np.resize(samples[alone], round(seconds * RATE_HZ))


def write(path: Path, samples: NDArray[np.float64], rate: int = RATE_HZ, **how: str) -> Path:
    """Writes `samples`, shape (n,) or (n, channels), and returns where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **({"subtype": "PCM_16"} if path.suffix in (".wav", ".flac") else {}), **how)
    return path


def folder_of_clips(folder: Path, clips: int, seconds: float = 6.0) -> Path:
    """`clips` different stretches of the conversation as WAV files."""
    samples = conversation()
    for n in range(clips):
        start = round((6.5 + n * 0.37) * RATE_HZ) % (len(samples) - round(seconds * RATE_HZ))
        write(folder / f"clip{n:03d}.wav", samples[start : start + round(seconds * RATE_HZ)])
    return folder
