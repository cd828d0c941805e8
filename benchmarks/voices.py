"""Recordings whose speakers are known, made from the real audio beside the checkout: conversations, one person alone,
and one person with some seconds of a stranger."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.corpus import audio_folder
from benchmarks.listening import Known, speech_in
from benchmarks.places import in_some_place, read
from schemas.sound import ANALYSIS_RATE_HZ as RATE
from schemas.sound import Region, Samples
from training import split
from training.split import Part
from transforms.diarize.rttm import RttmIndex, parse_rttm

Rng = np.random.Generator
Clip = tuple[Samples, list[Region]]
"""Somebody's words, and where in them there is speech."""
PARTS: tuple[Part, ...] = ("train", "report")
READ = ("speakers/librispeech", "speakers/vctk")
LONG = 10
"""Clips of whom there is most."""

LEVEL_DBFS = -26.0
STRANGER_S = 5.0
HOW = ("appended", "inserted", "at once, as loud", "at once, −5 dB", "at once, −10 dB")


@dataclass(frozen=True, slots=True)
class Cast:
    """People of one side of the split: `long` have ten clips each, `short` one."""

    part: Part
    long: tuple[str, ...]
    short: tuple[str, ...]


@cache
def cast(part: Part) -> Cast:
    """Readers of LibriSpeech and VCTK on one side of `training.split`."""
    clips = {person: len(clips_of(person)) for person in split.speakers(part)}
    long = tuple(sorted(person for person, n in clips.items() if n >= LONG))
    return Cast(part, long, tuple(sorted(person for person in clips if person not in long and clips[person])))


@cache
def clips_of(person: str) -> list[Path]:
    """Clips of more than a word, at 16 kHz or more."""
    items = [item for part in PARTS for item in split.speakers(part).get(person, [])]
    return [item.file for item in items if item.path.startswith(READ) and item.path.endswith((".flac", ".wav"))]


@dataclass(frozen=True, slots=True)
class Meeting:
    """One clip of a meeting; those of one `group` share a person."""

    name: str
    group: str
    known: Known


@cache
def clip(path: Path) -> Clip:
    """Samples at one level, and the speech that VAD finds in the clip alone: the truth for what is made of it."""
    samples = read(path)
    samples = samples * np.float32(10 ** (LEVEL_DBFS / 20) / np.sqrt(np.mean(samples**2) + 1e-12))
    return samples, speech_in(samples)


def conversation(
    people: Sequence[str], rng: Rng, turn_s: tuple[float, float], most_s: float = 240.0, at_once: float = 0.0
) -> Known:
    """The people take turns in a drawn order, each at a level of their own, with pauses of up to 0.8 s, until they have
    said all. With probability `at_once` somebody begins up to two seconds before the last one has ended."""
    left = {
        person: [piece for path in clips_of(person) for piece in _pieces(clip(path), rng, turn_s)] for person in people
    }
    gain = {person: np.float32(10 ** (rng.uniform(-4, 4) / 20)) for person in people}
    placed: list[tuple[int, Samples]] = []
    spans: list[tuple[float, float, str]] = []
    at, last, former = RATE // 2, "", 0
    while any(left.values()) and at < most_s * RATE:
        able = [person for person in people if left[person] and person != last] or [p for p in people if left[p]]
        shares = np.array([len(left[person]) for person in able], float)
        before, last = last, able[int(rng.choice(len(able), p=shares / shares.sum()))]
        samples, regions = left[last].pop(0)
        if at_once and before not in ("", last) and rng.random() < at_once:
            at -= min(int(rng.uniform(0.3, 2.0) * RATE), former // 2, len(samples) // 2)
        spans += [((at + r.start_sample) / RATE, (at + r.end_sample) / RATE, last) for r in regions]
        placed.append((at, _faded(samples) * gain[last]))
        at, former = at + len(samples), len(samples)
        at += 0 if at_once and rng.random() < at_once else int(rng.uniform(0, 0.8) * RATE)
    whole = np.zeros(max(start + len(samples) for start, samples in placed) + RATE // 2, np.float32)
    for start, samples in placed:
        whole[start : start + len(samples)] += samples
    return Known(_with_hiss(whole, rng), tuple(spans))


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


def with_stranger(
    person: str, stranger: str | None, how: str, rng: Rng, seconds: float, stranger_s: float = STRANGER_S
) -> Samples:
    """One person for so many seconds, and `stranger_s` of somebody else (nobody, where `stranger` is None)."""
    parts = one_person(person, rng, seconds)
    if stranger is None:
        return _with_hiss(np.concatenate(parts), rng)
    words = _some_seconds(stranger, stranger_s, rng)
    if how in HOW[:2]:
        at = len(parts) if how == "appended" else 2 * int(rng.integers(1, max(2, len(parts) // 2)))
        parts.insert(at, words * np.float32(10 ** (rng.uniform(-4, 4) / 20)))
        return _with_hiss(np.concatenate(parts), rng)
    below_db = {"at once, as loud": 0, "at once, −5 dB": 5, "at once, −10 dB": 10}[how]
    whole = np.concatenate(parts)
    start = int(rng.integers(RATE, len(whole) - len(words) - RATE))
    whole[start : start + len(words)] += words * np.float32(10 ** (-below_db / 20))
    return _with_hiss(whole, rng)


def _some_seconds(person: str, seconds: float, rng: Rng) -> Samples:
    paths = clips_of(person)
    samples, regions = clip(paths[int(rng.integers(len(paths)))])
    return _faded(np.concatenate([samples[r.start_sample : r.end_sample] for r in regions])[: round(seconds * RATE)])


def _faded(samples: Samples) -> Samples:
    ramp = np.linspace(0, 1, min(RATE // 200, len(samples) // 4), dtype=np.float32)
    out = samples.copy()
    out[: len(ramp)] *= ramp
    out[len(out) - len(ramp) :] *= ramp[::-1]
    return out


def _with_hiss(samples: NDArray[np.float32], rng: Rng) -> Samples:
    return samples + rng.standard_normal(len(samples), np.float32) * np.float32(1e-4)


def meetings(part: Part) -> list[Meeting]:
    """The real meetings of one side, with the turns that people wrote down."""
    folder = audio_folder() / "meetings"
    index = RttmIndex(
        turn for path in sorted(folder.glob("*.rttm")) for turn in parse_rttm(path.read_text(), str(path))
    )
    found = [(item, index.of([item.file.stem])) for item in split.meetings(part)]
    return [
        Meeting(
            item.file.stem, item.group, Known(read(item.file), tuple((t.start_s, t.end_s, t.speaker) for t in turns))
        )
        for item, turns in found
    ]


def drawn(rng: Rng, count: int, make: Callable[[Rng], Known], part: Part) -> list[Known]:
    """`count` recordings, each in some place."""
    made = (make(rng) for _ in range(count))
    return [Known(in_some_place(known.samples, rng, part), known.spans) for known in made]
