"""What our own small network hears: speech and noise in each frame, then SNR, C50 and RT60 with their spreads.

Trained by `python -m training` (`weights/acoustics.md` is its data sheet). One pass over an utterance's mel power
answers for all three; utterances are heard one by one, so that none depends on what else is in a batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.sound import Samples
from transforms.items import Utterance
from transforms.models import ModelRef, onnx_session, verified
from transforms.spectrum import FRAME_HZ, BandPower, MelPower, bands_of, mel_power

NETWORK = ModelRef("provoice_acoustics", "2", "e1542f49bc362e579952bdcbfade16effaabc8ef95db9f57e3ea260c3bbe7feb")
STEP_HZ = FRAME_HZ // 2
"""Frames per second of what the network says: each stands for two frames of mel power."""

SNR_RANGE_DB = (-10.0, 40.0)
C50_RANGE_DB = (-5.0, 25.0)
RT60_RANGE_S = (0.15, 4.0)
"""What training spanned; an estimate beyond is its edge."""

_REFERENCE_QUANTILE, _FLOOR_QUANTILE = 0.98, 0.1
_DYNAMIC_RANGE = 1e-9
_SILENCE = 1e-11
_MIN_FRAMES = 20


@dataclass(frozen=True, slots=True)
class Acoustics:
    """Estimates to 0.1 dB and 0.01 s; a spread is the mean absolute error that the network expects of itself, to
    0.1 dB, and for RT60 as a factor, to 0.01."""

    snr_db: float
    snr_spread_db: float
    c50_db: float
    c50_spread_db: float
    rt60_s: float
    rt60_spread_factor: float


@dataclass(frozen=True, slots=True)
class FrameAcoustics:
    """Per 40 ms, shape (about n / 640,) each: how likely somebody speaks, 0..1; speech over noise, dB."""

    speech_probability: NDArray[np.float32]
    snr_db: NDArray[np.float32]


@cache
def network_path() -> Path:
    """The weights, which come with the package."""
    return Path(__file__).with_name("weights") / "acoustics.onnx"


@cache
def open_network() -> Any:
    """The process's one session of the network, on one thread. Raises ConfigError where the file is not the one that
    was shipped."""
    return onnx_session(verified(network_path(), NETWORK.sha256, "install provoice again"))


def network_models() -> dict[str, str]:
    """The network as it stands in `lineage.models`."""
    return {NETWORK.id: str(NETWORK)}


def acoustics(samples: Samples, session: Any) -> Acoustics | None:
    """What the network says of 16 kHz mono `samples`; None of less than 0.4 s of sound."""
    return acoustics_of(mel_power(samples), session)


def acoustics_of(mels: MelPower, session: Any) -> Acoustics | None:
    """`acoustics` from mel power, shape (frames, MELS)."""
    heard = _heard(mels, session)
    if heard is None:
        return None
    snr_db, c50_db, ln_rt60, *spreads = (float(number) for number in heard[2][0])
    snr_spread, c50_spread, ln_rt60_spread = np.exp(np.clip(spreads, -4, 4))
    return Acoustics(
        snr_db=round(float(np.clip(snr_db, *SNR_RANGE_DB)), 1),
        snr_spread_db=round(float(snr_spread), 1),
        c50_db=round(float(np.clip(c50_db, *C50_RANGE_DB)), 1),
        c50_spread_db=round(float(c50_spread), 1),
        rt60_s=round(float(np.clip(np.exp(ln_rt60), *RT60_RANGE_S)), 2),
        rt60_spread_factor=round(float(np.exp(ln_rt60_spread)), 2),
    )


def with_band_power(utterance: Utterance) -> tuple[Utterance, BandPower]:
    """The utterance with its spectrum, and the five bands of it."""
    power = utterance.band_power
    if power is None or utterance.mel_power is None:
        mels = mel_power(utterance.samples) if utterance.mel_power is None else utterance.mel_power
        power = bands_of(mels) if power is None else power
        utterance = replace(utterance, mel_power=mels, band_power=power)
    return utterance, power


def with_acoustics(utterance: Utterance) -> Utterance:
    """The utterance with what the network says of it, asked once, and the network among its models."""
    if utterance.acoustics is not None:
        return utterance
    mels = mel_power(utterance.samples) if utterance.mel_power is None else utterance.mel_power
    heard = acoustics_of(mels, open_network())
    return replace(utterance, acoustics=heard, models={**utterance.models, **network_models()})


def frame_acoustics(samples: Samples, session: Any) -> FrameAcoustics:
    """What the network says of each 40 ms of 16 kHz mono `samples`. Frames of digital silence hold no speech, and
    their SNR is the lowest that can be said."""
    mels = mel_power(samples)
    steps = len(mels) // 2
    is_heard = _is_heard(mels)
    found = FrameAcoustics(np.zeros(steps, np.float32), np.full(steps, SNR_RANGE_DB[0], np.float32))
    heard = _heard(mels, session)
    if heard is None:
        return found
    # Silent frames were left out, two frames make a step: each step answers for where its first frame was.
    at = np.minimum(np.nonzero(is_heard)[0][: 2 * heard[0].shape[1] : 2] // 2, steps - 1)
    found.speech_probability[at] = heard[0][0]
    found.snr_db[at] = np.clip(heard[1][0], *SNR_RANGE_DB)
    return found


def fed(mels: MelPower) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """What the network is fed, from mel power of an even number of frames: logarithms of the bands and of their sum,
    shape (MELS + 1, frames), each band's quiet level, shape (MELS,), and power per step, shape (frames / 2, MELS). All
    relative to how loud the utterance is at its loudest, so level does not matter."""
    total = _total(mels)
    at = int(_REFERENCE_QUANTILE * (len(total) - 1))
    scale = np.float32(1 / max(float(np.partition(total, at)[at]), 1e-12))
    features = np.empty((mels.shape[1] + 1, len(mels)), np.float32)
    np.multiply(mels.T, scale, out=features[:-1])
    np.multiply(total, scale, out=features[-1])
    power = (features[:-1, ::2] + features[:-1, 1::2]).T * np.float32(0.5)
    features += np.float32(_DYNAMIC_RANGE)
    np.log10(features, out=features)
    features += np.float32(3.0)
    features *= np.float32(0.5)
    low = int(_FLOOR_QUANTILE * (len(mels) - 1))
    return features, np.partition(features[:-1], low, axis=1)[:, low], np.ascontiguousarray(power)


def _heard(mels: MelPower, session: Any) -> list[NDArray[np.float32]] | None:
    """Speech probability and SNR per step, and the six numbers; None where too little can be heard."""
    is_heard = _is_heard(mels)
    if not is_heard.all():
        # Frames that a gate or an editor has zeroed say nothing about the noise under the speech.
        mels = mels[is_heard]
    mels = mels[: len(mels) // 2 * 2]
    if len(mels) < _MIN_FRAMES:
        return None
    features, floor, power = fed(mels)
    given = {"features": features[None], "floor": floor[None], "power": power[None]}
    outputs: list[NDArray[np.float32]] = session.run(None, given)
    return outputs


def _is_heard(mels: MelPower) -> NDArray[np.bool_]:
    heard: NDArray[np.bool_] = _total(mels) > _SILENCE
    return heard


def _total(mels: MelPower) -> NDArray[np.float32]:
    # A product with ones: numpy sums short rows four times as slowly. Some BLAS set the flag for no reason.
    with np.errstate(invalid="ignore"):
        return mels @ np.ones(mels.shape[1], np.float32)
