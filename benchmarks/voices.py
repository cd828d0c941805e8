"""Recordings whose speakers are known, made from the real audio beside the checkout: conversations, one person alone,
and one person with five seconds of a stranger."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.corpus import audio_folder
from benchmarks.listening import Known, speech_in
from schemas.sound import ANALYSIS_RATE_HZ as RATE
from schemas.sound import Region, Samples
from transforms.diarize.rttm import RttmIndex, parse_rttm

Rng = np.random.Generator
Clip = tuple[Samples, list[Region]]
"""Somebody's words, and where in them there is speech."""

LEVEL_DBFS = -26.0
STRANGER_S = 5.0
HOW = ("appended", "inserted", "at once, as loud", "at once, −5 dB", "at once, −10 dB")


@dataclass(frozen=True, slots=True)
class Cast:
    """People of one half: `long` have ten clips each, `short` one."""

    long: tuple[str, ...]
    short: tuple[str, ...]


def casts() -> tuple[Cast, Cast]:
    """The half that thresholds were tuned on, and the half that was kept apart from it."""
    with (audio_folder() / "speakers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    short = sorted({row["speaker"] for row in rows if "train-clean" in row["corpus"]})
    np.random.default_rng(1).shuffle(short)
    half = len(short) // 2
    tuned = Cast(("ls1688", "ls2033", "ls367", "p225"), tuple(short[:half]))
    return tuned, Cast(("ls1998", "ls2414", "ls533", "p226"), tuple(short[half:]))


@cache
def clips_of(person: str) -> list[Path]:
    with (audio_folder() / "speakers.csv").open(newline="") as file:
        return [audio_folder() / row["path"] for row in csv.DictReader(file) if row["speaker"] == person]


@cache
def clip(path: Path) -> Clip:
    """Samples at one level, and the speech that VAD finds in the clip alone: the truth for what is made of it."""
    samples = read(path)
    samples = samples * np.float32(10 ** (LEVEL_DBFS / 20) / np.sqrt(np.mean(samples**2) + 1e-12))
    return samples, speech_in(samples)


def read(path: Path) -> Samples:
    """A file as 16 kHz mono."""
    import soundfile
    import soxr

    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return np.asarray(soxr.resample(samples.mean(1), rate, RATE), np.float32)


def conversation(people: Sequence[str], rng: Rng, turn_s: tuple[float, float], most_s: float = 240.0) -> Known:
    """The people take turns in a drawn order, each at a level of their own, with pauses of up to 0.8 s, until they have
    said all."""
    left = {
        person: [piece for path in clips_of(person) for piece in _pieces(clip(path), rng, turn_s)] for person in people
    }
    gain = {person: np.float32(10 ** (rng.uniform(-4, 4) / 20)) for person in people}
    parts: list[Samples] = [np.zeros(RATE // 2, np.float32)]
    spans: list[tuple[float, float, str]] = []
    at, last = RATE // 2, ""
    while any(left.values()) and at < most_s * RATE:
        able = [person for person in people if left[person] and person != last] or [p for p in people if left[p]]
        shares = np.array([len(left[person]) for person in able], float)
        last = able[int(rng.choice(len(able), p=shares / shares.sum()))]
        samples, regions = left[last].pop(0)
        spans += [((at + r.start_sample) / RATE, (at + r.end_sample) / RATE, last) for r in regions]
        pause = np.zeros(int(rng.uniform(0, 0.8) * RATE), np.float32)
        parts += [_faded(samples) * gain[last], pause]
        at += len(samples) + len(pause)
    return Known(_with_hiss(np.concatenate(parts), rng), tuple(spans))


def _pieces(words: Clip, rng: Rng, turn_s: tuple[float, float]) -> Iterator[Clip]:
    """A clip in pieces of about so many seconds, parted at pauses where one is near."""
    samples, regions = words
    if not regions:
        return
    start, end = regions[0].start_sample, regions[-1].end_sample
    while end - start > RATE // 2:
        want = start + int(rng.uniform(*turn_s) * RATE)
        after = [r.end_sample for r in regions if r.end_sample > start + RATE // 2]
        stop = min(after, key=lambda at: abs(at - want))
        stop = stop if abs(stop - want) <= 1.5 * RATE else min(want, end)
        inside = [part for r in regions if (part := r & Region(start, stop))]
        yield samples[start:stop], [Region(r.start_sample - start, r.end_sample - start) for r in inside]
        # Within a region the next piece goes on at once; else with the next region.
        cut_short = any(r.start_sample < stop < r.end_sample for r in regions)
        start = stop if cut_short else min((r.start_sample for r in regions if r.start_sample >= stop), default=end)


def one_person(person: str, rng: Rng, seconds: float) -> list[Samples]:
    """Clips of one person in a drawn order, with pauses, said again from the start where they are too few."""
    order = [clips_of(person)[n] for n in rng.permutation(len(clips_of(person)))]
    parts: list[Samples] = []
    while sum(map(len, parts)) < seconds * RATE:
        for path in order:
            parts.append(clip(path)[0] * np.float32(10 ** (rng.uniform(-2, 2) / 20)))
            parts.append(np.zeros(int(rng.uniform(0.2, 0.6) * RATE), np.float32))
            if sum(map(len, parts)) >= seconds * RATE:
                break
    return parts


def with_stranger(person: str, stranger: str | None, how: str, rng: Rng, seconds: float) -> Samples:
    """One person for so many seconds, and five seconds of somebody else (nobody, where `stranger` is None)."""
    parts = one_person(person, rng, seconds)
    if stranger is None:
        return _with_hiss(np.concatenate(parts), rng)
    words = _five_seconds(stranger, rng)
    if how in HOW[:2]:
        at = len(parts) if how == "appended" else 2 * int(rng.integers(1, max(2, len(parts) // 2)))
        parts.insert(at, words * np.float32(10 ** (rng.uniform(-4, 4) / 20)))
        return _with_hiss(np.concatenate(parts), rng)
    below_db = {"at once, as loud": 0, "at once, −5 dB": 5, "at once, −10 dB": 10}[how]
    whole = np.concatenate(parts)
    start = int(rng.integers(RATE, len(whole) - len(words) - RATE))
    whole[start : start + len(words)] += words * np.float32(10 ** (-below_db / 20))
    return _with_hiss(whole, rng)


def _five_seconds(person: str, rng: Rng) -> Samples:
    paths = clips_of(person)
    samples, regions = clip(paths[int(rng.integers(len(paths)))])
    return _faded(np.concatenate([samples[r.start_sample : r.end_sample] for r in regions])[: int(STRANGER_S * RATE)])


def _faded(samples: Samples) -> Samples:
    ramp = np.linspace(0, 1, min(RATE // 200, len(samples) // 4), dtype=np.float32)
    out = samples.copy()
    out[: len(ramp)] *= ramp
    out[len(out) - len(ramp) :] *= ramp[::-1]
    return out


def _with_hiss(samples: NDArray[np.float32], rng: Rng) -> Samples:
    return samples + rng.standard_normal(len(samples), np.float32) * np.float32(1e-4)


def in_some_place(samples: Samples, rng: Rng) -> Samples:
    """The same as it is, in a measured room, over noise at 12 to 25 dB, or in both: drawn evenly."""
    from scipy.signal import fftconvolve

    kind = int(rng.integers(4))
    if kind in (1, 3):
        response = _room(_reliable_rooms()[int(rng.integers(len(_reliable_rooms())))])
        samples = fftconvolve(samples, response)[: len(samples)].astype(np.float32)
    if kind in (2, 3):
        files = sorted(
            path for path in (audio_folder() / "noise").iterdir() if path.suffix in (".wav", ".mp3", ".flac")
        )
        noise = np.resize(read(files[int(rng.integers(len(files)))]), len(samples))
        level = np.sqrt(np.mean(samples**2) / (np.mean(noise**2) + 1e-12)) * 10 ** (-rng.uniform(12, 25) / 20)
        samples = samples + noise * np.float32(level)
    return samples


@cache
def _reliable_rooms() -> list[Path]:
    with (audio_folder() / "rooms.csv").open(newline="") as file:
        return [audio_folder() / row["file"] for row in csv.DictReader(file) if row["reliable"] == "1"]


@cache
def _room(path: Path) -> Samples:
    response = read(path)
    response = response[max(0, int(np.argmax(np.abs(response))) - 16) :]
    return response / np.float32(np.sqrt(np.sum(response**2)))


def meetings() -> list[Known]:
    """The real meetings, with the turns that people wrote down."""
    folder = audio_folder() / "meetings"
    index = RttmIndex(
        turn for path in sorted(folder.glob("*.rttm")) for turn in parse_rttm(path.read_text(), str(path))
    )
    found = [(path, index.of([path.stem])) for path in sorted(folder.glob("*.wav"))]
    return [Known(read(path), tuple((t.start_s, t.end_s, t.speaker) for t in turns)) for path, turns in found if turns]


def drawn(rng: Rng, count: int, make: Callable[[Rng], Known]) -> list[Known]:
    """`count` recordings, each in some place."""
    made = (make(rng) for _ in range(count))
    return [Known(in_some_place(known.samples, rng), known.spans) for known in made]
