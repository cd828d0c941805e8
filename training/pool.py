"""What training draws from: stretches of speech, dry and in rooms, and stretches of noise, rendered once.

Speech and noise are kept apart, so that every pass over them pairs them anew, at another ratio, through another
channel. Everything follows from the seed: stretch `i` has a generator of its own, whoever makes it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas.sound import ANALYSIS_RATE_HZ as RATE
from schemas.sound import Samples
from training import split
from training.mixtures import FRAME, active, as_long, frame_power, high_passed, in_room
from training.noises import Sources, draw
from training.recordings import noise_of, own_snr_db, pauses_of, read, readable
from training.rooms import Response, simulated

SECONDS = 8
LENGTH = SECONDS * RATE
VALID_SHARE = 0.06
"""The last share of the rooms, speech and noise of a pool only validates."""

_DRY_SHARE = 0.22
_PEAK = 0.9 * 32767


@dataclass(frozen=True, slots=True)
class Size:
    """How much is made."""

    rooms: int = 5000
    speech: int = 10_000
    noise: int = 10_000


@dataclass(frozen=True, slots=True)
class Pool:
    """`speech` and `noise`, int16, shape (n, LENGTH); `facts`, shape (n, 3): C50 in dB, RT60 in s (both NaN where
    dry), and how far the clip stood over its own noise, dB."""

    speech: NDArray[np.int16]
    facts: NDArray[np.float32]
    noise: NDArray[np.int16]


def training_items() -> list[split.Item]:
    """Every file that the recipe hears, in one order."""
    people = [item for items in _people().values() for item in items]
    # fsdd's digits are shorter than a stretch of pause; they are many and alike.
    return sorted(
        {*people, *split.meetings("train"), *split.noises("train"), *readable(split.music("train"))},
        key=lambda item: item.path,
    )


def made(folder: Path, size: Size, seed: int, processes: int) -> Pool:
    """The pool of a seed and size, from `folder` if it lies there, else made on so many processes and put there."""
    paths = [folder / f"{name}.npy" for name in ("speech", "facts", "noise")]
    if not all(path.is_file() for path in paths):
        folder.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(processes, mp_context=get_context("fork")) as workers:
            rooms = list(workers.map(_room, [(seed, i) for i in range(size.rooms)], chunksize=20))
            _render(paths[0], paths[1], workers, rooms, size, seed)
            noise = np.lib.format.open_memmap(paths[2].with_suffix(".part"), "w+", np.int16, (size.noise, LENGTH))
            jobs = [
                (seed, i, size.noise, [room.samples for room in _some(rooms, i, size.noise)]) for i in range(size.noise)
            ]
            for i, samples in enumerate(workers.map(_noise, jobs, chunksize=10)):
                noise[i] = samples
            noise.flush()
            paths[2].with_suffix(".part").rename(paths[2])
    return opened(folder)


def opened(folder: Path) -> Pool:
    """A pool that lies in `folder`, mapped into memory."""
    return Pool(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("speech", "facts", "noise")))


def _render(
    speech_path: Path, facts_path: Path, workers: ProcessPoolExecutor, rooms: list[Response], size: Size, seed: int
) -> None:
    speech = np.lib.format.open_memmap(speech_path.with_suffix(".part"), "w+", np.int16, (size.speech, LENGTH))
    facts = np.zeros((size.speech, 3), np.float32)
    jobs = [(seed, i, size.speech, _some(rooms, i, size.speech)[0]) for i in range(size.speech)]
    for i, (samples, known) in enumerate(workers.map(_speech, jobs, chunksize=20)):
        speech[i], facts[i] = samples, known
    speech.flush()
    np.save(facts_path, facts)
    speech_path.with_suffix(".part").rename(speech_path)


def _some(rooms: list[Response], i: int, count: int) -> list[Response]:
    """Three rooms for stretch `i`; those of the validating share only for what validates, and for nothing else."""
    held = max(1, int(len(rooms) * VALID_SHARE))
    side = rooms[-held:] if i >= count * (1 - VALID_SHARE) else rooms[:-held]
    return [side[(i * 7 + k * 13) % len(side)] for k in range(3)]


def _room(job: tuple[int, int]) -> Response:
    return simulated(np.random.default_rng([*job, 1]))


def _speech(job: tuple[int, int, int, Response]) -> tuple[NDArray[np.int16], tuple[float, float, float]]:
    seed, i, count, room = job
    rng = np.random.default_rng([seed, i, 2])
    people = _side(list(_people()), i, count)
    dry, own_db = _said(people[int(rng.integers(len(people)))], rng)
    if rng.random() < _DRY_SHARE:
        return _as_int16(high_passed(dry)), (float("nan"), float("nan"), own_db)
    return _as_int16(high_passed(in_room(dry, room.samples))), (room.c50_db, room.rt60_s, own_db)


def _said(person: str, rng: np.random.Generator) -> tuple[Samples, float]:
    """`SECONDS` of somebody, from any instant of their clips, a little faster or slower; and the cleanness of it."""
    import soxr

    clips = [read(item.file) for item in _people()[person]]
    parts: list[Samples] = []
    wanted = round(1.15 * LENGTH)
    start = -1
    own: list[float] = []
    while sum(map(len, parts)) < wanted:
        clip = clips[int(rng.integers(len(clips)))]
        own.append(own_snr_db(clip))
        clip = clip / max(float(np.sqrt(frame_power(clip)[active(clip)].mean())), 1e-6)
        start = int(rng.integers(0, max(1, len(clip) - wanted))) if start < 0 else 0
        parts.append(clip[start:])
    speed = float(rng.choice([1.0, rng.uniform(0.88, 1.12)]))
    joined = np.concatenate(parts)[:wanted]
    return as_long(np.asarray(soxr.resample(joined, speed * RATE, RATE, "MQ"), np.float32), LENGTH), min(own)


def _noise(job: tuple[int, int, int, list[Samples]]) -> NDArray[np.int16]:
    seed, i, count, responses = job
    sources = replace(_sources(i >= count * (1 - VALID_SHARE)), responses=responses)
    return _as_int16(draw(np.random.default_rng([seed, i, 3]), LENGTH, sources))


@cache
def _sources(validates: bool) -> Sources:
    """Real recordings for noise. Those that validate are the last seconds of each, which training does not hear."""
    keep: Callable[[Samples], Samples] = (
        (lambda s: s[-len(s) // 8 :]) if validates else (lambda s: s[: len(s) - len(s) // 8])
    )
    noises = [keep(noise_of(item)) for item in split.noises("train")]
    music = [keep(noise_of(item)) for item in readable(split.music("train"))]
    names = list(_people())
    people = names[-len(names) // 12 :] if validates else names[: -len(names) // 12]
    voices = [read(item.file) for name in people for item in _people()[name][:2]]
    # A clip's quiet frames, and the rooms of meetings between the words.
    floors = [_floor(voice) for voice in voices]
    if not validates:
        floors += [pause for item in split.meetings("train") for pause in pauses_of(item)]
    return Sources(noises, music, voices, floors, [])


def _floor(voice: Samples) -> Samples:
    """The quietest fifth of a clip's frames, joined: the room and the microphone without the voice."""
    frames = voice[: len(voice) // FRAME * FRAME].reshape(-1, FRAME)
    quiet = frames[np.argsort(frame_power(voice))[: max(20, len(frames) // 5)]]
    level = float(np.sqrt(np.mean(quiet**2)))
    # Digital silence lends no spectrum.
    return np.asarray(
        quiet.reshape(-1) / level if level > 1e-6 else np.random.default_rng(0).standard_normal(8000), "f4"
    )


@cache
def _people() -> dict[str, list[split.Item]]:
    """Who speaks in training: everybody of the side but the digits of 8 kHz."""
    return {name: items for name, items in sorted(split.speakers("train").items()) if not name.startswith("fsdd")}


def _side(names: list[str], i: int, count: int) -> list[str]:
    held = max(1, len(names) // 12)
    return names[-held:] if i >= count * (1 - VALID_SHARE) else names[:-held]


def _as_int16(samples: Samples) -> NDArray[np.int16]:
    scaled = samples * (_PEAK / max(float(np.abs(samples).max()), 1e-9))
    return np.asarray(np.round(scaled), np.int16)
