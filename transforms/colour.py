"""Colour that microphone, room and processing gave an utterance: its long-term spectrum beside that of all speech."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from schemas.errors import Rejected
from schemas.model import Frozen
from schemas.sound import ANALYSIS_RATE_HZ, Region, Samples
from transforms.items import Utterance
from transforms.stage import each

BANDS_HZ = (
    160.0, 200.0, 250.0, 315.0, 400.0, 500.0, 630.0, 800.0, 1000.0, 1250.0, 1600.0, 2000.0, 2500.0, 3150.0, 4000.0,
    5000.0, 6300.0,
)  # fmt: skip
LTASS_DB = (
    56.8, 60.2, 60.3, 59.0, 62.1, 62.1, 60.5, 56.8, 53.7, 53.0, 52.0, 48.7, 48.1, 46.8, 45.6, 44.5, 44.3,
)  # fmt: skip
"""Third-octave levels of speech of 70 dB, men and women together. Source: D. Byrne et al., An international comparison
of long-term average speech spectra, JASA 96(4), 1994."""

_TILT_FROM_HZ = 250.0
_WINDOW = 1_024
_HOP = 1_280
_BLOCK = 64
_LEAST_BANDS = 8


class ColourConfig(Frozen):
    """When a long-term spectrum says something."""

    min_speech_s: float = Field(
        default=1.0, ge=0.2, le=60, description="with less speech than this it is null, seconds; 5 s are steady"
    )


_DEFAULTS = ColourConfig()


class MeasureColour:
    """Sets `spectral_tilt_db_per_octave` and `ltass_distance_db`."""

    name, version = "measure_colour", 1

    def __init__(self, config: ColourConfig) -> None:
        self.config = config

    def open(self) -> None:
        """No model to load."""

    def __call__(self, batch: list[Utterance]) -> list[Utterance | Rejected]:
        return each(batch, self._measured)

    def _measured(self, utterance: Utterance) -> Utterance:
        tilt, distance = colour(utterance.samples, utterance.speech, utterance.channel.bandwidth_hz, self.config)
        return utterance.measured(spectral_tilt_db_per_octave=tilt, ltass_distance_db=distance)


def colour(
    samples: Samples,
    speech: tuple[Region, ...],
    bandwidth_hz: float | None = None,
    config: ColourConfig = _DEFAULTS,
) -> tuple[float | None, float | None]:
    """`(spectral_tilt_db_per_octave, ltass_distance_db)` of 16 kHz `samples` within `speech`.

    Tilt: the slope of third-octave levels from 250 Hz up, to 0.01 dB per octave; average speech has -4.3. Distance:
    root mean square over third octaves from 160 Hz of what lies between the levels and those of average speech, level
    aside, to 0.1 dB. Bands above `bandwidth_hz` are left out: a lost band is no colour. None with less than
    `min_speech_s` of speech, or with fewer than eight bands.
    """
    levels = speech_levels_db(samples, speech, config.min_speech_s)
    if levels is None:
        return None, None
    n = usable_bands(bandwidth_hz)
    if n < _LEAST_BANDS:
        return None, None
    band_hz, target = np.array(BANDS_HZ[:n]), np.array(LTASS_DB[:n])
    above = band_hz >= _TILT_FROM_HZ
    tilt = float(np.polyfit(np.log2(band_hz[above]), levels[:n][above], 1)[0])
    apart = levels[:n] - target
    return round(tilt, 2) + 0.0, round(float(apart.std()), 1)


def usable_bands(bandwidth_hz: float | None) -> int:
    """How many of the bands lie, whole, under `bandwidth_hz`."""
    if bandwidth_hz is None:
        return len(BANDS_HZ)
    return sum(1 for hz in BANDS_HZ if hz * 2 ** (1 / 6) <= bandwidth_hz)


def speech_levels_db(samples: Samples, speech: tuple[Region, ...], min_speech_s: float) -> NDArray[np.float64] | None:
    """Mean level of each third octave within `speech`, dB, shape (len(BANDS_HZ),); None with less speech."""
    if sum(region.n_samples for region in speech) < min_speech_s * ANALYSIS_RATE_HZ:
        return None
    starts = np.concatenate([np.arange(r.start_sample, r.end_sample - _WINDOW + 1, _HOP) for r in speech])
    starts = starts[starts + _WINDOW <= len(samples)]
    if starts.size < min_speech_s * ANALYSIS_RATE_HZ / _HOP / 2:
        return None
    window, to_bands = _window(), _to_bands()
    total = np.zeros(len(BANDS_HZ))
    for first in range(0, starts.size, _BLOCK):
        frames = samples[starts[first : first + _BLOCK, None] + np.arange(_WINDOW)]
        spectra = np.fft.rfft(frames * window)
        total += (spectra.real**2 + spectra.imag**2).sum(axis=0) @ to_bands
    if not total.all():
        return None
    return np.asarray(10 * np.log10(total / starts.size))


@cache
def _window() -> NDArray[np.float32]:
    window = np.hanning(_WINDOW + 1)[:-1]
    return np.asarray(window / np.sqrt(np.sum(window**2) * _WINDOW / 2), np.float32)


@cache
def _to_bands() -> NDArray[np.float64]:
    """Share of each bin that lies in each band, shape (bins, bands): narrow bands end within a bin."""
    bin_hz = ANALYSIS_RATE_HZ / _WINDOW
    low = (np.arange(_WINDOW // 2 + 1)[:, None] - 0.5) * bin_hz
    edge = np.array(BANDS_HZ) * 2 ** (-1 / 6)
    top = np.array(BANDS_HZ) * 2 ** (1 / 6)
    return np.asarray(np.clip(np.minimum(low + bin_hz, top) - np.maximum(low, edge), 0, None) / bin_hz)
