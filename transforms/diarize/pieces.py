"""From voices of windows to turns: where regions of speech part, and what lies between."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from schemas.sound import ANALYSIS_RATE_HZ, Region, rescale
from transforms.diarize.encoder import HOP
from transforms.diarize.windows import Windows

Piece = tuple[Region, int]
"""A stretch of speech and whose it is, in the track's own samples."""


def pieces_of(
    voiced: Sequence[Region], heard: Sequence[Region], windows: Windows, voice: NDArray[np.int64], rate: int
) -> list[Piece]:
    """What is voiced, parted where the voice changes. `heard` are the same spans at 16 kHz, which `windows` are of."""
    pieces: list[Piece] = []
    for index, region in enumerate(voiced):
        own = np.flatnonzero(windows.region == index)
        if not len(own):
            nearest = int(np.argmin(np.abs(windows.start - heard[index].start_sample // HOP)))
            pieces.append((region, int(voice[nearest])))
            continue
        starts = [own[0], *(b for a, b in pairwise(own) if voice[a] != voice[b])]
        cuts = [rescale(int(windows.own_start[at]) * HOP, ANALYSIS_RATE_HZ, rate) for at in starts[1:]]
        bounds = [region.start_sample, *cuts, region.end_sample]
        for at, (start, end) in zip(starts, pairwise(bounds), strict=True):
            inside = Region(start, end) & region if start < end else None
            if inside is not None:
                pieces.append((inside, int(voice[at])))
    return pieces


def widened(pieces: Sequence[Piece], regions: Sequence[Region]) -> list[Piece]:
    """The pieces, made to cover the regions of speech that they lie in: the first and the last reach to its ends, and
    neighbours meet in the middle of the pause between them. Both are in order."""
    out: list[Piece] = []
    at = 0
    for region in regions:
        inside: list[Piece] = []
        while at < len(pieces) and pieces[at][0].start_sample < region.end_sample:
            inside.append(pieces[at])
            at += 1
        middles = [(a.end_sample + b.start_sample) // 2 for (a, _), (b, _) in pairwise(inside)]
        bounds = [region.start_sample, *middles, region.end_sample]
        out += [(Region(a, b), who) for (a, b), (_, who) in zip(pairwise(bounds), inside, strict=bool(inside))]
    return out


def filled(pieces: Sequence[Piece], gap: int) -> list[Piece]:
    """Neighbours of one voice with at most `gap` samples between them are one turn."""
    out: list[Piece] = []
    for region, who in pieces:
        if out and out[-1][1] == who and region.start_sample - out[-1][0].end_sample <= gap:
            region = Region(out.pop()[0].start_sample, region.end_sample)
        out.append((region, who))
    return out
