"""From voices of windows to turns, on regions whose answer is known."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas.sound import Region, merged, total_samples
from transforms.diarize.pieces import filled, pieces_of, widened
from transforms.diarize.windows import windows_of

RATE = 16_000


def region(start_s: float, end_s: float) -> Region:
    return Region(round(start_s * RATE), round(end_s * RATE))


def test_a_region_parts_where_the_voice_changes() -> None:
    voiced = [region(1, 5.8)]
    windows = windows_of(voiced)
    voice = np.array([0, 0, 1, 1])
    assert pieces_of(voiced, voiced, windows, voice, RATE) == [(region(1, 3.4), 0), (region(3.4, 5.8), 1)]


def test_what_is_too_short_for_a_window_goes_to_the_nearest() -> None:
    voiced = [region(0, 1.2), region(3, 3.05), region(4, 5.2)]
    windows = windows_of(voiced)
    assert pieces_of(voiced, voiced, windows, np.array([0, 1]), RATE)[1] == (voiced[1], 1)


def test_pieces_are_widened_to_their_regions_and_meet_in_the_pauses() -> None:
    pieces = [(region(1, 2), 0), (region(2.4, 3), 1), (region(3.2, 4), 1), (region(6, 7), 0)]
    regions = [region(0.8, 4.2), region(6, 7.5)]
    assert widened(pieces, regions) == [
        (region(0.8, 2.2), 0),
        (region(2.2, 3.1), 1),
        (region(3.1, 4.2), 1),
        (region(6, 7.5), 0),
    ]


def test_short_pauses_of_one_voice_are_filled_and_others_left() -> None:
    pieces = [(region(0, 1), 0), (region(1.4, 2), 0), (region(2.2, 3), 1), (region(3.2, 4), 0), (region(5, 6), 0)]
    assert filled(pieces, RATE // 2) == [(region(0, 2), 0), *pieces[2:]]


@given(st.lists(st.tuples(st.integers(1, 400), st.integers(1, 400), st.integers(0, 2)), min_size=1, max_size=20))
def test_all_speech_is_somebodys_and_nobodys_twice(spans: list[tuple[int, int, int]]) -> None:
    at, voiced = 0, []
    for pause, length, who in spans:
        voiced.append((Region(at + pause, at + pause + length), who))
        at += pause + length
    regions = [Region(max(0, r.start_sample - 20), r.end_sample + 20) for r in merged([v for v, _ in voiced], 100)]
    covered = widened(voiced, regions)
    assert total_samples([r for r, _ in covered]) == total_samples(regions) == sum(r.n_samples for r, _ in covered)
    assert [who for _, who in covered] == [who for _, who in voiced]
