"""How a stretch of one speaker's speech is parted into pieces that are not too long, at its best pauses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from schemas.sound import ANALYSIS_RATE_HZ, Region, rescale
from transforms.silero import FRAME


class Break(IntEnum):
    """What a cut after an atom would go through, best first."""

    SILENCE = 0
    """Between two speech regions."""
    PAUSE = 1
    """Within a speech region, where the probability of speech dips: a pause so short that VAD filled it."""
    SPEECH = 2
    """Within speech that has no pause for longer than an utterance may last."""


@dataclass(frozen=True, slots=True)
class Atom:
    """Speech that is never cut further. `lead` and `tail` are the samples of silence beside it that it may take."""

    speech: Region
    lead: int = 0
    tail: int = 0
    after: Break = Break.SILENCE
    pause: int = 0
    """Samples of the pause after it."""

    @property
    def start_sample(self) -> int:
        return self.speech.start_sample - self.lead

    @property
    def end_sample(self) -> int:
        return self.speech.end_sample + self.tail

    def fitted(self, room: int) -> Atom:
        """With so much less silence beside it that it takes no more than `room` samples; its speech must fit."""
        free = room - self.speech.n_samples
        lead = min(self.lead, free // 2)
        return replace(self, lead=lead, tail=min(self.tail, free - lead))


_Cost = tuple[int, int, int, int, int]
"""Samples in pieces that are too short, cuts through speech, cuts through filled pauses, pieces, and minus the
pauses cut at: in this order of weight."""


def partition(atoms: Sequence[Atom], min_samples: int, max_samples: int) -> list[Sequence[Atom]]:
    """`atoms`, each of at most `max_samples`, in consecutive pieces of at most as many.

    Of all ways to part them the cheapest is taken: as little as possible in pieces under `min_samples`, then as few
    cuts as possible through speech and through short pauses, then as few pieces as possible, then at the longest
    pauses.
    """
    if not atoms:
        return []
    if atoms[-1].end_sample - atoms[0].start_sample <= max_samples:
        return [atoms]
    best: list[tuple[_Cost, int]] = [((0, 0, 0, 0, 0), 0)]
    for end in range(1, len(atoms) + 1):
        found: tuple[_Cost, int] | None = None
        for start in range(end - 1, -1, -1):
            samples = atoms[end - 1].end_sample - atoms[start].start_sample
            if samples > max_samples:
                break
            cost = _added(best[start][0], samples if samples < min_samples else 0, atoms[start - 1] if start else None)
            if found is None or cost < found[0]:
                found = (cost, start)
        if found is not None:
            best.append(found)
    pieces: list[Sequence[Atom]] = []
    end = len(atoms)
    while end:
        start = best[end][1]
        pieces.append(atoms[start:end])
        end = start
    return pieces[::-1]


def _added(cost: _Cost, short_samples: int, before: Atom | None) -> _Cost:
    short, speech, pause, pieces, minus_silence = cost
    if before is None:
        return (short + short_samples, speech, pause, pieces + 1, minus_silence)
    return (
        short + short_samples,
        speech + (before.after is Break.SPEECH),
        pause + (before.after is Break.PAUSE),
        pieces + 1,
        minus_silence - before.pause,
    )


def split(
    atom: Atom, probability: NDArray[np.float32], sample_rate_hz: int, pause_probability: float, room: int, margin: int
) -> list[Atom]:
    """Speech longer than `room` samples as several atoms that fit: apart at every short pause within it, and where none
    is within `room`, at its least probable frame, at least `margin` samples from either end.

    `probability` is the track's, per 512 samples of 16 kHz; the atom's samples are at `sample_rate_hz`.
    """
    if atom.speech.n_samples <= room:
        return [atom.fitted(room)]
    pauses = _pauses(atom.speech, probability, sample_rate_hz, pause_probability)
    parts = _apart(atom, _fewer(pauses, max(margin, room // 16)), Break.PAUSE)
    return [piece.fitted(room) for part in parts for piece in _halved(part, probability, sample_rate_hz, room, margin)]


def _pauses(
    speech: Region, probability: NDArray[np.float32], sample_rate_hz: int, below: float
) -> Iterator[tuple[int, int]]:
    """Middle and length of each dip strictly within `speech`, in its samples."""
    first, last = _frames(speech, sample_rate_hz, len(probability))
    low = np.r_[False, probability[first:last] < below, False].astype(np.int8)
    starts, ends = np.flatnonzero(np.diff(low) == 1), np.flatnonzero(np.diff(low) == -1)
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        if start > 0 and end < last - first:
            begins, stops = (
                rescale((first + frame) * FRAME, ANALYSIS_RATE_HZ, sample_rate_hz) for frame in (start, end)
            )
            yield (begins + stops) // 2, stops - begins


def _fewer(pauses: Iterable[tuple[int, int]], cell: int) -> list[tuple[int, int]]:
    """Of the pauses in each `cell` samples the first, the longest and the last: what noise takes for speech has ten
    dips a second, and parting it must not take longer than hearing it. The gaps between cells stay what they were."""
    kept: list[tuple[int, int]] = []
    for _, group in groupby(pauses, key=lambda pause: pause[0] // cell):
        found = list(group)
        kept += sorted({found[0], max(found, key=lambda pause: pause[1]), found[-1]})
    return kept


def _halved(
    atom: Atom, probability: NDArray[np.float32], sample_rate_hz: int, room: int, margin: int
) -> Iterator[Atom]:
    """Cuts at the least probable frame of the middle half until each part fits."""
    waiting = [atom]
    while waiting:
        part = waiting.pop()
        length = part.speech.n_samples
        if length <= room:
            yield part
            continue
        aside = max(length // 4, min(margin, length // 2 - 1))
        zone = Region(part.speech.start_sample + aside, part.speech.end_sample - aside)
        at = _least_probable(zone, probability, sample_rate_hz)
        left, right = _apart(part, [(at, 0)], Break.SPEECH)
        waiting += [right, left]


def _least_probable(zone: Region, probability: NDArray[np.float32], sample_rate_hz: int) -> int:
    """Middle of the least probable frame that lies in `zone`; the middle of the zone where it holds no frame."""
    first, last = _frames(zone, sample_rate_hz, len(probability))
    if first >= last:
        return (zone.start_sample + zone.end_sample) // 2
    frame = first + int(np.argmin(probability[first:last]))
    return rescale(frame * FRAME + FRAME // 2, ANALYSIS_RATE_HZ, sample_rate_hz)


def _frames(region: Region, sample_rate_hz: int, n_frames: int) -> tuple[int, int]:
    """First and one past the last of `n_frames` frames that lies wholly in `region`."""
    first = -(-rescale(region.start_sample, sample_rate_hz, ANALYSIS_RATE_HZ) // FRAME)
    return first, min(n_frames, rescale(region.end_sample, sample_rate_hz, ANALYSIS_RATE_HZ) // FRAME)


def _apart(atom: Atom, places: Iterable[tuple[int, int]], through: Break) -> list[Atom]:
    """`atom` in parts that touch at `places`, each a sample and the length of the pause there."""
    parts: list[Atom] = []
    rest = atom
    for at, pause in places:
        parts.append(replace(rest, speech=Region(rest.speech.start_sample, at), tail=0, after=through, pause=pause))
        rest = replace(rest, speech=Region(at, rest.speech.end_sample), lead=0)
    return [*parts, rest]
