"""The room without a voice, from around an utterance."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas.sound import Region, merged, overlap_samples
from tests.transforms.builders import track_of
from transforms.pauses import _gaps, pauses_near

RATE = 16_000


def seconds(start: float, end: float) -> Region:
    return Region(round(start * RATE), round(end * RATE))


def track(tmp_path, length_s: float = 20.0):
    """Its samples say which second they are of."""
    return track_of(tmp_path, np.repeat(np.arange(length_s, dtype=np.float32) / 100, RATE))


def test_the_nearest_pauses_come_in_order_of_time(tmp_path):
    speech = [seconds(0, 3), seconds(4, 8), seconds(9, 20)]
    found = pauses_near(track(tmp_path), speech, seconds(4, 8))
    assert set(np.round(found * 100)) == {3, 8}
    assert len(found) == round(2 * 0.9 * RATE)


def test_speech_that_never_stops_gives_nothing(tmp_path):
    assert len(pauses_near(track(tmp_path), [seconds(0, 20)], seconds(4, 8))) == 0


def test_nothing_is_taken_from_far_away(tmp_path):
    assert len(pauses_near(track(tmp_path, 50), [seconds(0, 39)], seconds(4, 8))) == 0


@given(
    st.lists(st.tuples(st.integers(0, 900), st.integers(1, 100)), max_size=12), st.integers(0, 500), st.integers(1, 400)
)
def test_no_gap_holds_speech(pairs, low, length):
    speech = merged(Region(start, start + n) for start, n in pairs)
    gaps = _gaps(speech, low, low + length, 2)
    assert all(overlap_samples(gap, speech) == 0 for gap in gaps)
    assert all(low <= gap.start_sample and gap.end_sample <= low + length for gap in gaps)
    assert gaps == sorted(gaps)
