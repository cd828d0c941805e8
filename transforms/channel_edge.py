"""Where a spectrum ends in a cliff: a resampler's or a codec's cut-off, though a noise lies above it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BELOW_HZ = 500
"""Width over which the level below the cliff is read."""
_TRANSITION = 0.04
"""What a steep filter needs to fall, as a share of its frequency."""
_ROOM = 0.04
"""Share of the band that has to be left above the cliff, for it to be told from the end of the band."""
_FLAT_DB = 4.0
"""What is left above a cliff is a dither's or a converter's noise: none of it stands higher than this over its mean."""
_LOWEST_HZ = 1_000
_DEEP = 2.0


def cliff_hz(power: NDArray[np.floating], bin_hz: float, least_db: float) -> float | None:
    """Frequency at which `power`, a smoothed spectrum, shape (bins,), falls by `least_db` and more within a few per
    cent, to a noise that is flat from there on; None where it does not.

    Speech, rooms and microphones fall more slowly: of 23 clean clips of 16 kHz none falls by 12 dB but three that had
    a cut-off of their own.
    """
    level = 10 * np.log10(power[:-2] + 1e-14)
    n, width = len(level), max(3, int(_BELOW_HZ / bin_hz))
    at = np.arange(width, n)
    foot = at + np.maximum(2, np.rint(_TRANSITION * at).astype(np.intp))
    fits = (foot < n - max(3, int(_ROOM * n))) & (at * bin_hz > _LOWEST_HZ)
    at, foot = at[fits], foot[fits]
    if not at.size:
        return None
    upwards = level[::-1]
    highest = np.maximum.accumulate(upwards)[::-1]
    mean = (np.cumsum(upwards) / np.arange(1, n + 1))[::-1]
    below = np.median(np.lib.stride_tricks.sliding_window_view(level, width), axis=1)
    drop = below[at - width] - highest[foot]
    # So deep a cliff needs no flat land below it: a codec leaves its own crumbs there.
    drop = np.where((highest[foot] - mean[foot] <= _FLAT_DB) | (drop >= _DEEP * least_db), drop, -np.inf)
    steepest = int(np.argmax(drop))
    if drop[steepest] < least_db:
        return None
    # The last that stands clearly above the noise.
    content = np.flatnonzero(level > highest[foot[steepest]] + min(6.0, float(drop[steepest]) / 2))
    return (int(content[-1]) + 0.5) * bin_hz
