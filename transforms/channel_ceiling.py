"""Clipping that left no flat tops: soft, or hard and then resampled or coded. The levels crowd under a ceiling."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

_LEVELS = 8_192
_DENSE = 1 << 20
_STRIDE = 8
"""Every sample of the first million, then every eighth."""

_CROWDED = ((0.05, 1.39), (0.02, 1.28), (0.01, 1.22), (0.005, 1.11), (0.002, 1.05))
"""For the loudest so many samples: when the level that a tenth of them pass is less than so many times the level that
all of them pass, they crowd. Nearly the least of 160 clean, coded and limited clips of speech of the `train` split."""

_LEAST = 20
"""Samples beyond the higher of the two levels, at least."""
_NEAR = 0.93
"""Samples from here on to the ceiling are taken for clipped: a codec's ripple is that high."""
_TONE = 0.55
"""A median of the levels this near to the highest is a tone's, not a voice's or a music's."""


class CeilingMeter:
    """Levels of one channel, counted. The length of a block changes nothing."""

    def __init__(self) -> None:
        self._seen = 0
        self._count = np.zeros(_LEVELS + 1, np.int64)

    def feed(self, samples: Floats) -> None:
        """`samples` of the channel, full scale 1, shape (n,)."""
        dense = max(0, min(samples.size, _DENSE - self._seen))
        start = dense + -(self._seen + dense) % _STRIDE
        self._seen += samples.size
        for part in (samples[:dense], samples[start::_STRIDE]):
            if part.size:
                level = np.minimum(np.abs(part) * _LEVELS, _LEVELS).astype(np.int32)
                self._count += np.bincount(level, minlength=_LEVELS + 1)

    def clipped_ratio(self, min_level: float) -> float:
        """Share of samples at the ceiling, 0..1; 0 where levels thin out as they do in sound that met none, or where
        the ceiling is under `min_level`."""
        above = np.cumsum(self._count[::-1])[::-1]
        total = int(above[0])
        if not total:
            return 0.0

        def level_of(share: float) -> float:
            return float(np.searchsorted(-above, -share * total, side="right") - 1) + 0.5

        for share, ratio in _CROWDED:
            lower, ceiling = level_of(share), level_of(share / 10)
            if share / 10 * total < _LEAST or ceiling < min_level * _LEVELS:
                continue
            if ceiling < ratio * lower and level_of(0.5) < _TONE * ceiling:
                return float(above[int(_NEAR * ceiling)]) / total
        return 0.0
