"""Six seconds of speech at a time in which it is known who speaks when: what the overlap detector learns from.

Made scenes: one to three readers of the `train` side of `training.split`, at once or in turn, in computed rooms and
over its noises; each reader is also heard faster and slower, as somebody else. Beside them pieces of the AMI clips of
that side, whose turns people wrote down.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from benchmarks.places import computed_rooms, noises, read
from benchmarks.voices import Meeting, cast, clip, clips_of
from schemas.sound import ANALYSIS_RATE_HZ as RATE
from schemas.sound import Samples

SCENE_S = 6.0
LABEL_HZ = 25
"""Frames of 40 ms, as the detector answers them."""
SPEEDS = (0.86, 0.93, 1.0, 1.07, 1.16)
_NOISY, _IN_A_ROOM = 0.6, 0.65
VALIDATING = 16
"""Readers who only validate."""
Reader = tuple[str, float]
"""Somebody, and the speed at which they are heard."""
Voices = NDArray[np.int8]
"""How many speak in each frame, shape (SCENE_S · LABEL_HZ,)."""


@dataclass(frozen=True, slots=True)
class Words:
    """A stretch of one reader: samples, and whether there is speech in each frame of 40 ms."""

    samples: Samples
    speaks: NDArray[np.bool_]


def scene(rng: np.random.Generator, validating: bool = False) -> tuple[Samples, Voices]:
    """One made scene and how many speak in it; `validating` takes readers who are heard in no other."""
    n, frames = round(SCENE_S * RATE), round(SCENE_S * LABEL_HZ)
    kind = rng.choice(4, p=(0.25, 0.25, 0.4, 0.1))  # alone, in turn, two at once, three
    readers = _readers(validating)
    people = rng.choice(len(readers), 3, replace=False)
    mixed, voices = np.zeros(n, np.float32), np.zeros(frames, np.int8)
    rooms = _rooms(rng)
    for index in range((1, 2, 2, 3)[kind]):
        words = _stretch(readers[people[index]], rng)
        start, end = _when(int(kind), index, rng)
        level = 10 ** (float(rng.uniform(-12, 4) if index else rng.uniform(-3, 3)) / 20)
        own = np.where((np.arange(n) >= start * RATE) & (np.arange(n) < end * RATE), words.samples, 0)
        mixed += _in_room(own.astype(np.float32), rooms[index]) * np.float32(level)
        at = np.arange(frames) / LABEL_HZ
        voices += (words.speaks & (at >= start) & (at < end)).astype(np.int8)
    return _over_noise(mixed, rng), voices


def _when(kind: int, index: int, rng: np.random.Generator) -> tuple[float, float]:
    """From when to when somebody may speak, seconds."""
    if kind == 1:  # in turn
        change = 1 + 0.5 * float(rng.uniform(0, SCENE_S - 2) + rng.uniform(0, SCENE_S - 2))
        return (0.0, change) if index == 0 else (change, SCENE_S)
    if index == 0 or kind == 0:
        return 0.0, SCENE_S
    length = float(rng.uniform(0.4, SCENE_S))
    start = float(rng.uniform(-0.3, SCENE_S - 0.5 * length))
    return start, start + length


def meeting_scene(meetings: list[Meeting], rng: np.random.Generator) -> tuple[Samples, Voices]:
    """Six seconds of a meeting, now and then faster or slower, or over more noise."""
    import soxr

    known = meetings[int(rng.integers(len(meetings)))].known
    speed = float(rng.choice((0.94, 1.0, 1.0, 1.06)))
    taken_s = SCENE_S * speed
    start_s = float(rng.uniform(0, len(known.samples) / RATE - taken_s - 0.1))
    first = round(start_s * RATE)
    samples = known.samples[first : first + round(taken_s * RATE)]
    if speed != 1.0:
        samples = soxr.resample(samples, RATE * speed, RATE)
    at = start_s + (np.arange(round(SCENE_S * LABEL_HZ)) + 0.5) / LABEL_HZ * speed
    samples = np.resize(samples, round(SCENE_S * RATE)).astype(np.float32)
    voices = voices_at(known.spans, at)
    return (_over_noise(samples, rng) if rng.random() < 0.3 else samples), voices


def voices_at(spans: Iterable[tuple[float, float, str]], at: NDArray[np.float64]) -> Voices:
    """How many people speak at each of some instants, seconds."""
    own: dict[str, list[tuple[float, float]]] = {}
    for start, end, person in spans:
        own.setdefault(person, []).append((start, end))
    voices = np.zeros(len(at), np.int8)
    for turns in own.values():
        voices += np.any([(at >= start) & (at < end) for start, end in turns], axis=0).astype(np.int8)
    return voices


@cache
def _readers(validating: bool) -> list[Reader]:
    people = cast("train")
    if validating:
        return [(person, 1.0) for person in people.short[-VALIDATING:]]
    return [(person, speed) for person in (*people.long, *people.short[:-VALIDATING]) for speed in SPEEDS]


@cache
def _words(reader: Reader) -> Words:
    """All that a reader says, at their speed."""
    import soxr

    person, speed = reader
    parts, speaks = [], []
    for path in clips_of(person):
        samples, regions = clip(path)
        where = np.zeros(len(samples), np.float32)
        for region in regions:
            where[region.start_sample : region.end_sample] = 1
        if speed != 1.0:
            samples = np.asarray(soxr.resample(samples, RATE * speed, RATE), np.float32)
        step = RATE // LABEL_HZ
        centre = ((np.arange(len(samples) // step) + 0.5) * step * speed).astype(int)
        parts.append(samples[: len(centre) * step])
        speaks.append(where[np.minimum(centre, len(where) - 1)] > 0)
    return Words(np.concatenate(parts), np.concatenate(speaks))


def _stretch(reader: Reader, rng: np.random.Generator) -> Words:
    words, step = _words(reader), RATE // LABEL_HZ
    frames = round(SCENE_S * LABEL_HZ)
    start = int(rng.integers(max(1, len(words.speaks) - frames)))
    return Words(
        np.resize(words.samples[start * step : (start + frames) * step], frames * step),
        np.resize(words.speaks[start : start + frames], frames),
    )


def _rooms(rng: np.random.Generator) -> list[Samples | None]:
    """A response for each of three places; None where it is heard close by."""
    if rng.random() > _IN_A_ROOM:
        return [None] * 3
    found = computed_rooms()
    return [found[int(rng.integers(len(found)))] for _ in range(3)]


def _in_room(samples: Samples, response: Samples | None) -> Samples:
    from scipy.signal import fftconvolve

    if response is None:
        return samples
    return np.asarray(fftconvolve(samples, response)[: len(samples)], np.float32)


def _over_noise(samples: Samples, rng: np.random.Generator) -> Samples:
    power = float(np.mean(samples**2)) + 1e-9
    hiss = rng.standard_normal(len(samples), np.float32) * np.float32(
        np.sqrt(power) * 10 ** (-rng.uniform(25, 60) / 20)
    )
    if rng.random() > _NOISY:
        return samples + hiss
    files = noises("train")
    noise = read(files[int(rng.integers(len(files)))])
    start = int(rng.integers(max(1, len(noise) - len(samples))))
    noise = np.resize(noise[start : start + len(samples)], len(samples))
    level = np.sqrt(power / (float(np.mean(noise**2)) + 1e-9)) * 10 ** (-rng.uniform(5, 30) / 20)
    return np.asarray(samples + hiss + noise * np.float32(level), np.float32)
