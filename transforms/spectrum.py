"""Short-time power in speech bands: what the blind estimators of noise and reverberation look at."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from schemas.sound import ANALYSIS_RATE_HZ, Region, Samples

FRAME_HZ = 50
"""Frames per second of every band power."""
HOP = ANALYSIS_RATE_HZ // FRAME_HZ
WINDOW = 256
"""16 ms. Shorter than the hop: the four fifths that are heard say what all would, and cost half."""
BANDS = 5
"""More of them made neither estimator better."""

# The bin below lies at 62.5 Hz, and hears rumble and mains hum as well as speech.
_FIRST_BIN = 2
_BLOCK = 64

BandPower = NDArray[np.float32]
"""Power per frame and band, shape (frames, BANDS); the bands touch and cover 94 Hz to 8 kHz."""


def band_power(samples: Samples) -> BandPower:
    """Power of 16 kHz `samples` per 20 ms frame in five bands that touch, shape (about n / 320, 5).

    A sample-to-sample difference is taken first and undone per bin: it keeps rumble below 60 Hz, which in some
    recordings is most of the power, from leaking into the lowest bands.
    """
    n_frames = max(0, (len(samples) - 1 - WINDOW) // HOP + 1)
    power = np.empty((n_frames, BANDS), np.float32)
    if not n_frames:
        return power
    frames = np.lib.stride_tricks.sliding_window_view(np.diff(samples), WINDOW)[::HOP]
    window, to_bands = _window(), _to_bands()
    for start in range(0, n_frames, _BLOCK):
        # In blocks: what fits the cache costs half as much as one large array.
        bins = np.fft.rfft(frames[start : start + _BLOCK] * window).view(np.float32)
        np.multiply(bins, bins, out=bins)
        np.matmul(bins, to_bands, out=power[start : start + _BLOCK])
    return power


def speech_frames(speech: tuple[Region, ...], n_frames: int) -> NDArray[np.bool_]:
    """Which frames have their middle in a region of `speech` (16 kHz samples), shape (n_frames,)."""
    is_speech = np.zeros(n_frames, np.bool_)
    for region in speech:
        first = -(-(region.start_sample - WINDOW // 2) // HOP)
        is_speech[max(0, first) : max(0, -(-(region.end_sample - WINDOW // 2) // HOP))] = True
    return is_speech


@cache
def band_edges_hz() -> NDArray[np.float64]:
    """Edges of the bands, Hz, shape (BANDS + 1,), equally wide in mel (O'Shaughnessy), moved to whole bins: 94,
    594, 1,344, 2,656, 4,719 and 8,031."""
    bin_hz = ANALYSIS_RATE_HZ / WINDOW
    low, high = (_FIRST_BIN - 0.5) * bin_hz, ANALYSIS_RATE_HZ / 2 + bin_hz / 2
    mel = np.linspace(np.log1p(low / 700), np.log1p(high / 700), BANDS + 1)
    return np.asarray((np.round(700 * np.expm1(mel) / bin_hz - 0.5) + 0.5) * bin_hz)


@cache
def _window() -> NDArray[np.float32]:
    window = np.hanning(WINDOW + 1)[:-1]
    return np.asarray(window / np.sqrt(np.sum(window**2) * WINDOW / 2), np.float32)


@cache
def _to_bands() -> NDArray[np.float32]:
    """Sums squared real and imaginary parts into bands and undoes the difference, shape (2 · bins, BANDS)."""
    frequency = np.arange(WINDOW // 2 + 1) / WINDOW
    gain = 1 / np.maximum(4 * np.sin(np.pi * frequency) ** 2, 1e-9)
    gain[-1] /= 2
    edges = band_edges_hz() * WINDOW / ANALYSIS_RATE_HZ
    band = np.searchsorted(edges, np.arange(WINDOW // 2 + 1), side="right") - 1
    matrix = np.zeros((WINDOW // 2 + 1, BANDS))
    inside = (band >= 0) & (band < BANDS)
    matrix[np.nonzero(inside)[0], band[inside]] = gain[inside]
    return np.repeat(matrix, 2, axis=0).astype(np.float32)
