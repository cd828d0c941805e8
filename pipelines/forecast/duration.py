"""How long a cluster takes: units longest first, each to whoever is free first, with what spot machines lose."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

import numpy as np

from pipelines.forecast.settings import ClusterConfig

_FEW = 100_000
"""Above so many units the last one to end no longer matters beside the sum."""


def duration_s(unit_s: np.ndarray, cluster: ClusterConfig) -> float:
    """Seconds from asking for machines to the last commit; `unit_s`: a worker's seconds for each unit."""
    if not len(unit_s):
        return cluster.start_s
    taken = with_losses(unit_s / cluster.speed, cluster)
    if len(taken) > _FEW:
        return cluster.start_s + max(float(taken.max()), float(taken.sum()) / cluster.workers)
    return cluster.start_s + _makespan(sorted(taken.tolist(), reverse=True), cluster.workers)


def with_losses(unit_s: np.ndarray, cluster: ClusterConfig) -> np.ndarray:
    """Expected seconds until each unit is through, where a machine may be taken away while it works.

    Losses come at rate r (Poisson), a lost unit begins again after `start_s`: (e^(r t) - 1) (1 / r + start_s).
    """
    rate = cluster.preemptions_per_hour / 3600 if cluster.spot else 0.0
    if rate == 0:
        return unit_s
    return np.asarray(np.expm1(rate * unit_s) * (1 / rate + cluster.start_s))


def _makespan(longest_first: Iterable[float], workers: int) -> float:
    free = [0.0] * workers
    last = 0.0
    for seconds in longest_first:
        end = heapq.heappop(free) + seconds
        heapq.heappush(free, end)
        last = max(last, end)
    return last
