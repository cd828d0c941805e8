"""From what validates: corrections of what the network says, and of how far off it says it may be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.fit import LEAST_SPREAD, Scores


@dataclass(frozen=True, slots=True)
class Calibration:
    """For SNR, C50 and ln RT60: an offset to add, and a factor for the spread."""

    offset: tuple[float, float, float]
    spread: tuple[float, float, float]


def calibrated(scores: Scores) -> Calibration:
    """The median error goes, and spreads become, taken together, as large as the errors that are seen.

    C50 and RT60 by what was in a room: of dry speech only a bound is known.
    """
    offsets, spreads = [], []
    for k in range(3):
        kept = np.ones(len(scores.is_dry), np.bool_) if k == 0 else ~scores.is_dry
        error = scores.true[kept, k] - scores.told[kept, k]
        offset = float(np.median(error))
        offsets.append(round(offset, 4))
        # One sum over the other: the mean of their ratios would follow the few that were sure and wrong.
        expected = np.maximum(np.exp(scores.told[kept, 3 + k]), LEAST_SPREAD[k])
        spreads.append(round(float(np.abs(error - offset).sum() / expected.sum()), 4))
    return Calibration((offsets[0], offsets[1], offsets[2]), (spreads[0], spreads[1], spreads[2]))
