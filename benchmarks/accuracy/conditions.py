"""Clips with known answers: a voice that nobody tuned on, in a place, with a noise, at a ratio.

Places: dry (as it was read), a measured room, a simulated room (pyroomacoustics, whose code is not what training's
rooms are made with). Noises are real. Every clip is drawn from its own number, so that a clip stays the same whatever
else is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from benchmarks.accuracy.simulated import simulated_rooms
from benchmarks.accuracy.sounds import level_under_full_scale, measured_rooms, noises, voices
from schemas.sound import ANALYSIS_RATE_HZ as RATE
from schemas.sound import Samples
from training.mixtures import as_long, high_passed, in_room, mix

PLACES = ("dry", "measured room", "simulated room")
SNR_DB = (-5.0, 35.0)
LENGTH_S = (3.0, 15.0)
BABBLE = 8
"""Voices at once in the noise that is made of voices."""
_CLEANER_DB = 12.0
"""How far a voice's own noise must lie under the noise that is added."""
_SEED = 6_000


@dataclass(frozen=True, slots=True)
class Clip:
    """`samples` at 16 kHz and what is true of them; `clean` is the voice as it reached the microphone, without the
    noise, before `gain` brought the mixture under full scale."""

    samples: Samples
    clean: Samples
    snr_db: float
    place: str
    room: str
    noise: str
    c50_db: float | None
    rt60_s: float | None
    gain: float

    @property
    def voice_and_noise(self) -> tuple[Samples, Samples]:
        """What `samples` are the sum of."""
        voice = high_passed(self.clean) * np.float32(self.gain)
        return voice, self.samples - voice

    @property
    def seconds(self) -> float:
        return len(self.samples) / RATE


@cache
def clips(place: str, count: int) -> tuple[Clip, ...]:
    """`count` clips in one of `PLACES`; the first of a larger set are those of a smaller one."""
    return tuple(_clip(place, number) for number in range(count))


def everywhere(count: int) -> Iterator[tuple[str, tuple[Clip, ...]]]:
    """`count` clips for each place."""
    return ((place, clips(place, count)) for place in PLACES)


def _clip(place: str, number: int) -> Clip:
    rng = np.random.default_rng([_SEED, PLACES.index(place), number])
    snr_db = float(rng.uniform(*SNR_DB))
    dry = _voice(rng, snr_db)
    room, c50_db, rt60_s, clean = "", None, None, dry
    if place != PLACES[0]:
        by_room: dict[str, list[int]] = {}
        responses = measured_rooms() if place == PLACES[1] else simulated_rooms()
        for index, (name, _) in enumerate(responses):
            by_room.setdefault(name, []).append(index)
        room = str(rng.choice(sorted(by_room)))
        response = responses[int(rng.choice(by_room[room]))][1]
        clean = in_room(dry, response.samples)
        c50_db, rt60_s = response.c50_db, response.rt60_s
    name, noise = _noise(rng, len(clean))
    clean = clean / np.float32(max(float(np.sqrt(np.mean(clean**2))), 1e-9)) * np.float32(0.03)
    mixed = mix(high_passed(clean), noise, snr_db)
    gain = level_under_full_scale(mixed)
    return Clip(mixed * np.float32(gain), clean, snr_db, place, room, name, c50_db, rt60_s, gain)


def _voice(rng: np.random.Generator, snr_db: float) -> Samples:
    """3 to 15 s of one person, cleaner by itself than the clip is to be; begun within the recording, not before it."""
    fit = [samples for _, samples, own_db in voices() if own_db >= min(snr_db + _CLEANER_DB, 42.0)]
    samples = fit[int(rng.integers(len(fit)))]
    length = min(len(samples), round(float(rng.uniform(*LENGTH_S)) * RATE))
    start = int(rng.integers(0, len(samples) - length + 1))
    return samples[start : start + length]


def _noise(rng: np.random.Generator, length: int) -> tuple[str, Samples]:
    """One of the real noises from some place in it, or several voices at once."""
    real = noises()
    which = int(rng.integers(len(real) + 1))
    if which == len(real):
        return "babble", _babble(rng, length)
    name, samples = real[which]
    start = int(rng.integers(0, max(1, len(samples) - length)))
    return name, as_long(samples[start:] if len(samples) - start >= RATE else samples, length)


def _babble(rng: np.random.Generator, length: int) -> Samples:
    every = voices()
    heard = [every[int(n)][1] for n in rng.choice(len(every), BABBLE, replace=False)]
    return np.asarray(sum(as_long(v / np.float32(np.sqrt(np.mean(v**2)) + 1e-9), length) for v in heard), np.float32)
