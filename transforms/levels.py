"""Plain levels and shares of an utterance, and what was measured of the channel it was cut from."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from schemas.errors import Rejected
from schemas.model import Frozen
from schemas.sound import Region, Samples, overlap_samples
from transforms.items import Utterance
from transforms.stage import each


class LevelsConfig(Frozen):
    """How levels are read."""

    silence_dbfs: float = Field(
        default=-120.0,
        ge=-200,
        le=-60,
        description="a peak below this is silence and has no level (null), dB of full scale",
    )


_DEFAULTS = LevelsConfig()


class MeasureLevels:
    """Sets `peak_dbfs`, `speech_ratio` and `overlap_ratio`; copies what was measured of the channel."""

    name, version = "measure_levels", 2

    def __init__(self, config: LevelsConfig) -> None:
        self.config = config

    def open(self) -> None:
        """No model to load."""

    def __call__(self, batch: list[Utterance]) -> list[Utterance | Rejected]:
        return each(batch, self._measured)

    def _measured(self, utterance: Utterance) -> Utterance:
        n_samples, channel = len(utterance.samples), utterance.channel
        return utterance.measured(
            peak_dbfs=peak_dbfs(utterance.samples, self.config),
            speech_ratio=covered_ratio(utterance.speech, n_samples),
            overlap_ratio=covered_ratio(utterance.overlap, n_samples),
            clipping_ratio=channel.clipping_ratio,
            dc_offset=channel.dc_offset,
            bandwidth_hz=channel.bandwidth_hz,
            hum_db=channel.hum_db,
            dropout_ratio=channel.dropout_ratio,
        )


def peak_dbfs(samples: Samples, config: LevelsConfig = _DEFAULTS) -> float | None:
    """Highest absolute sample, dB of full scale, rounded to 0.01; None when empty or silent.

    Read from the 16 kHz analysis samples, like everything else that is said of an utterance: resampling and a downmix
    can move it a little, also above 0. The peak of the source's own samples is the channel's `peak_dbfs`.
    """
    if not len(samples):
        return None
    peak = float(max(np.max(samples), -np.min(samples)))
    if peak <= 10 ** (config.silence_dbfs / 20):
        return None
    return round(20 * float(np.log10(peak)), 2)


def covered_ratio(regions: tuple[Region, ...], n_samples: int) -> float | None:
    """Share of `n_samples` that the union of `regions` covers, 0..1, rounded to 0.0001; None of nothing."""
    if n_samples <= 0:
        return None
    return round(overlap_samples(Region(0, n_samples), regions) / n_samples, 4)
