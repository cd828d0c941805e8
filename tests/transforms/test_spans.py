"""Arithmetic on lists of regions against the same on sets of samples."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from schemas.sound import Region, merged
from transforms.spans import common, remaining, within

REGION = st.tuples(st.integers(0, 60), st.integers(1, 20)).map(lambda pair: Region(pair[0], pair[0] + pair[1]))
SPANS = st.lists(REGION, max_size=8).map(merged)


def _samples(spans: Sequence[Region]) -> set[int]:
    return {sample for span in spans for sample in range(span.start_sample, span.end_sample)}


@given(SPANS, SPANS)
def test_common_and_remaining_are_intersection_and_difference(left: list[Region], right: list[Region]) -> None:
    assert _samples(common(left, right)) == _samples(left) & _samples(right)
    assert _samples(remaining(left, right)) == _samples(left) - _samples(right)


@given(SPANS, SPANS)
def test_answers_are_in_order_and_apart(left: list[Region], right: list[Region]) -> None:
    for found in (common(left, right), remaining(left, right)):
        assert all(a.end_sample <= b.start_sample for a, b in pairwise(found))


@given(REGION, SPANS)
def test_within_is_the_part_in_a_region(region: Region, spans: list[Region]) -> None:
    assert _samples(within(region, spans)) == _samples([region]) & _samples(spans)
