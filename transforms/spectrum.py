"""Short-time power in mel bands: what the network and the classical estimators of noise and reverberation look at."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from schemas.sound import ANALYSIS_RATE_HZ, Region, Samples

FRAME_HZ = 50
"""Frames per second of every mel and band power."""
HOP = ANALYSIS_RATE_HZ // FRAME_HZ
WINDOW = 400
"""25 ms. With a frame every 20 ms, not 10, half of the transforms say as much of noise and decays."""
MELS = 40
MEL_RANGE_HZ = (60.0, 7_800.0)
BANDS = 5
"""Sums of eight mel bands each; more of them made neither classical estimator better."""

_BLOCK = 128

MelPower = NDArray[np.float32]
"""Power per frame and mel band, shape (frames, MELS); the bands sum to the power between 60 Hz and 7.8 kHz."""
BandPower = NDArray[np.float32]
"""Power per frame and band, shape (frames, BANDS)."""


def mel_power(samples: Samples) -> MelPower:
    """Power of 16 kHz `samples` per 20 ms frame in overlapping triangles on the mel scale, shape (about n / 320, 40).

    A sample-to-sample difference is taken first and undone per bin: it keeps rumble below 60 Hz, which in some
    recordings is most of the power, from leaking into the lowest bands.
    """
    n_frames = frames_in(len(samples))
    power = np.empty((n_frames, MELS), np.float32)
    if not n_frames:
        return power
    frames = np.lib.stride_tricks.sliding_window_view(np.diff(samples), WINDOW)[::HOP]
    window, to_mels = analysis_window(), _parts_to_mels()
    for start in range(0, n_frames, _BLOCK):
        # In blocks: what fits the cache costs half as much as one large array.
        bins = np.fft.rfft(frames[start : start + _BLOCK] * window).view(np.float32)
        np.multiply(bins, bins, out=bins)
        np.matmul(bins, to_mels, out=power[start : start + _BLOCK])
    return power


def band_power(samples: Samples) -> BandPower:
    """Power of 16 kHz `samples` per 20 ms frame in five bands, shape (about n / 320, 5)."""
    return bands_of(mel_power(samples))


def bands_of(mels: MelPower) -> BandPower:
    """The five bands that mel power sums to."""
    return mels @ _mels_to_bands()


def frames_in(n_samples: int) -> int:
    """How many frames so many samples have."""
    return max(0, (n_samples - 1 - WINDOW) // HOP + 1)


def speech_frames(speech: tuple[Region, ...], n_frames: int) -> NDArray[np.bool_]:
    """Which frames have their middle in a region of `speech` (16 kHz samples), shape (n_frames,)."""
    is_speech = np.zeros(n_frames, np.bool_)
    for region in speech:
        first = -(-(region.start_sample - WINDOW // 2) // HOP)
        is_speech[max(0, first) : max(0, -(-(region.end_sample - WINDOW // 2) // HOP))] = True
    return is_speech


@cache
def mel_edges_hz() -> NDArray[np.float64]:
    """Feet and peaks of the triangles, Hz, shape (MELS + 2,), equally far apart in mel (O'Shaughnessy)."""
    low, high = MEL_RANGE_HZ
    return np.asarray(700 * np.expm1(np.linspace(np.log1p(low / 700), np.log1p(high / 700), MELS + 2)))


@cache
def band_edges_hz() -> NDArray[np.float64]:
    """Where neighbouring bands cross, and the outer feet, Hz, shape (BANDS + 1,)."""
    feet = mel_edges_hz()
    crossings = (feet[1:-2] + feet[2:-1]) / 2
    step = MELS // BANDS
    return np.concatenate([feet[:1], crossings[step - 1 :: step][: BANDS - 1], feet[-1:]])


@cache
def analysis_window() -> NDArray[np.float32]:
    """Hann, scaled so that bins of white noise sum to its power; shape (WINDOW,)."""
    window = np.hanning(WINDOW + 1)[:-1]
    return np.asarray(window / np.sqrt(np.sum(window**2) * WINDOW / 2), np.float32)


@cache
def bins_to_mels() -> NDArray[np.float32]:
    """Sums the power of bins of differenced samples into mel bands and undoes the difference, shape (bins, MELS).

    The triangles sum to one everywhere between the first peak and the last, and the outer two stay one to their feet.
    """
    frequency = np.arange(WINDOW // 2 + 1) / WINDOW
    gain = 1 / np.maximum(4 * np.sin(np.pi * frequency) ** 2, 1e-9)
    gain[-1] /= 2
    hz, edges = frequency * ANALYSIS_RATE_HZ, mel_edges_hz()
    rise = (hz[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - hz[:, None]) / (edges[2:] - edges[1:-1])
    rise[:, 0] = hz > edges[0]
    fall[:, -1] = hz < edges[-1]
    return np.asarray(np.clip(np.minimum(rise, fall), 0, 1) * gain[:, None], np.float32)


@cache
def _parts_to_mels() -> NDArray[np.float32]:
    """`bins_to_mels` for squared real and imaginary parts in turn, shape (2 · bins, MELS)."""
    return np.repeat(bins_to_mels(), 2, axis=0)


@cache
def _mels_to_bands() -> NDArray[np.float32]:
    return np.asarray(np.repeat(np.eye(BANDS), MELS // BANDS, axis=0), np.float32)
