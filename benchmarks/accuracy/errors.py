"""How far estimates are from the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.result import shown


@dataclass(frozen=True, slots=True)
class Errors:
    """`n` clips, of which `unknown` got no estimate; the others' errors in the unit of the truth.

    `bias` is the mean error (above zero: reads high), `mae` the mean of its size, `p90` what nine in ten stay within,
    `rank` Spearman's correlation of estimate and truth. None where too few were estimated.
    """

    n: int
    unknown: int
    bias: float | None = None
    mae: float | None = None
    p90: float | None = None
    rank: float | None = None

    HEAD = ("n", "null", "bias", "MAE", "90 %", "rank")

    def cells(self) -> list[str]:
        numbers = [shown(value, 2) for value in (self.bias, self.mae, self.p90)]
        return [f"{self.n}", f"{self.unknown}", *numbers, shown(self.rank, 3)]


def errors(truth: Sequence[float], told: Sequence[float | None]) -> Errors:
    """Errors of what was told, in the order of the truth.

    >>> errors([1.0, 2.0, 3.0], [1.5, 2.5, 3.5])
    Errors(n=3, unknown=0, bias=0.5, mae=0.5, p90=0.5, rank=1.0)
    """
    known = [(a, b) for a, b in zip(truth, told, strict=True) if b is not None]
    unknown = len(truth) - len(known)
    if not known:
        return Errors(len(truth), unknown)
    true, said = np.array(known, np.float64).T
    off = said - true
    size = np.abs(off)
    bias, mae, p90 = (round(float(x), 3) for x in (off.mean(), size.mean(), np.percentile(size, 90)))
    return Errors(len(truth), unknown, bias, mae, p90, rank_correlation(true, said))


def rank_correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float | None:
    """Spearman's; ties share their mean rank. None with fewer than three or where one side is constant."""
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return round(float(np.corrcoef(_ranks(a), _ranks(b))[0, 1]), 3)


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count - 1) / 2)[place], np.float64)


def line_through(told: Sequence[float | None], truth: Sequence[float]) -> tuple[float, float]:
    """Offset and slope of the straight line from an estimator's scale to the truth's, by least absolute error: the best
    that a person could do who calibrates it on other clips."""
    known = np.array([(a, b) for a, b in zip(told, truth, strict=True) if a is not None], np.float64)
    said, true = known.T
    design = np.stack([np.ones(len(said)), said], axis=1)
    weight = np.ones(len(said))
    for _ in range(50):
        line = np.linalg.lstsq(design * weight[:, None], true * weight, rcond=None)[0]
        weight = 1 / np.sqrt(np.maximum(np.abs(true - design @ line), 0.05))
    return float(line[0]), float(line[1])
