"""A ratio after NIST's `stnr` (SPQA 2.3, 1992): two places of the histogram of short-time power.

Noise is the lower mode of the histogram of 20 ms power in dB, found by the rise of its left flank; speech is its 95th
percentile.
"""

from __future__ import annotations

import numpy as np

from schemas.sound import ANALYSIS_RATE_HZ, Samples

FRAME = ANALYSIS_RATE_HZ // 50
BIN_DB = 0.5
_SMOOTH = 7


def stnr_db(samples: Samples) -> float | None:
    """Peak speech power over noise power, dB; None with less than 0.4 s that is not digital silence."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME)[:: FRAME // 2] if len(samples) >= FRAME else None
    if frames is None:
        return None
    power = np.square(frames, dtype=np.float64).mean(axis=1)
    level_db = 10 * np.log10(power[power > 1e-12])
    if len(level_db) < 40:
        return None
    speech_db = float(np.percentile(level_db, 95))
    return speech_db - _lower_mode(level_db)


def _lower_mode(level_db: np.ndarray) -> float:
    """The first maximum of the smoothed histogram, from below, that holds a fifth of the highest."""
    low, high = float(level_db.min()) - 4, float(level_db.max()) + 4
    counts, edges = np.histogram(level_db, np.arange(low, high + BIN_DB, BIN_DB))
    smooth = np.convolve(counts, np.ones(_SMOOTH) / _SMOOTH, "same")
    is_peak = (smooth[1:-1] >= smooth[:-2]) & (smooth[1:-1] > smooth[2:]) & (smooth[1:-1] >= smooth.max() / 5)
    at = int(np.flatnonzero(is_peak)[0]) + 1 if is_peak.any() else int(np.argmax(smooth))
    return float(edges[at] + BIN_DB / 2)
