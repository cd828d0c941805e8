"""Which words an utterance gets: all that is said in it and nothing else, or none."""

from __future__ import annotations

import pytest

from schemas.catalogue import CatalogueRow, TextSpan
from schemas.sound import Region, Turn
from tests.transforms.builders import bare_track, recording_of
from transforms.cut import Cut
from transforms.items import Recording
from transforms.transcript import text_of

RATE = 16_000


def _region(start_s: float, end_s: float) -> Region:
    return Region(round(start_s * RATE), round(end_s * RATE))


def _said(
    row: CatalogueRow, *speech: tuple[float, float], other_track: tuple[tuple[float, float], ...] | None = None
) -> Recording:
    tracks = [bare_track(100 * RATE)] + ([bare_track(100 * RATE, channel=1)] if other_track is not None else [])
    regions = [[_region(*span) for span in spans] for spans in (speech, other_track or ())][: len(tracks)]
    turns = [[Turn(region, f"spk{n:02d}") for region in found] for n, found in enumerate(regions)]
    return recording_of(tracks, row, speech=regions, turns=turns)


def _cut(*speech: tuple[float, float], track_index: int = 0) -> Cut:
    region = _region(max(0, speech[0][0] - 0.1), speech[-1][1] + 0.1)
    return Cut(track_index, region, "spk00", tuple(_region(*span) for span in speech))


def _spans(*spans: tuple[float, float, str]) -> CatalogueRow:
    return CatalogueRow(text_spans=tuple(TextSpan(start_s=a, end_s=b, text=text) for a, b, text in spans))


WHOLE = CatalogueRow(text=" the whole text \n")


def test_the_only_utterance_gets_the_text_of_the_recording() -> None:
    assert text_of(_said(WHOLE, (1, 5)), _cut((1, 5)), 1) == "the whole text"


def test_one_of_several_does_not() -> None:
    assert text_of(_said(WHOLE, (1, 5), (9, 15)), _cut((1, 5)), 2) is None


def test_nor_one_of_two_people_who_speak_at_once() -> None:
    assert text_of(_said(WHOLE, (1, 5)), _cut((1, 5)), 2) is None


def test_nor_the_only_one_where_some_speech_was_put_aside() -> None:
    assert text_of(_said(WHOLE, (1, 5), (9, 9.6)), _cut((1, 5)), 1) is None
    assert text_of(_said(WHOLE, (1, 5), (9, 9.15)), _cut((1, 5)), 1) is None
    assert text_of(_said(WHOLE, (1, 5)), _cut((1, 4.5)), 1) is None
    assert text_of(_said(WHOLE, (1, 5), other_track=((8, 9),)), _cut((1, 5)), 1) is None


def test_an_edge_of_a_region_is_no_word() -> None:
    assert text_of(_said(WHOLE, (1, 5)), _cut((1.1, 4.9)), 1) == "the whole text"


def test_no_text_is_none_and_not_empty() -> None:
    assert text_of(_said(CatalogueRow(), (1, 5)), _cut((1, 5)), 1) is None
    assert text_of(_said(CatalogueRow(text="  "), (1, 5)), _cut((1, 5)), 1) is None
    assert text_of(_said(_spans((50, 60, "elsewhere")), (1, 5), (50, 60)), _cut((1, 5)), 2) is None
    assert text_of(_said(_spans((1, 5, "")), (1, 5)), _cut((1, 5)), 2) is None


def test_spans_within_are_joined_in_order() -> None:
    row = _spans((5, 8, " you "), (1, 4, "how are"), (20, 30, "fine"))
    recording = _said(row, (1, 4), (5, 8), (20, 30))
    assert text_of(recording, _cut((1, 4), (5, 8)), 2) == "how are you"
    assert text_of(recording, _cut((20, 30)), 2) == "fine"


@pytest.mark.parametrize(
    ("start_s", "end_s", "expected"),
    [
        (1.0, 11.0, "ten seconds"),
        (0.0, 11.0, "ten seconds"),  # silence before it is nobody's
        (1.0, 30.0, "ten seconds"),  # and so is silence after it, however long
        (1.0, 11.4, "ten seconds"),  # an end that is off by less than half a second
        (1.0, 15.0, None),  # goes on in the next utterance
        (1.0, 12.5, None),
        (6.0, 11.0, None),  # the first five seconds have no words
    ],
)
def test_a_span_counts_by_the_speech_in_it(start_s: float, end_s: float, expected: str | None) -> None:
    recording = _said(_spans((start_s, end_s, "ten seconds")), (1, 11), *(((11.2, 25),) if end_s < 20 else ()))
    assert text_of(recording, _cut((1, 11)), 2) == expected


def test_a_span_that_is_cut_through_leaves_both_sides_without_text() -> None:
    recording = _said(_spans((1, 5, "one"), (5, 9, "two three")), (1, 7), (7.5, 9))
    assert text_of(recording, _cut((1, 7)), 2) is None
    assert text_of(recording, _cut((7.5, 9)), 2) is None


def test_speech_without_a_span_leaves_the_utterance_without_text() -> None:
    assert text_of(_said(_spans((1, 3, "half")), (1, 3), (3.5, 6)), _cut((1, 3), (3.5, 6)), 2) is None


def test_words_that_vad_did_not_hear_count_by_place() -> None:
    row = _spans((1, 5, "loud"), (5.2, 5.6, "soft"), (6, 9, "again"))
    recording = _said(row, (1, 5), (6, 9))
    assert text_of(recording, _cut((1, 5), (6, 9)), 2) == "loud soft again"
    assert text_of(recording, _cut((1, 5)), 2) == "loud"


def test_spans_in_which_another_track_speaks_are_nobodys_for_sure() -> None:
    row = _spans((1, 5, "question"), (6, 9, "answer"))
    recording = _said(row, (1, 5), other_track=((6, 9),))
    assert text_of(recording, _cut((1, 5)), 2) == "question"
    assert text_of(recording, _cut((6, 9), track_index=1), 2) == "answer"
    both = _said(row, (1, 5), other_track=((3, 5), (6, 9)))
    assert text_of(both, _cut((1, 5)), 2) is None


def test_the_text_of_the_whole_is_preferred_where_it_is_whole() -> None:
    row = CatalogueRow(text="a clean text", text_spans=(TextSpan(start_s=1, end_s=5, text="a rough text"),))
    assert text_of(_said(row, (1, 5)), _cut((1, 5)), 1) == "a clean text"
    assert text_of(_said(row, (1, 5), (8, 9)), _cut((1, 5)), 2) == "a rough text"
