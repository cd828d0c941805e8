"""Clarity and reverberation time of the room an utterance was spoken in, blind: from how its sound falls away."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from schemas.errors import Rejected
from schemas.model import Frozen
from schemas.sound import Region, Samples
from transforms.items import Utterance
from transforms.snr import track_noise
from transforms.spectrum import FRAME_HZ, BandPower, band_power, speech_frames
from transforms.stage import each

LOW_CLARITY_DB = 3.0

_LOW_BANDS = 2
_LAGS = (2, 4, 8)
_QUANTILES = (0.5, 0.85)
_RANGE_DB = 20.0
_HEADROOM_DB = 6.0
_MIN_FALLS = 12

# Ridge regression on 1,000 made rooms (see `reverberation`): a constant, then for each lag the logarithms of the median
# and the steep quantile of low, then of high bands.
_C50_WEIGHTS = (-29.315, -2.596, 7.152, 4.944, 8.67, -0.985, 6.521, 0.586, 3.351, 0.656, -1.328, 0.454, -7.131)
_LN_RT60_WEIGHTS = (
    3.6624,
    0.1876,
    0.005,
    -0.6685,
    0.3196,
    0.0314,
    -1.0962,
    -0.4405,
    -0.4082,
    0.1426,
    -0.559,
    0.1752,
    0.3243,
)
# What the made rooms spanned; an estimate beyond is its edge.
_C50_RANGE_DB = (-5.0, 25.0)
_RT60_RANGE_S = (0.15, 2.5)


class ReverberationConfig(Frozen):
    """When reverberation is estimated."""

    min_speech_s: float = Field(
        default=1.5, ge=0.5, le=30, description="with less speech than this it is null, seconds"
    )


_DEFAULTS = ReverberationConfig()


@dataclass(frozen=True, slots=True)
class Reverberation:
    """`c50_db` to 0.1 dB, `rt60_s` to 0.01 s."""

    c50_db: float
    rt60_s: float


class MeasureReverberation:
    """Sets `c50_db` and `rt60_s`, and the flags that say which values are only bounds."""

    name, version = "measure_reverberation", 1

    def __init__(self, config: ReverberationConfig) -> None:
        self.config = config

    def open(self) -> None:
        """No model to load."""

    def __call__(self, batch: list[Utterance]) -> list[Utterance | Rejected]:
        return each(batch, self._measured)

    def _measured(self, utterance: Utterance) -> Utterance:
        power = band_power(utterance.samples) if utterance.band_power is None else utterance.band_power
        found = reverberation_of(power, speech_frames(utterance.speech, len(power)), self.config)
        utterance = replace(utterance, band_power=power)
        if found is None:
            return utterance
        flags = (*utterance.quality_flags, *trust_flags(found, utterance.measurements.snr_db))
        utterance = replace(utterance, quality_flags=flags)
        return utterance.measured(c50_db=found.c50_db, rt60_s=found.rt60_s)


def reverberation(
    samples: Samples, speech: tuple[Region, ...], config: ReverberationConfig = _DEFAULTS
) -> Reverberation | None:
    """C50 and RT60 of the room, estimated from 16 kHz mono `samples` with `speech` regions.

    Fitted on made rooms (a direct sound, sparse reflections and a noise tail that decays band by band, 0.15–2.2 s, in
    noise 8–45 dB below) with half of the voices. With the other voices in 31 measured rooms (T30 0.2–1.5 s, noise
    15–45 dB below) the mean error of C50 is 1.2 dB and RT60 is within 1.5 times in 92 %; in other made rooms, which
    vary more, 1.9 dB and 81 %, and under 15 dB of SNR 2.8 dB and 53 %. C50 is clipped to −5…25 dB and RT60 to
    0.15–2.5 s; dry speech reads 25 dB and 0.15 s. None with less than `min_speech_s` of speech, or where the sound
    does not fall often enough to tell.
    """
    power = band_power(samples)
    return reverberation_of(power, speech_frames(speech, len(power)), config)


def trust_flags(found: Reverberation, snr_db: float | None) -> list[str]:
    """How far to trust the estimates, in words: which of them lie at the edge of what can be told, and so are bounds.

    `snr_is_lower_bound` where the room rings so long (C50 under 3 dB) that its tail counts as noise.
    """
    is_said = {
        "c50_is_lower_bound": found.c50_db >= _C50_RANGE_DB[1],
        "c50_is_upper_bound": found.c50_db <= _C50_RANGE_DB[0],
        "rt60_is_lower_bound": found.rt60_s >= _RT60_RANGE_S[1],
        "rt60_is_upper_bound": found.rt60_s <= _RT60_RANGE_S[0],
        "snr_is_lower_bound": snr_db is not None and found.c50_db < LOW_CLARITY_DB,
    }
    return [flag for flag, holds in is_said.items() if holds]


def reverberation_of(
    power: BandPower, is_speech: NDArray[np.bool_], config: ReverberationConfig
) -> Reverberation | None:
    """`reverberation` from band power, shape (frames, bands), and which frames are speech, shape (frames,)."""
    if np.count_nonzero(is_speech) < config.min_speech_s * FRAME_HZ:
        return None
    falls = fall_statistics(power, is_speech)
    if falls is None:
        return None
    features = np.concatenate([[1.0], np.log(np.maximum(falls, 0.1))])
    c50_db = float(np.clip(np.dot(_C50_WEIGHTS, features), *_C50_RANGE_DB))
    rt60_s = float(np.clip(np.exp(np.dot(_LN_RT60_WEIGHTS, features)), *_RT60_RANGE_S))
    return Reverberation(round(c50_db, 1), round(rt60_s, 2))


def fall_statistics(power: BandPower, is_speech: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """By how many dB the sound falls within 40, 80 and 160 ms, where it falls: shape (12,), or None.

    Speech stops faster than rooms do: the steep end of these falls is the room's own decay. The median and a steep
    quantile are taken over all falls that start within 20 dB of the band's loudest and at least 6 dB above its noise,
    in low (94–1,344 Hz) and high bands apart. None where fewer than 12 such falls are heard.
    """
    noise = track_noise(power, is_speech)
    level_db = 10 * np.log10(np.maximum(power, noise) + np.float32(1e-13))
    top_db = np.partition(level_db, int(0.95 * (len(level_db) - 1)), axis=0)[int(0.95 * (len(level_db) - 1))]
    lowest_db = np.maximum(top_db - _RANGE_DB, 10 * np.log10(noise + np.float32(1e-13)) + _HEADROOM_DB)
    is_loud = level_db > lowest_db
    statistics: list[float] = []
    for lag in _LAGS:
        fall_db = level_db[:-lag] - level_db[lag:]
        # What falls to digital zero was cut by a gate or an editor, not by a room.
        is_fall = is_loud[:-lag] & (fall_db > 0) & (power[lag:] > 0)
        for band in (slice(0, _LOW_BANDS), slice(_LOW_BANDS, None)):
            falls = np.sort(fall_db[:, band][is_fall[:, band]])
            if len(falls) < _MIN_FALLS:
                return None
            statistics += [float(falls[int(quantile * (len(falls) - 1))]) for quantile in _QUANTILES]
    return np.array(statistics)
