"""Batches: a stretch of speech and one of noise, paired anew each time, mixed at a ratio that is known, and damaged.

Batch `i` of a seed is always the same, whoever makes it and in whatever order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.sound import Samples
from training.damage import damaged, telephoned, through_one_channel
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
CLEANER_DB = 9.0
"""How far a voice's own noise lies under what is added: it lowers the true ratio by half a decibel at most."""
LINE_SHARE = 0.2
"""Of mixtures heard over a telephone, whose upper half of the spectrum is empty."""
_UNHEARD = 1e-11
"""Power of a band that neither is heard in: there is nothing to tell apart."""


class Batches:
    """A map-style data set of whole batches, for torch's DataLoader without batching of its own.

    A batch maps `features` (n, MELS + 1, frames), `floor` (n, MELS) and `power` (n, steps, MELS), as
    `transforms.acoustics.fed` makes them; `speech` (n, steps) and `local_db` (n, steps, MELS), which the network should
    see; `snr_db`, `c50_db`, `rt60_s` and `is_dry` (n,).
    """

    def __init__(self, pool: Pool, count: int, size: int, seed: int, validates: bool = False) -> None:
        self.pool, self.count, self.size, self.seed, self.validates = pool, count, size, seed, validates
        held = _held_from(len(pool.speech))
        side = np.arange(held, len(pool.speech)) if validates else np.arange(held)
        order = side[np.argsort(pool.facts[side, 2], kind="stable")]
        self.cleanness = order, np.asarray(pool.facts[order, 2])

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
        at = clean_enough(rng, self.cleanness, snr_db)
        noise_at = _drawn(rng, len(self.pool.noise), self.validates)
        is_line = rng.random() < LINE_SHARE
        speech, noise = through_one_channel(
            rng, _cut(rng, self.pool.speech[at], n), _cut(rng, self.pool.noise[noise_at], n), is_line
        )
        power = frame_power(speech)
        is_active = active(speech)
        told = 10 * np.log10(max(power[is_active].mean(), 1e-20) / max(frame_power(noise).mean(), 1e-20))
        noise = noise * np.float32(10 ** ((told - snr_db) / 20))
        mixed = (telephoned if is_line else damaged)(rng, speech + noise)
        return {**_seen(mixed, speech, noise, is_active), **_known(snr_db, *self.pool.facts[at, :2])}


def _drawn(rng: Rng, count: int, validates: bool) -> int:
    held = _held_from(count)
    return int(rng.integers(held, count) if validates else rng.integers(0, held))


def _held_from(count: int) -> int:
    return int(np.ceil(count * (1 - VALID_SHARE)))


def clean_enough(rng: Rng, cleanness: tuple[NDArray[np.intp], NDArray[np.float32]], snr_db: float) -> int:
    """A stretch whose voice was recorded in less noise than is added: else the ratio would mean little."""
    order, own_db = cleanness
    first = int(np.searchsorted(own_db, snr_db + CLEANER_DB))
    # Of the cleanest there is always a choice, for the highest ratios.
    return int(order[rng.integers(min(first, int(len(order) * 0.9)), len(order))])


def _cut(rng: Rng, stretch: NDArray[np.int16], n: int) -> Samples:
    start = int(rng.integers(0, LENGTH - n + 1))
    return np.asarray(stretch[start : start + n], np.float32) / np.float32(32768)


def _seen(mixed: Samples, speech: Samples, noise: Samples, is_active: NDArray[np.bool_]) -> dict[str, Any]:
    """What the network sees of a mixture, and what it should see in it."""
    mels = mel_power(mixed)
    features, floor, power = fed(mels)
    of_speech, of_noise = (mel_power(part).reshape(len(mels) // 2, 2, -1).mean(axis=1) for part in (speech, noise))
    middles = (np.arange(len(mels)) * HOP + WINDOW // 2) // FRAME
    heard = is_active[np.minimum(middles, len(is_active) - 1)].reshape(-1, 2).mean(axis=1)
    local = 10 * np.log10((of_speech + _UNHEARD) / (of_noise + _UNHEARD))
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
