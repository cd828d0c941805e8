"""Batches: a stretch of speech and one of noise, paired anew each time, mixed at a ratio that is known, and damaged.

Batch `i` of a seed is always the same, whoever makes it and in whatever order.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft

from schemas.sound import ANALYSIS_RATE_HZ as RATE
from schemas.sound import Samples
from training.mixtures import FRAME, active, frame_power
from training.pool import LENGTH, VALID_SHARE, Pool
from transforms.acoustics import fed
from transforms.spectrum import FRAME_HZ, HOP, WINDOW, mel_power

Rng = np.random.Generator

SNR_RANGE_DB = (-9.0, 40.0)
LENGTHS_S = (1.5, 2.5, 3.0, 4.0, 5.0, 6.5, 8.0)
DRY_C50_DB, DRY_RT60_S = 26.0, 0.14
"""What dry speech is at least, and at most: its own room is not known, but is no better than a studio's."""
LOCAL_DB = 30.0


class Batches:
    """A map-style data set of whole batches, for torch's DataLoader without batching of its own.

    A batch maps `features` (n, MELS + 1, frames), `floor` (n, MELS) and `power` (n, steps, MELS), as
    `transforms.acoustics.fed` makes them; `speech` (n, steps) and `local_db` (n, steps, MELS), which the network should
    see; `snr_db`, `c50_db`, `rt60_s` and `is_dry` (n,).
    """

    def __init__(self, pool: Pool, count: int, size: int, seed: int, validates: bool = False) -> None:
        self.pool, self.count, self.size, self.seed, self.validates = pool, count, size, seed, validates

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> dict[str, Any]:
        import torch

        if not 0 <= i < self.count:
            raise IndexError(i)
        rng = np.random.default_rng([self.seed, i, 4 + self.validates])
        steps = round(float(rng.choice(LENGTHS_S)) * FRAME_HZ / 2) - 1
        n = (2 * steps - 1) * HOP + WINDOW + 1
        found = [self._example(rng, n) for _ in range(self.size)]
        return {
            name: torch.from_numpy(np.stack([np.asarray(one[name], np.float32) for one in found])) for name in found[0]
        }

    def _example(self, rng: Rng, n: int) -> dict[str, Any]:
        snr_db = float(rng.uniform(*SNR_RANGE_DB))
        at = _drawn(rng, len(self.pool.speech), self.validates)
        # A ratio means little where the voice was recorded in as much noise as is added.
        for _ in range(8):
            if snr_db < 18 or self.pool.facts[at, 2] > snr_db + 6:
                break
            at = _drawn(rng, len(self.pool.speech), self.validates)
        else:
            snr_db = float(rng.uniform(SNR_RANGE_DB[0], 20.0))
        speech = _cut(rng, self.pool.speech[at], n)
        noise = _cut(rng, self.pool.noise[_drawn(rng, len(self.pool.noise), self.validates)], n)
        speech, noise = _through_one_channel(rng, speech, noise)
        power = frame_power(speech)
        is_active = active(speech)
        told = 10 * np.log10(max(power[is_active].mean(), 1e-20) / max(frame_power(noise).mean(), 1e-20))
        noise = noise * np.float32(10 ** ((told - snr_db) / 20))
        mixed = damaged(rng, speech + noise)
        return {**_seen(mixed, speech, noise, is_active), **_known(snr_db, *self.pool.facts[at, :2])}


def _drawn(rng: Rng, count: int, validates: bool) -> int:
    held = int(np.ceil(count * (1 - VALID_SHARE)))
    return int(rng.integers(held, count) if validates else rng.integers(0, held))


def _cut(rng: Rng, stretch: NDArray[np.int16], n: int) -> Samples:
    start = int(rng.integers(0, LENGTH - n + 1))
    return np.asarray(stretch[start : start + n], np.float32) / np.float32(32768)


def _through_one_channel(rng: Rng, speech: Samples, noise: Samples) -> tuple[Samples, Samples]:
    """Both through the same microphone and bandwidth, which changes their ratio: it is set afterwards."""
    if rng.random() < 0.45:
        return _drifting(rng, speech), noise
    n = next_fast_len(len(speech), real=True)
    frequency = np.fft.rfftfreq(n, 1 / RATE)
    points = np.log([40, 100, 250, 600, 1500, 4000, 8000])
    gain_db = np.interp(np.log(np.maximum(frequency, 40)), points, rng.normal(0, 4, len(points)))
    if rng.random() < 0.35:
        cut_hz = float(rng.choice([3400, 3800, 4000, 5500, 7000])) * rng.uniform(0.95, 1.05)
        gain_db -= np.clip((frequency - cut_hz) / cut_hz * rng.uniform(200, 2000), 0, 90)
    if rng.random() < 0.25:
        low_hz = rng.uniform(80, 350)
        gain_db -= rng.choice([6, 12, 24]) * np.log2(np.maximum(low_hz / np.maximum(frequency, 10), 1))
    gain = (10 ** (gain_db / 20)).astype(np.float32)
    both = irfft(rfft(np.stack([speech, noise]), n) * gain, n)[:, : len(speech)]
    return _drifting(rng, both[0]), both[1]


def _drifting(rng: Rng, speech: Samples) -> Samples:
    """Now and then a speaker who turns away, or whose level falls at the end of a phrase."""
    if rng.random() > 0.2:
        return speech
    points = max(3, len(speech) // RATE)
    level_db = np.interp(np.linspace(0, points - 1, len(speech)), np.arange(points), rng.normal(0, 3, points))
    return np.asarray(speech * 10 ** (level_db / 20), np.float32)


def damaged(rng: Rng, mixed: Samples) -> Samples:
    """What a recorder may do to all of it: rumble, clipping, companding, coarse steps, a lossy codec."""
    peak = float(np.abs(mixed).max()) or 1.0
    if rng.random() < 0.12:
        mixed = mixed + _rumble(rng, len(mixed)) * np.float32(peak * 10 ** (-rng.uniform(0, 30) / 20))
    kind = rng.random()
    if kind < 0.05:
        return np.clip(mixed, -peak * rng.uniform(0.2, 0.8), peak * rng.uniform(0.2, 0.8)).astype(np.float32)
    if kind < 0.08:
        scaled = np.clip(mixed / peak, -1, 1)
        coded = np.round(np.sign(scaled) * np.log1p(255 * np.abs(scaled)) / np.log(256) * 127) / 127
        return np.asarray(np.sign(coded) * np.expm1(np.abs(coded) * np.log(256)) / 255, np.float32)
    if kind < 0.11:
        return _lossy(rng, mixed / peak * np.float32(0.7))
    level = np.float32(10 ** (rng.uniform(-45, -3) / 20) / peak)
    # 16 bits, with the dither of a converter.
    return np.round(mixed * level * 32767 + rng.uniform(-0.5, 0.5, len(mixed))).astype(np.float32) / np.float32(32767)


def _rumble(rng: Rng, n: int) -> Samples:
    """Wind, handling, a lift: below 45 Hz, of unit power."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    spectrum *= 1 / (1 + (np.fft.rfftfreq(n, 1 / RATE) / rng.uniform(10, 35)) ** 8)
    made = np.fft.irfft(spectrum, n)
    return np.asarray(made / max(float(np.sqrt(np.mean(made**2))), 1e-9), np.float32)


def _lossy(rng: Rng, samples: Samples) -> Samples:
    """Through MP3 and back, in place."""
    import soundfile

    file = io.BytesIO()
    level = float(rng.uniform(0.2, 0.95))
    soundfile.write(file, samples, RATE, "MPEG_LAYER_III", format="MP3", compression_level=level)
    file.seek(0)
    decoded = soundfile.read(file, dtype="float32")[0]
    late = max(0, len(decoded) - len(samples))
    # The encoder's delay, where the decoder has not taken it off already.
    return np.resize(decoded[min(late, 1105) :], len(samples)).astype(np.float32)


def _seen(mixed: Samples, speech: Samples, noise: Samples, is_active: NDArray[np.bool_]) -> dict[str, Any]:
    """What the network sees of a mixture, and what it should see in it."""
    mels = mel_power(mixed)
    features, floor, power = fed(mels)
    of_speech, of_noise = (mel_power(part).reshape(len(mels) // 2, 2, -1).mean(axis=1) for part in (speech, noise))
    middles = (np.arange(len(mels)) * HOP + WINDOW // 2) // FRAME
    heard = is_active[np.minimum(middles, len(is_active) - 1)].reshape(-1, 2).mean(axis=1)
    local = 10 * np.log10((of_speech + 1e-14) / (of_noise + 1e-14))
    return {
        "features": features,
        "floor": floor,
        "power": power,
        "speech": heard,
        "local_db": np.clip(local, -LOCAL_DB, LOCAL_DB),
    }


def _known(snr_db: float, c50_db: float, rt60_s: float) -> dict[str, Any]:
    is_dry = bool(np.isnan(c50_db))
    return {
        "snr_db": snr_db,
        "c50_db": DRY_C50_DB if is_dry else min(c50_db, 30.0),
        "rt60_s": DRY_RT60_S if is_dry else rt60_s,
        "is_dry": is_dry,
    }
