"""Parting a stretch at its best pauses: against every other way to part it, and where it is one long sound."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.sound import Region
from transforms.partition import Atom, Break, partition, split


@st.composite
def _stretches(draw: st.DrawFn) -> list[Atom]:
    atoms: list[Atom] = []
    at = draw(st.integers(0, 5))
    for _ in range(draw(st.integers(1, 8))):
        length, pause = draw(st.integers(1, 12)), draw(st.integers(0, 6))
        through = draw(st.sampled_from(list(Break))) if pause == 0 else Break.SILENCE
        atoms.append(Atom(Region(at, at + length), 0, 0, through, pause))
        at += length + pause
    return atoms


def _every_way(atoms: Sequence[Atom]) -> list[list[Sequence[Atom]]]:
    ways = []
    for choice in range(1 << (len(atoms) - 1)):
        edges = [0, *(n + 1 for n in range(len(atoms) - 1) if choice >> n & 1), len(atoms)]
        ways.append([atoms[a:b] for a, b in pairwise(edges)])
    return ways


def _length(piece: Sequence[Atom]) -> int:
    return piece[-1].end_sample - piece[0].start_sample


def _cost(pieces: Sequence[Sequence[Atom]], shortest: int) -> tuple[int, int, int, int, int]:
    breaks = [piece[-1] for piece in pieces[:-1]]
    return (
        sum(_length(piece) for piece in pieces if _length(piece) < shortest),
        sum(atom.after is Break.SPEECH for atom in breaks),
        sum(atom.after is Break.PAUSE for atom in breaks),
        len(pieces),
        -sum(atom.pause for atom in breaks),
    )


@settings(max_examples=300)
@given(_stretches(), st.integers(1, 8), st.integers(12, 40))
def test_no_other_way_is_cheaper(atoms: list[Atom], shortest: int, longest: int) -> None:
    pieces = partition(atoms, shortest, longest)
    assert [atom for piece in pieces for atom in piece] == atoms
    assert all(_length(piece) <= longest for piece in pieces)
    allowed = [way for way in _every_way(atoms) if all(_length(piece) <= longest for piece in way)]
    assert _cost(pieces, shortest) == min(_cost(way, shortest) for way in allowed)


def test_the_longest_pauses_part_it() -> None:
    pauses = [2, 5, 1, 3]
    atoms, at = [], 0
    for pause in [*pauses, 0]:
        atoms.append(Atom(Region(at, at + 10), pause=pause))
        at += 10 + pause
    assert [len(piece) for piece in partition(atoms, 1, 40)] == [2, 3]


def test_nothing_is_parted_that_fits() -> None:
    atoms = [Atom(Region(0, 10), pause=5), Atom(Region(15, 30))]
    assert partition(atoms, 1, 30) == [atoms]
    assert partition([], 1, 30) == []


RATE = 16_000


def _probability(seconds: float, dips: Sequence[tuple[float, float, float]] = ()) -> np.ndarray:
    probability = np.full(round(seconds * RATE / 512), 0.9, np.float32)
    for start_s, end_s, value in dips:
        probability[round(start_s * RATE / 512) : round(end_s * RATE / 512)] = value
    return probability


def _split(seconds: float, probability: np.ndarray, room_s: float = 30) -> list[Atom]:
    atom = Atom(Region(0, round(seconds * RATE)), lead=3, tail=4, pause=77)
    parts = split(atom, probability, RATE, 0.15, round(room_s * RATE), RATE)
    assert (parts[0].lead, parts[-1].tail, parts[-1].pause, parts[-1].after) == (3, 4, 77, Break.SILENCE)
    assert all(a.speech.end_sample == b.speech.start_sample for a, b in pairwise(parts))
    assert parts[-1].speech.end_sample == atom.speech.end_sample
    return parts


def test_what_fits_is_left_whole() -> None:
    assert len(_split(29.9, _probability(29.9, [(10, 10.1, 0)]))) == 1


def test_short_pauses_within_are_found_and_speech_is_not_touched() -> None:
    parts = _split(50, _probability(50, [(12, 12.1, 0.1), (29, 29.13, 0.02), (49.9, 50, 0)]))
    assert [part.after for part in parts[:-1]] == [Break.PAUSE, Break.PAUSE]
    assert abs(parts[0].speech.end_sample / RATE - 12.05) < 0.03
    assert abs(parts[1].speech.end_sample / RATE - 29.06) < 0.03
    assert parts[1].pause > parts[0].pause


def test_without_any_pause_it_parts_at_the_least_probable_frame() -> None:
    parts = _split(50, _probability(50, [(3, 3.1, 0.3), (21, 21.032, 0.4)]))
    assert [part.after for part in parts[:-1]] == [Break.SPEECH]
    assert abs(parts[0].speech.end_sample / RATE - 21) < 0.05


def test_many_dips_leave_few_places_to_part() -> None:
    """An hour of noise that VAD takes for speech must not take long."""
    hour = np.tile(np.array([0.9, 0.05], np.float32), 56_250)
    parts = split(Atom(Region(0, 3600 * RATE)), hour, RATE, 0.15, 30 * RATE, RATE)
    assert len(parts) < 3 * 3600 / (30 / 16) + 2
    assert all(part.after is Break.PAUSE for part in parts[:-1])


def test_thinning_the_dips_keeps_those_without_which_speech_were_cut() -> None:
    # Only the last of the first three dips is within 30 s of the fourth.
    parts = _split(50, _probability(50, [(0.6, 0.7, 0), (0.8, 0.84, 0), (1.2, 1.26, 0), (31, 31.04, 0)]))
    assert [part.after for part in parts[:-1]] == [Break.PAUSE] * (len(parts) - 1)


@settings(max_examples=50)
@given(st.floats(31, 400), st.integers(0, 10), st.sampled_from([8_000, 11_025, 16_000, 48_000]))
def test_whatever_its_length_each_part_fits(seconds: float, seed: int, rate: int) -> None:
    probability = np.random.default_rng(seed).uniform(0.1, 1, int(seconds * 16_000 / 512) + 1).astype(np.float32)
    atom = Atom(Region(100, 100 + int(seconds * rate)))
    parts = split(atom, probability, rate, 0.101, 10 * rate, rate)
    assert parts[0].speech.start_sample == 100
    assert parts[-1].speech.end_sample == atom.speech.end_sample
    assert all(part.speech.n_samples <= 10 * rate for part in parts)
