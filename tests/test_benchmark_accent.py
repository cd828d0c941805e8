"""The benchmark of accents leaves out whom it reports on, and knows when it has found nothing."""

from __future__ import annotations

from benchmarks import accent
from benchmarks.accent import Clip, left_out_in_turn, shown
from tests.accents import LABELS, said
from tests.shared_audio import shared_audio


def clips(differ: bool) -> list[Clip]:
    """Three people of each label; their sound differs by it, or they are all alike."""
    people = ((0, 1, 2), (0, 1, 2)) if differ else ((0, 3, 4), (1, 2, 5))
    return [
        Clip("made", f"{label}-{person}", label, said(label if differ else "welsh", person, clip))
        for label, theirs in zip(LABELS, people, strict=True)
        for person in theirs
        for clip in range(2)
    ]


def test_a_difference_that_people_left_out_share_is_found() -> None:
    row = left_out_in_turn("made", "voice", clips(differ=True), slice(0, 256))
    assert (row.speakers, row.utterances, row.commonest) == ((3, 3), 12, 0.5)
    assert row.accuracy == 1.0
    assert (row.as_good, row.ways) == (2, 20), (
        "the true way to deal the labels out, and the one with their names swapped"
    )


def test_where_there_is_none_other_ways_to_deal_do_as_well() -> None:
    row = left_out_in_turn("made", "voice", clips(differ=False), slice(0, 256))
    assert row.as_good > 4
    assert "made" in shown([row])


def test_people_alone_with_their_label_are_left_out() -> None:
    alone = [*clips(differ=True), Clip("made", "x", "irish", said("welsh", 4, 0))]
    assert left_out_in_turn("made", "voice", alone, slice(0, 256)).labels == LABELS


def test_everybody_with_a_known_accent_is_among_the_clips() -> None:
    shared_audio("speakers.csv")
    found = accent.known_clips()
    assert len({clip.speaker for clip in found if clip.collection == "VCTK"}) == 9
    assert len({clip.speaker for clip in found if clip.collection == "spoken digits"}) == 6
    assert min(len(clip.samples) for clip in found) > 16_000
