"""Pitch of an utterance: the fundamental frequency of its voiced frames, and how far it wanders."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from schemas.errors import Rejected
from schemas.model import Frozen
from schemas.sound import ANALYSIS_RATE_HZ, Region, Samples
from transforms.items import Utterance
from transforms.stage import each

RATE_HZ = 4_000
"""Fundamentals are looked for at this rate: the first harmonics of a voice lie well under 2 kHz."""
HOP = RATE_HZ // 25
WINDOW = RATE_HZ // 25
_BLOCK = 256
_FINER = 2
"""Steps per sample at which the correlation is read."""
_FAINT_DB = 35.0
"""Frames this far below the loudest are no speaker's voice."""

Floats = NDArray[np.float32]


class PitchConfig(Frozen):
    """What counts as a voice."""

    min_hz: float = Field(
        default=65.0, ge=50, le=400, description="lowest fundamental frequency, Hz; over the hum of the mains"
    )
    max_hz: float = Field(default=500.0, ge=100, le=1_000, description="highest fundamental frequency, Hz")
    max_aperiodicity: float = Field(
        default=0.2, gt=0, lt=1, description="a frame is voiced when this share of it, or less, is not periodic, 0..1"
    )
    min_voiced_s: float = Field(default=0.3, gt=0, le=60, description="with less voiced speech it is null, seconds")

    @model_validator(mode="after")
    def _in_order(self) -> PitchConfig:
        if self.max_hz < 2 * self.min_hz:
            raise ValueError(f"max_hz ({self.max_hz:g}) is under twice min_hz ({self.min_hz:g})")
        return self


_DEFAULTS = PitchConfig()


@dataclass(frozen=True, slots=True)
class PitchTrack:
    """Per 40 ms: fundamental frequency, Hz (0 where there is no voice), and level, dB; shape (frames,) each."""

    f0_hz: Floats
    level_db: Floats


class MeasurePitch:
    """Sets `f0_median_hz` and `f0_spread_semitones`."""

    name, version = "measure_pitch", 1

    def __init__(self, config: PitchConfig) -> None:
        self.config = config

    def open(self) -> None:
        """No model to load."""

    def __call__(self, batch: list[Utterance]) -> list[Utterance | Rejected]:
        return each(batch, self._measured)

    def _measured(self, utterance: Utterance) -> Utterance:
        median, spread = pitch(utterance.samples, utterance.speech, self.config)
        return utterance.measured(f0_median_hz=median, f0_spread_semitones=spread)


def pitch(
    samples: Samples, speech: tuple[Region, ...] | None = None, config: PitchConfig = _DEFAULTS
) -> tuple[float | None, float | None]:
    """`(f0_median_hz, f0_spread_semitones)` of 16 kHz `samples`, within `speech` where it is given.

    Median of the voiced frames, to 0.1 Hz; half the distance between their 16th and 84th percentiles in semitones, to
    0.01: a standard deviation that a few octave errors do not move. None with less than `min_voiced_s` of voice.
    """
    track = pitch_track(samples, config)
    is_voiced = track.f0_hz > 0
    if speech is not None:
        is_voiced &= _inside(speech, len(is_voiced))
    f0_hz = track.f0_hz[is_voiced]
    if len(f0_hz) * HOP < config.min_voiced_s * RATE_HZ:
        return None, None
    median = float(np.median(f0_hz))
    low, high = np.quantile(12 * np.log2(f0_hz / median), [0.16, 0.84])
    return round(median, 1), round(float(high - low) / 2, 2)


def _inside(speech: tuple[Region, ...], n_frames: int) -> NDArray[np.bool_]:
    inside = np.zeros(n_frames, np.bool_)
    step = HOP * ANALYSIS_RATE_HZ // RATE_HZ
    for region in speech:
        inside[max(0, -(-region.start_sample // step)) : region.end_sample // step] = True
    return inside


def pitch_track(samples: Samples, config: PitchConfig = _DEFAULTS) -> PitchTrack:
    """Fundamental frequency and level of 16 kHz `samples` every 40 ms.

    After A. de Cheveigné and H. Kawahara, YIN, a fundamental frequency estimator for speech and music, JASA 111(4),
    2002: the difference function, over its running mean, read at half samples; its first dip under
    `max_aperiodicity`.
    """
    import soxr

    low = soxr.resample(np.asarray(samples, np.float32), ANALYSIS_RATE_HZ, RATE_HZ, quality="MQ")
    longest = int(np.ceil(RATE_HZ / config.min_hz)) + 1
    window = max(WINDOW, longest)
    n_frames = (len(low) - window - longest) // HOP + 1 if len(low) >= window + longest else 0
    if n_frames <= 0:
        return PitchTrack(np.zeros(0, np.float32), np.zeros(0, np.float32))
    frames = np.lib.stride_tricks.sliding_window_view(low, window + longest)[::HOP][:n_frames]
    parts = [_block(frames[start : start + _BLOCK], window, config) for start in range(0, n_frames, _BLOCK)]
    f0_hz, level_db = (np.concatenate(column) for column in zip(*parts, strict=True))
    f0_hz[level_db < level_db.max() - _FAINT_DB] = 0
    return PitchTrack(f0_hz, level_db)


def _block(frames: Floats, window: int, config: PitchConfig) -> tuple[Floats, Floats]:
    """Fundamentals and levels of some frames, shape (n, window + longest lag)."""
    ratio, energy = _differences(frames, window)
    first = max(2, int(_FINER * RATE_HZ / config.max_hz))
    last = min(ratio.shape[1] - 2, int(np.ceil(_FINER * RATE_HZ / config.min_hz)))
    here, left, right = ratio[:, first : last + 1], ratio[:, first - 1 : last], ratio[:, first + 1 : last + 2]
    is_dip = (here < config.max_aperiodicity) & (here <= left) & (here < right)
    at = np.argmax(is_dip, axis=1)
    row = np.arange(len(frames))
    before, low, after = left[row, at], here[row, at], right[row, at]
    curve = before - 2 * low + after
    shift = np.where(curve > 1e-9, 0.5 * (before - after) / np.where(curve > 1e-9, curve, 1), 0)
    f0_hz = np.where(is_dip[row, at], _FINER * RATE_HZ / (first + at + shift), 0).astype(np.float32)
    return f0_hz, (10 * np.log10(energy / window + 1e-14)).astype(np.float32)


def _differences(frames: Floats, window: int) -> tuple[Floats, Floats]:
    """YIN's cumulative mean normalised difference at lags of 1/_FINER samples, and the energy of each window."""
    n = frames.shape[1]
    size = 1 << (n - 1).bit_length()
    lags = n - window
    whole = np.fft.rfft(frames, size)
    head = np.fft.rfft(frames[:, :window], size)
    product = whole * np.conj(head)
    correlation = np.fft.irfft(product, size * _FINER)[:, : lags * _FINER] * _FINER
    squares = np.cumsum(np.pad(frames.astype(np.float32) ** 2, ((0, 0), (1, 0))), axis=1, dtype=np.float64)
    energy = squares[:, window:] - squares[:, : lags + 1]
    between = (energy[:, :-1] + energy[:, 1:]) / 2
    shifted = np.stack([energy[:, :-1], between], axis=2).reshape(len(frames), -1)
    difference = np.maximum(energy[:, :1] + shifted - 2 * correlation, 0).astype(np.float32)
    running = np.cumsum(difference[:, 1:], axis=1) / np.arange(1, difference.shape[1], dtype=np.float32)
    ratio = np.ones_like(difference)
    ratio[:, 1:] = difference[:, 1:] / (running + 1e-12)
    return ratio, energy[:, 0].astype(np.float32)
