"""Where made recordings seem to have been made: rooms and noises of one side of `training.split`.

What reports is heard in measured rooms. There are too few of those on the side that tunes, so its rooms are computed:
shoe boxes by the image source method, drawn once.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from schemas.sound import ANALYSIS_RATE_HZ as RATE
from schemas.sound import Samples
from training import split
from training.split import Part

ROOMS = 40
"""Rooms that are computed to tune in."""
_SEED = 5


def in_some_place(samples: Samples, rng: np.random.Generator, part: Part) -> Samples:
    """The same as it is, in a room, over noise at 12 to 25 dB, or in both: drawn evenly."""
    from scipy.signal import fftconvolve

    kind = int(rng.integers(4))
    if kind in (1, 3):
        responses = _responses(part)
        response = responses[int(rng.integers(len(responses)))]
        samples = fftconvolve(samples, response)[: len(samples)].astype(np.float32)
    if kind in (2, 3):
        files = noises(part)
        noise = np.resize(read(files[int(rng.integers(len(files)))]), len(samples))
        level = np.sqrt(np.mean(samples**2) / (np.mean(noise**2) + 1e-12)) * 10 ** (-rng.uniform(12, 25) / 20)
        samples = samples + noise * np.float32(level)
    return samples


@cache
def read(path: Path) -> Samples:
    """A file as 16 kHz mono."""
    import soundfile
    import soxr

    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return np.asarray(soxr.resample(samples.mean(1), rate, RATE), np.float32)


@cache
def noises(part: Part) -> list[Path]:
    """Recordings of noise on one side."""
    # libsndfile opens these; Ogg files with Opus in them it may not.
    return [item.file for item in split.noises(part) if item.file.suffix in (".wav", ".mp3", ".flac", ".ogg")]


@cache
def _responses(part: Part) -> list[Samples]:
    if part == "train":
        return computed_rooms()
    reliable = [item.file for item in split.rooms(part) if split.room_rows()[item.path]["reliable"] == "1"]
    return [_from_direct_sound(read(path)) for path in reliable]


def _from_direct_sound(response: Samples) -> Samples:
    response = response[max(0, int(np.argmax(np.abs(response))) - 16) :]
    return response / np.float32(np.sqrt(np.sum(response**2)))


@cache
def computed_rooms() -> list[Samples]:
    """Responses of boxes with T60 0.2–1.2 s, heard from 0.5 to 4 m."""
    import pyroomacoustics

    rng = np.random.default_rng(_SEED)
    found: list[Samples] = []
    while len(found) < ROOMS:
        size, t60 = rng.uniform((3, 2.5, 2.3), (9, 7, 3.5)), float(rng.uniform(0.2, 1.2))
        try:
            absorption, order = pyroomacoustics.inverse_sabine(t60, size)
        except ValueError:
            continue  # no wall absorbs enough for so short a decay in so large a room
        walls = pyroomacoustics.Material(min(absorption, 0.99))
        room = pyroomacoustics.ShoeBox(size, fs=RATE, materials=walls, max_order=min(order, 30))
        mouth, ear = rng.uniform(0.4, size - 0.4), rng.uniform(0.4, size - 0.4)
        if not 0.5 <= np.linalg.norm(mouth - ear) <= 4:
            continue
        room.add_source(mouth)
        room.add_microphone(ear)
        room.compute_rir()
        found.append(_from_direct_sound(np.asarray(room.rir[0][0], np.float32)))
    return found
