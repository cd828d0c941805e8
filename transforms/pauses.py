"""What the room sounds like around an utterance while nobody speaks: many utterances hold no pause of their own."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from schemas.sound import ANALYSIS_RATE_HZ, Region, Samples
from transforms.items import Track

REACH_S = 30.0
"""How far from the utterance is looked; further away the noise may be another."""
WANTED_S = 1.0
MARGIN_S = 0.05
"""Beside speech the first and last moments of a pause are still breath and echo."""


def pauses_near(track: Track, speech: Sequence[Region], near: Region) -> Samples:
    """Up to about `WANTED_S` seconds of 16 kHz samples, shape (n,), of the pauses nearest to `near`, in order of time.

    `speech` are the track's regions in order, `near` the utterance; both in the recording's own samples. Empty where
    speech never stops within `REACH_S`.
    """
    rate = track.sample_rate_hz
    margin, reach = round(MARGIN_S * rate), round(REACH_S * rate)
    low, high = max(0, near.start_sample - reach), min(track.n_samples, near.end_sample + reach)
    gaps = sorted(_gaps(speech, low, high, margin), key=lambda gap: _distance(gap, near))
    chosen: list[Region] = []
    missing = round(WANTED_S * rate)
    for gap in gaps:
        if missing <= 0:
            break
        chosen.append(gap)
        missing -= gap.n_samples
    pieces = [region.rescaled(rate, ANALYSIS_RATE_HZ) for region in sorted(chosen)]
    found = [track.read_analysis(piece.start_sample, piece.end_sample) for piece in pieces]
    return np.concatenate(found) if found else np.zeros(0, np.float32)


def _gaps(speech: Sequence[Region], low: int, high: int, margin: int) -> list[Region]:
    """Pauses between `low` and `high`, each without its margins and no longer than is wanted of it."""
    gaps: list[Region] = []
    at = low
    first = max(0, bisect_left(speech, Region(low, low + 1)) - 1)
    for region in [*speech[first:], None]:
        end = high if region is None or region.start_sample >= high else region.start_sample
        if end - margin > at + margin:
            gaps.append(Region(at + margin, end - margin))
        if region is None or end == high:
            break
        at = max(at, region.end_sample)
    return gaps


def _distance(gap: Region, near: Region) -> int:
    """Samples between the two; the earlier of two that are as far comes first."""
    return max(gap.start_sample - near.end_sample, near.start_sample - gap.end_sample, 0)
