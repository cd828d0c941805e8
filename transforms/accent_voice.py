"""An utterance as one vector that an accent can be told from: the mean of what the speaker encoder hears.

It depends on the samples alone, so that a head is trained on the very vectors that it meets in a run: regions of speech
are known in a run, but not to whoever reads a release.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.sound import ANALYSIS_RATE_HZ, Samples
from transforms.diarize.convert import EMBEDDING
from transforms.diarize.encoder import CONVERTED, HOP, embed
from transforms.diarize.windows import Windows

VECTOR = f"ge2e-mean-1 of {CONVERTED.id} {CONVERTED}"
"""What makes the vector, by name and digest: a head says which one it was trained on, and opens with no other. A change
of anything here, or of what the encoder hears, is a new number."""
DIMENSIONS = EMBEDDING
SHORTEST_S = 1.0

_WINDOW = 120
"""Frames of 10 ms that are heard at once: 1.2 s."""
_QUIET_DB = 25.0
"""A window so far below the loudest is a pause."""


def accent_vector(samples: Samples, session: Any) -> NDArray[np.float32] | None:
    """The mean voice of 16 kHz mono `samples`, shape (256,), of unit norm; None under `SHORTEST_S`, or in silence.

    `session` is `transforms.diarize.encoder.open_encoder()`. Windows of 1.2 s, evenly spaced, each heard at one level;
    pauses are left out. Each utterance is heard by itself, so its vector depends on no neighbour.
    """
    windows = _windows(samples)
    if not len(windows):
        return None
    mean = embed(lambda start, end: samples[max(0, start) : max(0, end)], windows, session).mean(0)
    norm = float(np.linalg.norm(mean))
    return None if norm == 0.0 else (mean / np.float32(norm)).astype(np.float32)


def _windows(samples: Samples) -> Windows:
    frames = len(samples) // HOP
    if frames * HOP < SHORTEST_S * ANALYSIS_RATE_HZ:
        return _windows_at(np.zeros(0, np.int64), 0)
    width = min(_WINDOW, frames)
    count = max(1, round(frames / _WINDOW))
    start = np.rint(np.linspace(0, frames - width, count)).astype(np.int64)
    power = np.array([np.mean(np.square(samples[at * HOP : (at + width) * HOP], dtype=np.float64)) for at in start])
    return _windows_at(start[(power > 0) & (power >= power.max() * 10 ** (-_QUIET_DB / 10))], width)


def _windows_at(start: NDArray[np.int64], width: int) -> Windows:
    return Windows(start, start + width, np.zeros_like(start), start, start + width)
