"""Arithmetic on lists of regions that are in order and apart, as `schemas.sound.merged` makes them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from schemas.sound import Region


def within(region: Region, spans: Sequence[Region]) -> list[Region]:
    """The parts of `spans` that lie in `region`, in order.

    >>> within(Region(5, 25), [Region(0, 10), Region(20, 30), Region(40, 50)])
    [Region(start_sample=5, end_sample=10), Region(start_sample=20, end_sample=25)]
    """
    first = bisect_right(spans, region.start_sample, key=lambda span: span.end_sample)
    last = bisect_left(spans, region.end_sample, key=lambda span: span.start_sample)
    return [part for span in spans[first:last] if (part := region & span)]


def common(left: Sequence[Region], right: Sequence[Region]) -> list[Region]:
    """What lies in both, in order."""
    return [part for region in left for part in within(region, right)]


def remaining(spans: Sequence[Region], removed: Sequence[Region]) -> list[Region]:
    """What of `spans` is left without `removed`, in order.

    >>> remaining([Region(0, 10)], [Region(2, 4), Region(8, 20)])
    [Region(start_sample=0, end_sample=2), Region(start_sample=4, end_sample=8)]
    """
    left: list[Region] = []
    for span in spans:
        at = span.start_sample
        for hole in within(span, removed):
            if at < hole.start_sample:
                left.append(Region(at, hole.start_sample))
            at = hole.end_sample
        if at < span.end_sample:
            left.append(Region(at, span.end_sample))
    return left
