"""Signal-to-noise ratio of an utterance, blind: from the recording alone, without its clean twin."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from schemas.errors import Rejected
from schemas.model import Frozen
from schemas.sound import Region, Samples
from transforms.acoustics import (
    Acoustics,
    acoustics_of,
    network_models,
    open_network,
    with_acoustics,
    with_band_power,
)
from transforms.items import Utterance
from transforms.spectrum import FRAME_HZ, BandPower, band_power, bands_of, mel_power, speech_frames
from transforms.stage import each

_FLOOR_QUANTILE = 0.2
_FLOOR_BIAS = 1.5
_PRESENCE_RATIO = 3.0
_CLICK_RATIO = 8.0
_SILENCE = 1e-11

TOO_SHORT = "too_short"
DISAGREE = "snr_estimators_disagree"
# On 448 mixtures that validate, a quarter is further apart than this: there the network errs by 4.1 dB on average, and
# by 1.9 elsewhere.
_DISAGREE_DB, _DISAGREE_SPREADS = 10.0, 2.0

# What noise tracking errs by on dry mixtures, on average; and from where on the network would err by more.
_TRACKED_SPREAD_DB, _LOST_DB = 4.0, 6.0
_DRY_C50_DB = 20.0

# Weights of (1, to_all, to_pauses, to_steady, to_all over 15 dB), fitted by `python -m training.classical`.
_CALIBRATION = (-2.587, 0.344, 0.958, -0.059, -0.267)


class SnrConfig(Frozen):
    """How speech to noise is estimated."""

    method: Literal["network", "noise_tracking"] = Field(
        default="network",
        description="estimator; network is our own and comes with provoice, noise_tracking is classical, a cross-check "
        "beside the other, and needs no model",
    )
    min_speech_s: float = Field(
        default=0.5, ge=0.1, le=30, description="with less speech than this it is null, seconds"
    )


_DEFAULTS = SnrConfig()


class MeasureSnr:
    """Sets `snr_db` and `snr_spread_db`, and the flags that say what is too short and where two methods disagree."""

    name, version = "measure_snr", 3

    def __init__(self, config: SnrConfig) -> None:
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
        around = band_power(utterance.pauses)
        tracked = snr_db_of(
            np.concatenate([power, around]), np.concatenate([is_speech, np.zeros(len(around), np.bool_)]), self.config
        )
        if self.config.method == "noise_tracking":
            return utterance.measured(snr_db=tracked)
        utterance = with_acoustics(utterance)
        heard = utterance.acoustics
        if heard is None:
            return utterance.flagged(TOO_SHORT)
        level_db, spread_db = weighed(heard, tracked)
        utterance = utterance.measured(snr_db=level_db, snr_spread_db=spread_db)
        return utterance.flagged(DISAGREE) if do_disagree(heard, tracked) else utterance


def snr_db(samples: Samples, speech: tuple[Region, ...], config: SnrConfig = _DEFAULTS) -> float | None:
    """Power of speech where it is active over the mean power of noise, above 60 Hz, dB, rounded to 0.1.

    `samples` are 16 kHz mono, `speech` regions in them. An estimate, whose errors `weights/acoustics.md` states for
    the network. In rooms the late tail counts as noise where it lasts.
    None when there is less than `min_speech_s` of speech, or no noise that could be told from digital silence.
    """
    mels = mel_power(samples)
    power = bands_of(mels)
    is_speech = speech_frames(speech, len(power))
    if config.method == "noise_tracking":
        return snr_db_of(power, is_speech, config)
    heard = acoustics_of(mels, open_network()) if has_speech(power, is_speech, config.min_speech_s) else None
    return None if heard is None else heard.snr_db


def do_disagree(heard: Acoustics, tracked_db: float | None) -> bool:
    """Whether noise tracking reads so far from the network that one of them is wrong by more than it should be."""
    if tracked_db is None:
        return False
    return abs(heard.snr_db - tracked_db) > max(_DISAGREE_DB, _DISAGREE_SPREADS * heard.snr_spread_db)


def weighed(heard: Acoustics, tracked_db: float | None) -> tuple[float, float]:
    """SNR and its spread, dB: the network's, but for dry speech of which it says itself that it cannot tell.

    There noise tracking has its say, each by the inverse square of its expected error. One in twenty-five of the dry
    mixtures that validate is of this kind. In rooms noise tracking takes the tail for noise, and is not asked.
    """
    is_lost = heard.snr_spread_db > _LOST_DB and heard.c50_db >= _DRY_C50_DB
    if tracked_db is None or not is_lost:
        return heard.snr_db, heard.snr_spread_db
    ours, theirs = heard.snr_spread_db**-2, _TRACKED_SPREAD_DB**-2
    mean = (ours * heard.snr_db + theirs * tracked_db) / (ours + theirs)
    return round(mean, 1), round((ours + theirs) ** -0.5, 1)


def has_speech(power: BandPower, is_speech: NDArray[np.bool_], least_s: float) -> bool:
    """Whether frames with speech that are not digital silence last so long (and three frames at least)."""
    return bool(np.count_nonzero(is_speech & (_total(power) > _SILENCE)) >= max(3.0, least_s * FRAME_HZ))


def snr_db_of(power: BandPower, is_speech: NDArray[np.bool_], config: SnrConfig) -> float | None:
    """SNR by noise tracking from band power, shape (frames, bands), and which frames are speech, shape (frames,).

    On 422 dry mixtures of −5 to 35 dB of voices and noises that it was not fitted on, the mean error was 3.2 dB and
    the median 1.7: 1.4 to 2.3 in rain, surf, broadband and coloured noise; 4 among hens and 8 in a noise that comes and
    goes like syllables, both of which it takes for speech, and so reads high. Above 25 dB it reads low, by 1.9 dB.
    """
    if not has_speech(power, is_speech, config.min_speech_s):
        return None
    terms = snr_terms(power, is_speech)
    return None if terms is None else round(float(np.dot(_CALIBRATION, terms)), 1)


def snr_terms(power: BandPower, is_speech: NDArray[np.bool_]) -> tuple[float, float, float, float, float] | None:
    """What noise tracking weighs: 1, speech to all noise, to pauses, and to steady noise, dB, and how far the first is
    over 15 dB. None without speech or without a noise that could be told from digital silence."""
    # Frames that a gate or an editor has zeroed say nothing about the noise under the speech.
    is_heard = _total(power) > _SILENCE
    if not is_heard.all():
        power, is_speech = power[is_heard], is_speech[is_heard]
    if np.count_nonzero(is_speech) < 3:
        return None
    clicks = click_power(power)
    calm = power - clicks
    noise = track_noise(calm, is_speech)
    signal = _mean(np.maximum(calm - noise, 0)[is_speech])
    steady = float(noise.sum())
    all_noise = steady + _mean(clicks[is_speech])
    pauses = _pauses(power, is_speech)
    # Pauses quieter than the noise under the voice have been gated: their edges are not the room.
    pause_noise = steady if pauses is None else max(_mean(pauses), steady / 2)
    if min(signal, steady, pause_noise) < _SILENCE:
        return None
    to_all, to_pauses, to_steady = (
        10 * math.log10(ratio) for ratio in (signal / all_noise, _mean(power[is_speech]) / pause_noise, signal / steady)
    )
    return 1.0, to_all, to_pauses, to_steady, max(to_all - 15, 0.0)


def track_noise(power: BandPower, is_speech: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Mean noise power per band under the speech, shape (bands,).

    A low quantile over time gives each band's floor; from it follows how likely speech is present in each frame and
    band, and the noise is the mean of power weighted by absence, which leans on the floor where speech never stops.
    After I. Cohen, Noise spectrum estimation in adverse environments, IEEE TSAP 11(5), 2003, over the whole utterance
    (it is short) in the place of a recursion.
    """
    smooth = _smoothed(power)
    rank = int(_FLOOR_QUANTILE * (len(smooth) - 1))
    floor = np.partition(smooth, rank, axis=0)[rank] * np.float32(_FLOOR_BIAS) + np.float32(1e-15)
    # A frame that the voice detector calls a pause is likelier to be noise in every band.
    prior = np.where(is_speech, np.float32(1), np.float32(4))[:, None]
    noise: NDArray[np.float32] = floor
    for _ in range(2):
        ratio = np.minimum(smooth / (noise * np.float32(_PRESENCE_RATIO)), np.float32(1e6))
        absence = prior / (1 + ratio * ratio * ratio)
        heard = np.einsum("tb,tb->b", absence, np.minimum(power, 4 * noise))
        noise = (heard + 2 * floor) / (absence.sum(axis=0) + 2)
    return noise


def click_power(power: BandPower) -> BandPower:
    """Power of crackles and clicks: what stands 9 dB over both its neighbours in time. Speech lasts longer."""
    around = np.empty_like(power)
    np.maximum(power[:-2], power[2:], out=around[1:-1])
    around[0], around[-1] = power[1], power[-2]
    return np.where(power > np.float32(_CLICK_RATIO) * around, power - around, np.float32(0))


def _pauses(power: BandPower, is_speech: NDArray[np.bool_]) -> BandPower | None:
    """Frames of pauses, without those that touch speech where others are left; None when there are too few."""
    is_near = is_speech.copy()
    is_near[1:] |= is_speech[:-1]
    is_near[:-1] |= is_speech[1:]
    for is_out in (is_near, is_speech):
        if np.count_nonzero(~is_out) >= 3:
            return power[~is_out]
    return None


def _mean(power: BandPower) -> float:
    """Mean over frames of the power in all bands."""
    return float(_total(power).mean())


def _total(power: BandPower) -> BandPower:
    """Power of each frame in all bands, shape (frames,)."""
    # A product with ones: numpy sums short rows four times as slowly. Some BLAS set the flag for no reason.
    with np.errstate(invalid="ignore"):
        return power @ np.ones(power.shape[1], np.float32)


def _smoothed(power: BandPower) -> BandPower:
    """Mean of each frame and its two neighbours."""
    smooth = power.copy()
    smooth[1:] += power[:-1]
    smooth[:-1] += power[1:]
    smooth[1:-1] /= 3
    smooth[[0, -1]] /= 2
    return smooth
