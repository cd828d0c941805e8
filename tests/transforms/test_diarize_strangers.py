"""Is there a voice that nobody named: on vectors whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.catalogue import CatalogueRow, Role, Subject
from tests.transforms.test_diarize_clustering import people, said_by, windows_for
from transforms.diarize.clustering import unit
from transforms.diarize.strangers import Listened, longest_stranger_s, named_voices

ALIKE = 0.75
"""Cosine of two windows of one person; of two people in these tests: 0.3."""


def heard(who: list[int], voice: list[int] | None = None, seed: int = 0, pause_every: int = 5) -> Listened:
    """Windows of 1.2 s said by `who`, taken to be `voice` (by default, all one)."""
    rng = np.random.default_rng(seed)
    size = 256
    voices = np.sqrt(0.3) * np.eye(1, size) + np.sqrt(0.7) * np.eye(8, size, 1)
    noise = unit(rng.standard_normal((len(who), size)))
    vectors = unit(np.sqrt(ALIKE) * voices[who] + np.sqrt(1 - ALIKE) * noise)
    return Listened(vectors, windows_for(len(who), pause_every), np.array(voice or [0] * len(who)))


def test_one_person_is_no_stranger_to_themselves() -> None:
    assert [longest_stranger_s([heard([0] * n)], 1) for n in (1, 2, 5, 50, 1000)] == [0.0] * 5


@pytest.mark.parametrize("windows", [2, 3, 4, 6])
@pytest.mark.parametrize("at", [0, 20, 45])
def test_a_stretch_of_somebody_else_is_heard_for_its_seconds(windows: int, at: int) -> None:
    who = [0] * 45
    who[at:at] = [1] * windows
    assert longest_stranger_s([heard(who)], 1) == pytest.approx(1.2 * windows, abs=1.3)


def test_one_window_is_too_little_to_tell() -> None:
    assert longest_stranger_s([heard([0] * 20 + [1] + [0] * 20)], 1) == 0.0


def test_a_voice_with_turns_of_its_own_is_a_stranger_if_one_too_many() -> None:
    who = ([0] * 10 + [1] * 5) * 4
    assert longest_stranger_s([heard(who, who)], 1) == pytest.approx(24, abs=0.1)
    assert longest_stranger_s([heard(who, who)], 2) == 0.0


def test_two_who_are_named_may_take_turns_and_speak_at_once() -> None:
    who = ([0] * 6 + [1] * 6) * 5
    both = heard(who, who)
    blend = both.embeddings.copy()
    blend[10:14] = unit(blend[10:14] + blend[[0, 1, 2, 3]])
    assert longest_stranger_s([Listened(blend, both.windows, both.voice)], 2) == 0.0


def test_a_third_among_two_who_are_named_is_heard() -> None:
    who = ([0] * 10 + [1] * 10) * 3 + [2] * 5 + [0] * 10
    voice = [0 if w == 2 else w for w in who]
    assert longest_stranger_s([heard(who, voice)], 2) == pytest.approx(6, abs=1.3)


def test_strangers_make_up_for_named_people_whose_voice_has_no_turns() -> None:
    who = [0] * 40 + [1] * 5 + [0] * 10
    assert longest_stranger_s([heard(who)], 2) == 0.0
    assert longest_stranger_s([heard(who)], 1) > 4
    both = [0] * 40 + [1] * 5 + [0] * 10 + [2] * 3 + [0] * 10
    assert longest_stranger_s([heard(both)], 2) == pytest.approx(3.6, abs=1.3)


def test_stretches_of_one_stranger_count_together_and_those_of_two_do_not() -> None:
    same = [0] * 20 + [1] * 4 + [0] * 20 + [1] * 4 + [0] * 20
    other = [0] * 20 + [1] * 4 + [0] * 20 + [2] * 4 + [0] * 20
    assert longest_stranger_s([heard(same)], 1) == pytest.approx(9.6, abs=2.5)
    assert longest_stranger_s([heard(other)], 1) == pytest.approx(4.8, abs=1.3)


def test_who_is_named_on_one_track_is_no_stranger_on_another() -> None:
    left, right = heard([0] * 30), heard([1] * 30 + [0] * 5, seed=1)
    assert longest_stranger_s([left, right], 2) == 0.0
    third = heard([1] * 30 + [2] * 5, seed=1)
    assert longest_stranger_s([left, third], 2) == pytest.approx(6, abs=1.3)


def test_where_nobody_is_named_the_longest_voice_is_one_too_many() -> None:
    who = [0] * 10 + [1] * 20
    assert longest_stranger_s([heard(who, who)], 0) == pytest.approx(24, abs=0.1)
    assert longest_stranger_s([], 0) == 0.0
    assert longest_stranger_s([], 1) == 0.0


def test_the_answer_is_the_same_across_blocks() -> None:
    for start in (595, 598, 600, 603):
        who = [0] * start + [1] * 4 + [0] * 700
        assert longest_stranger_s([heard(who)], 1) == pytest.approx(4.8, abs=1.3)


def test_only_those_who_can_be_heard_are_counted() -> None:
    subjects = tuple(Subject(subject_id=role, role=role) for role in Role)
    assert named_voices(CatalogueRow(subjects=subjects)) == len(Role) - 1
    assert named_voices(CatalogueRow()) == 0


def test_silent_windows_do_no_harm() -> None:
    vectors = said_by(np.zeros(20, int), people(1))
    vectors[5:7] = 0
    assert longest_stranger_s([Listened(vectors, windows_for(20), np.zeros(20, np.int64))], 1) < 3


def test_a_stranger_under_the_main_voice_is_heard_where_two_are_known_to_speak() -> None:
    who = [0] * 20 + [1] * 4 + [0] * 20
    plain = heard(who)
    own = heard([0] * 44, seed=1).embeddings
    blend = plain.embeddings.copy()
    blend[20:24] = unit(own[20:24] + 0.5 * plain.embeddings[20:24])
    together = np.zeros(44)
    assert longest_stranger_s([Listened(blend, plain.windows, plain.voice)], 1) == 0.0
    assert longest_stranger_s([Listened(blend, plain.windows, plain.voice, together)], 1) == 0.0
    together[20:24] = 1.0
    assert longest_stranger_s([Listened(blend, plain.windows, plain.voice, together)], 1) == pytest.approx(4.8, abs=1.3)


def test_one_voice_is_no_stranger_however_much_it_sounds_like_two() -> None:
    alone = heard([0] * 50)
    sure = Listened(alone.embeddings, alone.windows, alone.voice, np.full(50, 0.2))
    assert longest_stranger_s([sure], 1) == 0.0
