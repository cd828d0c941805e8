"""Clarity and reverberation time of the room an utterance was spoken in, blind: from how its sound falls away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from schemas.errors import Rejected
from schemas.model import Frozen
from schemas.sound import Region, Samples
from transforms.acoustics import (
    C50_RANGE_DB,
    Acoustics,
    acoustics_of,
    network_models,
    open_network,
    with_acoustics,
    with_band_power,
)
from transforms.items import Utterance
from transforms.snr import TOO_SHORT, has_speech, track_noise
from transforms.spectrum import FRAME_HZ, BandPower, bands_of, mel_power, speech_frames
from transforms.stage import each

LOW_CLARITY_DB = 3.0

_LOW_BANDS = 2
_LAGS = (2, 4, 8)
_QUANTILES = (0.5, 0.85)
_RANGE_DB = 20.0
_HEADROOM_DB = 6.0
_MIN_FALLS = 12

# Ridge regression on rooms of the training side (`python -m training.classical`): a constant, then for each lag the
# logarithms of the median and the steep quantile of low, then of high bands.
_C50_WEIGHTS = (-28.666, -3.541, 2.187, 1.568, 8.13, -0.93, 10.514, -2.37, 7.461, 0.828, -0.61, -1.178, -5.2)
_LN_RT60_WEIGHTS = (
    4.0942,
    0.0858,
    0.1176,
    -0.3972,
    1.0501,
    -0.0467,
    -1.0987,
    -0.0415,
    -1.5418,
    0.3538,
    -0.909,
    0.3245,
    0.3202,
)
# What the made rooms spanned; an estimate beyond is its edge.
_RT60_RANGE_S = (0.15, 2.5)
_DECAYS_FROM_SNR_DB = (10.0, 20.0)
"""Where decays begin to count beside the network, and where they count as much."""


class ReverberationConfig(Frozen):
    """How and when reverberation is estimated."""

    method: Literal["network", "decay"] = Field(
        default="network",
        description="estimator; network is our own and comes with provoice, decay looks at how the sound falls away "
        "and needs no model",
    )
    min_speech_s: float = Field(
        default=1.5, ge=0.5, le=30, description="with less speech than this it is null, seconds"
    )


_DEFAULTS = ReverberationConfig()


@dataclass(frozen=True, slots=True)
class Reverberation:
    """`c50_db` to 0.1 dB, `rt60_s` to 0.01 s; the network also says by how much C50 may be off."""

    c50_db: float
    rt60_s: float
    c50_spread_db: float | None = None


class MeasureReverberation:
    """Sets `c50_db`, `c50_spread_db` and `rt60_s`, and the flags that say which values are only bounds."""

    name, version = "measure_reverberation", 3

    def __init__(self, config: ReverberationConfig) -> None:
        self.config = config

    @property
    def model_ids(self) -> dict[str, str]:
        return network_models() if self.config.method == "network" else {}

    def open(self) -> None:
        if self.config.method == "network":
            open_network()

    def __call__(self, batch: list[Utterance]) -> list[Utterance | Rejected]:
        return each(batch, self._measured)

    def _measured(self, utterance: Utterance) -> Utterance:
        utterance, power = with_band_power(utterance)
        is_speech = speech_frames(utterance.speech, len(power))
        if not has_speech(power, is_speech, self.config.min_speech_s):
            return utterance.flagged(TOO_SHORT)
        found = reverberation_of(power, is_speech, self.config)
        if self.config.method == "network":
            utterance = with_acoustics(utterance)
            found = room_of(utterance.acoustics, found)
        if found is None:
            return utterance
        utterance = utterance.flagged(*trust_flags(found, utterance.measurements.snr_db))
        return utterance.measured(c50_db=found.c50_db, c50_spread_db=found.c50_spread_db, rt60_s=found.rt60_s)


def reverberation(
    samples: Samples, speech: tuple[Region, ...], config: ReverberationConfig = _DEFAULTS
) -> Reverberation | None:
    """C50 and RT60 of the room, estimated from 16 kHz mono `samples` with `speech` regions.

    An estimate, whose errors `weights/acoustics.md` states for the network. C50 is clipped to −5…25 dB and RT60 to
    0.15–4 s (2.5 by `decay`); dry speech reads 25 dB and 0.15 s. None with less than `min_speech_s` of speech, or, by
    `decay`, where the sound does not fall often enough to tell.
    """
    mels = mel_power(samples)
    power = bands_of(mels)
    is_speech = speech_frames(speech, len(power))
    if not has_speech(power, is_speech, config.min_speech_s):
        return None
    fallen = reverberation_of(power, is_speech, config)
    return fallen if config.method == "decay" else room_of(acoustics_of(mels, open_network()), fallen)


def room_of(heard: Acoustics | None, fallen: Reverberation | None) -> Reverberation | None:
    """What the network said of the room; where there is little noise, C50 is the mean of that and what decays say.

    The two err apart: on rooms that validate, above 15 dB of SNR, by 1.3 and 1.2 dB, and by 1.1 together. In noise
    decays are worth nothing, and of RT60 the network alone knows more than both.
    """
    if heard is None:
        return None
    c50_db = heard.c50_db
    if fallen is not None and c50_db < C50_RANGE_DB[1]:
        low, high = _DECAYS_FROM_SNR_DB
        weight = 0.5 * min(max((heard.snr_db - low) / (high - low), 0.0), 1.0)
        c50_db = round(c50_db + weight * (fallen.c50_db - c50_db), 1)
    return Reverberation(c50_db, heard.rt60_s, heard.c50_spread_db)


def trust_flags(found: Reverberation, snr_db: float | None) -> list[str]:
    """How far to trust the estimates, in words: which of them lie at the edge of what can be told, and so are bounds.

    `snr_is_lower_bound` where the room rings so long (C50 under 3 dB) that its tail counts as noise.
    """
    is_said = {
        "c50_is_lower_bound": found.c50_db >= C50_RANGE_DB[1],
        "c50_is_upper_bound": found.c50_db <= C50_RANGE_DB[0],
        "rt60_is_lower_bound": found.rt60_s >= _RT60_RANGE_S[1],
        "rt60_is_upper_bound": found.rt60_s <= _RT60_RANGE_S[0],
        "snr_is_lower_bound": snr_db is not None and found.c50_db < LOW_CLARITY_DB,
    }
    return [flag for flag, holds in is_said.items() if holds]


def reverberation_of(
    power: BandPower, is_speech: NDArray[np.bool_], config: ReverberationConfig
) -> Reverberation | None:
    """Reverberation by decay from band power, shape (frames, bands), and which frames are speech, shape (frames,).

    Fitted on made rooms of the training side (`training.classical`).
    """
    if np.count_nonzero(is_speech) < config.min_speech_s * FRAME_HZ:
        return None
    falls = fall_statistics(power, is_speech)
    if falls is None:
        return None
    features = np.concatenate([[1.0], np.log(np.maximum(falls, 0.1))])
    c50_db = float(np.clip(np.dot(_C50_WEIGHTS, features), *C50_RANGE_DB))
    rt60_s = float(np.clip(np.exp(np.dot(_LN_RT60_WEIGHTS, features)), *_RT60_RANGE_S))
    return Reverberation(round(c50_db, 1), round(rt60_s, 2))


def fall_statistics(power: BandPower, is_speech: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """By how many dB the sound falls within 40, 80 and 160 ms, where it falls: shape (12,), or None.

    Speech stops faster than rooms do: the steep end of these falls is the room's own decay. The median and a steep
    quantile are taken over all falls that start within 20 dB of the band's loudest and at least 6 dB above its noise,
    in low (94–1,344 Hz) and high bands apart. None where fewer than 12 such falls are heard.
    """
    noise = track_noise(power, is_speech)
    # A band per row: what is picked of one lies together.
    level_db = np.ascontiguousarray(10 * np.log10(np.maximum(power, noise) + np.float32(1e-13)).T)
    is_heard = np.ascontiguousarray(power.T > 0)
    rank = int(0.95 * (len(power) - 1))
    top_db = np.partition(level_db, rank, axis=1)[:, rank]
    lowest_db = np.maximum(top_db - _RANGE_DB, 10 * np.log10(noise + np.float32(1e-13)) + _HEADROOM_DB)
    is_loud = level_db > lowest_db[:, None]
    statistics: list[float] = []
    for lag in _LAGS:
        fall_db = level_db[:, :-lag] - level_db[:, lag:]
        # What falls to digital zero was cut by a gate or an editor, not by a room.
        is_fall = is_loud[:, :-lag] & (fall_db > 0) & is_heard[:, lag:]
        for bands in (slice(0, _LOW_BANDS), slice(_LOW_BANDS, None)):
            falls = np.sort(fall_db[bands][is_fall[bands]])
            if len(falls) < _MIN_FALLS:
                return None
            statistics += [float(falls[int(quantile * (len(falls) - 1))]) for quantile in _QUANTILES]
    return np.array(statistics)
