"""Where two people speak at once, heard by a small network of our own.

Trained by `python -m training.overlap` (`transforms/weights/overlap.md` is its data sheet): convolutions over time,
from the level in narrow bands, where the harmonics of two voices stand apart, to a probability per 40 ms. It says that
there are two, not who: that is asked of the encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.sound import ANALYSIS_RATE_HZ, Region, Samples
from transforms.diarize.windows import FRAME_S, Windows
from transforms.models import ModelRef, onnx_session, verified

DETECTOR = ModelRef("provoice_overlap", "1", "d42c0de67d9540aed44f3e3483e389f1f9ff83ac93b58a837492cbb8e17442af")
STEP = 640
"""16 kHz samples per answer: 40 ms."""

_ROW = STEP // 2
"""From one row of bands to the next: 20 ms."""
_FRAME = round(ANALYSIS_RATE_HZ * FRAME_S)
_FFT = 1024
_LOW, _HIGH = 4, 132
"""Bins of 15.6 Hz that are kept one by one: 60 Hz to 2 kHz."""
_WIDE = 24
BANDS = _HIGH - _LOW + _WIDE
_AROUND = 75
"""Rows to either side whose loudest sets the level."""
_PIECE, _CONTEXT = 1500, 150
"""Answers that are made at once, a minute, and those to either side that they are made from."""

Together = NDArray[np.float32]
"""Probability that two or more speak in each 40 ms of a track, shape (samples / 640 rounded up,); 0 where nobody was
heard."""


def detector_path() -> Path:
    """The weights, which come with the package."""
    return Path(__file__).parents[1] / "weights" / "overlap.onnx"


def open_detector() -> Any:
    """A session of the network on one thread. Raises ConfigError where the file is not the one that was shipped."""
    return onnx_session(verified(detector_path(), DETECTOR.sha256, "install provoice again"))


def detector_models() -> dict[str, str]:
    """The network as it stands in `lineage.models`."""
    return {DETECTOR.id: str(DETECTOR)}


def probability_together(
    read: Callable[[int, int], Samples], n_samples: int, speech: Sequence[Region], session: Any
) -> Together:
    """How likely two speak at once on a 16 kHz track of `n_samples`, of which `read(start, end)` gives samples.

    A minute of it is held at a time, and minutes without `speech` are passed over.
    """
    found = np.zeros(-(-n_samples // STEP), np.float32)
    for region in speech:
        for piece in range(region.start_sample // (_PIECE * STEP), (region.end_sample - 1) // (_PIECE * STEP) + 1):
            start = piece * _PIECE
            if found[start : start + _PIECE].any():
                continue  # another region has asked
            found[start : start + _PIECE] = _piece(read, start, n_samples, session)[: len(found) - start]
    heard = np.zeros(len(found), np.bool_)
    for region in speech:
        heard[region.start_sample // STEP : -(-region.end_sample // STEP)] = True
    return np.where(heard, found, np.float32(0))


def _piece(read: Callable[[int, int], Samples], start: int, n_samples: int, session: Any) -> Together:
    """Answers from `start` on, at most a piece of them."""
    first = max(0, start - _CONTEXT)
    samples = read(first * STEP, min(n_samples, (start + _PIECE + _CONTEXT) * STEP))
    samples = np.pad(samples, (0, -len(samples) % STEP))
    (probability,) = session.run(None, {"bands": bands_of(samples)[None]})
    answers: Together = probability[0, 1, start - first :][:_PIECE]
    return answers


def together_in(windows: Windows, probability: Together) -> NDArray[np.float64]:
    """The mean probability over what each window answers for, shape (n,)."""
    sums = np.concatenate([[0.0], np.cumsum(probability, dtype=np.float64)])
    first = np.minimum(windows.own_start * _FRAME // STEP, len(probability) - 1)
    after = np.clip(-(-windows.own_end * _FRAME // STEP), first + 1, len(probability))
    mean: NDArray[np.float64] = (sums[after] - sums[first]) / (after - first)
    return mean


def bands_of(samples: Samples) -> NDArray[np.float32]:
    """Level in bands, in 20 dB under the loudest of 1.5 s to either side; shape (BANDS, len(samples) // 320)."""
    n = len(samples) // _ROW
    around = np.pad(samples, (_FFT // 2 - _ROW // 2, _FFT))
    frames = np.lib.stride_tricks.sliding_window_view(around, _FFT)[::_ROW][:n]
    power = np.empty((n, BANDS), np.float32)
    for start in range(0, n, 256):
        bins = np.fft.rfft(frames[start : start + 256] * _hann())
        squared = (bins.real**2 + bins.imag**2).astype(np.float32, copy=False)
        power[start : start + 256, : _HIGH - _LOW] = squared[:, _LOW:_HIGH]
        np.matmul(squared, _wide_bands(), out=power[start : start + 256, _HIGH - _LOW :])
    level = np.log10(power.mean(1) + 1e-10)
    if n:
        padded = np.pad(level, _AROUND, mode="edge")
        level = np.lib.stride_tricks.sliding_window_view(padded, 2 * _AROUND + 1).max(1)
    bands: NDArray[np.float32] = np.clip((np.log10(power + 1e-10) - level[:, None]) / 2, -4, 1).T.astype(np.float32)
    return bands


@cache
def _hann() -> NDArray[np.float32]:
    return np.hanning(_FFT + 1)[:-1].astype(np.float32)


@cache
def _wide_bands() -> NDArray[np.float32]:
    """Means over 2–7.5 kHz in steps that widen, shape (513, 24)."""
    edges = np.geomspace(_HIGH, 480, _WIDE + 1).round().astype(int)
    bands = np.zeros((_FFT // 2 + 1, _WIDE), np.float32)
    for n, (start, end) in enumerate(pairwise(edges)):
        bands[start:end, n] = 1 / (end - start)
    return bands
