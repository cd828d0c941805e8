"""Speech with noise at a ratio that is known, and what recorders, codecs and editors do to it afterwards.

`active_speech_snr(speech, noise)` is the truth that everything here and in `benchmarks.accuracy` means by SNR;
`mix(speech, noise, snr_db)` makes it so.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from schemas.sound import ANALYSIS_RATE_HZ as RATE
from schemas.sound import Samples

FRAME = 320
"""Samples per frame of activity: 20 ms, none overlaps."""
ACTIVE_DB = 30.0
"""Speech is active where a frame is within this of the loudest."""

Mask = NDArray[np.bool_]


def high_passed(samples: Samples, hz: float = 60.0) -> Samples:
    """Without what lies below `hz`: a fourth-order Butterworth, forward only."""
    from scipy.signal import sosfilt

    return np.asarray(sosfilt(_high_pass(hz), samples), np.float32)


def frame_power(samples: Samples) -> NDArray[np.float64]:
    """Mean square per whole 20 ms frame, shape (n // 320,)."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    return np.asarray(np.square(frames, dtype=np.float64).mean(axis=1))


def active(speech: Samples) -> Mask:
    """In which 20 ms frames of clean `speech` somebody speaks, shape (n // 320,)."""
    power = frame_power(speech)
    return np.asarray(power > power.max(initial=0) * 10 ** (-ACTIVE_DB / 10), np.bool_)


def active_speech_snr(speech: Samples, noise: Samples) -> float:
    """Power of `speech` where it is active over the mean power of `noise`, both above 60 Hz, dB.

    `speech` as it reaches the microphone, room and all. On the pairs of `noisy_pairs.csv` this is, but for the 60 Hz,
    `active_snr_db`.
    """
    power, over = frame_power(high_passed(speech)), frame_power(high_passed(noise))
    is_active = power > power.max() * 10 ** (-ACTIVE_DB / 10)
    return float(10 * np.log10(power[is_active].mean() / max(over.mean(), 1e-30)))


def scaled_noise(speech: Samples, noise: Samples, snr_db: float) -> Samples:
    """`noise`, as long as `speech`, at the level that makes the ratio `snr_db`."""
    gain = 10 ** ((active_speech_snr(speech, noise) - snr_db) / 20)
    return np.asarray(noise * np.float32(gain), np.float32)


def mix(speech: Samples, noise: Samples, snr_db: float) -> Samples:
    """`speech` with `noise` (as long, else repeated or cut) at `snr_db` over active speech above 60 Hz."""
    return speech + scaled_noise(speech, as_long(noise, len(speech)), snr_db)


def as_long(noise: Samples, n: int) -> Samples:
    """`noise` cut to `n` samples, or repeated with 50 ms of crossfade at each seam."""
    if not len(noise):
        raise ValueError("no noise to repeat")
    fade = min(RATE // 20, len(noise) // 4)
    ramp = np.linspace(0, np.pi / 2, fade, dtype=np.float32)
    made = noise.astype(np.float32)
    while len(made) < n:
        seam = made[-fade:] * np.cos(ramp) + noise[:fade] * np.sin(ramp) if fade else made[:0]
        made = np.concatenate([made[: len(made) - fade], seam, noise[fade:]]).astype(np.float32)
    return made[:n]


def in_room(dry: Samples, response: Samples) -> Samples:
    """`dry` as it arrives through `response`, as long as it was, the direct sound where it was."""
    from scipy.signal import fftconvolve

    return np.asarray(fftconvolve(dry, response)[: len(dry)], np.float32)


@cache
def _high_pass(hz: float) -> NDArray[np.float64]:
    from scipy.signal import butter

    return np.asarray(butter(4, hz, "highpass", fs=RATE, output="sos"))
