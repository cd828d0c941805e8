"""Where the encoder listens: windows within regions of speech, and which part of the speech each answers for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.sound import ANALYSIS_RATE_HZ, Region

FRAME_S = 0.01
"""Everything here counts in frames of 10 ms."""
WINDOW = 120
STEP = 100
SHORTEST = 10
"""Shorter regions (they do not come out of VAD) have no window of their own."""

_HOP = ANALYSIS_RATE_HZ // 100
Frames = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows in order of time, all arrays of shape (n,), in frames.

    `start` to `end` is heard; `own_start` to `own_end` is what the window's label is given to: they touch within a
    region and together cover it.
    """

    start: Frames
    end: Frames
    region: Frames
    own_start: Frames
    own_end: Frames

    def __len__(self) -> int:
        return len(self.start)

    @property
    def is_whole(self) -> NDArray[np.bool_]:
        """Windows of full length, which a voice is told by."""
        return self.end - self.start >= WINDOW

    @property
    def seconds(self) -> NDArray[np.float64]:
        """Seconds of speech that each window answers for."""
        return np.asarray((self.own_end - self.own_start) * FRAME_S, np.float64)


def windows_of(regions: Sequence[Region]) -> Windows:
    """Windows of 1.2 s every 1.0 s within each region (16 kHz samples), never across a pause. The last one of a region
    ends with it; a region shorter than a window is one window."""
    spans: list[tuple[int, int, int]] = []
    for index, region in enumerate(regions):
        start, end = -(-region.start_sample // _HOP), region.end_sample // _HOP
        if end - start < SHORTEST:
            continue
        starts = list(range(start, max(start + 1, end - WINDOW + 1), STEP))
        if starts[-1] + WINDOW < end:
            starts.append(end - WINDOW)
        spans += [(at, min(end, at + WINDOW), index) for at in starts]
    first, last, of = np.array(spans, np.int64).reshape(-1, 3).T
    return Windows(first, last, of, *_owned(first, last, of))


def _owned(start: Frames, end: Frames, region: Frames) -> tuple[Frames, Frames]:
    """Neighbours in a region part half-way between their middles."""
    middle = (start + end) // 2
    between = (middle[:-1] + middle[1:]) // 2
    joined = region[:-1] == region[1:]
    own_start, own_end = start.copy(), end.copy()
    own_start[1:] = np.where(joined, between, start[1:])
    own_end[:-1] = np.where(joined, between, end[:-1])
    return own_start, own_end
