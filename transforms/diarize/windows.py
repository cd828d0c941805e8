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
STEP = 120
UNHEARD = 30
"""What may stay unheard of a region, where hearing it took one window more. Overlapping windows, and hearing the last
bit, made no measured difference to the diarization error, and cost up to twice as much."""
SHORTEST = 10
"""Shorter regions (they do not come out of VAD) have no window of their own."""

_HOP = ANALYSIS_RATE_HZ // 100
Frames = NDArray[np.int64]
Mask = NDArray[np.bool_]
"""Some of the windows, shape (n,)."""


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

    def __getitem__(self, index: Frames) -> Windows:
        """Some of the windows, in order."""
        return Windows(
            self.start[index], self.end[index], self.region[index], self.own_start[index], self.own_end[index]
        )

    @property
    def is_whole(self) -> Mask:
        """Windows of full length, which a voice is told by."""
        return self.end - self.start >= WINDOW

    @property
    def seconds(self) -> NDArray[np.float64]:
        """Seconds of speech that each window answers for."""
        return np.asarray((self.own_end - self.own_start) * FRAME_S, np.float64)


def windows_of(regions: Sequence[Region]) -> Windows:
    """Windows of 1.2 s within each region (16 kHz samples), evenly spaced, never across a pause. A region shorter than
    a window is one window."""
    spans: list[tuple[int, int, int, int, int]] = []
    for index, region in enumerate(regions):
        start, end = -(-region.start_sample // _HOP), region.end_sample // _HOP
        if end - start < SHORTEST:
            continue
        room = max(0, end - start - WINDOW)
        more = -(-max(0, room - UNHEARD) // STEP)
        starts = [start + room * n // more for n in range(more + 1)] if more else [start + room // 2]
        spans += [(at, min(end, at + WINDOW), index, start, end) for at in starts]
    first, last, of, *edges = np.array(spans, np.int64).reshape(-1, 5).T
    return Windows(first, last, of, *_owned((first + last) // 2, of, *edges))


def _owned(middle: Frames, region: Frames, region_start: Frames, region_end: Frames) -> tuple[Frames, Frames]:
    """Neighbours in a region part half-way between their middles; the outermost own up to its edges."""
    between = (middle[:-1] + middle[1:]) // 2
    joined = region[:-1] == region[1:]
    own_start, own_end = region_start.copy(), region_end.copy()
    own_start[1:][joined] = between[joined]
    own_end[:-1][joined] = between[joined]
    return own_start, own_end


def runs_of(mask: Mask) -> list[slice]:
    """Each run of windows that follow each other, in order of time."""
    change = np.flatnonzero(np.diff(np.r_[False, mask, False].astype(np.int8)))
    return [slice(start, end) for start, end in change.reshape(-1, 2).tolist()]


def longest_run_s(windows: Windows, mask: Mask) -> float:
    """Seconds of the longest such run; 0 where there is none."""
    return max((float(windows.seconds[run].sum()) for run in runs_of(mask)), default=0.0)
