"""From the sample to all sources: ratios within strata, and how far chance may have led them astray.

Within a stratum every figure is taken per second of audio as estimated from the bytes, which are known of every source;
what costs time is taken per such second with two more for each source, for a thousand small files are no large one. The
interval comes from drawing
the sample anew (1,000 times; Rao and Wu 1988, "Resampling inference with complex survey data": one source fewer is
drawn than there are, so that small strata are not thought more certain than they are).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from pipelines.forecast.strata import SOURCE_LOAD_S, Key, Population, Stratum
from pipelines.forecast.trial import Measured, Trial
from schemas.forecast import COVERAGE, Interval

_DRAWS = 1000
_SEED = 20261121
_OF_LOAD = ("stages_cpu_s", "other_cpu_s", "wall_s")
QUANTITIES = ("audio_s", "utterance_s", "utterances", "stages_cpu_s", "other_cpu_s", "wall_s", "tar_bytes")


@dataclass(frozen=True, slots=True)
class Line:
    """A size or a time of a unit: `fixed` for the unit, and so much more for each row."""

    fixed: float
    per_row: float


class Totals:
    """Sums over all sources: the first of each array is the estimate, the others are draws."""

    def __init__(self, population: Population, trial: Trial) -> None:
        self._measured = trial.measured
        drawn = _drawn(trial.measured)
        by_audio = _weights(drawn, population, trial.measured, lambda one: one.estimated_s)
        by_load = _weights(drawn, population, trial.measured, load_s)
        self.sums = {
            name: np.asarray(
                (by_load if name in _OF_LOAD else by_audio) @ [float(getattr(m, name)) for m in trial.measured]
            )
            for name in QUANTITIES
        }

    def per_load(self, value: Callable[[Measured], float], population: Population) -> dict[Key, float]:
        """Of each stratum, per second of its load; one that nothing was measured of borrows its neighbours'."""
        owners = _owners(population.strata, {one.stratum for one in self._measured})
        return {
            key: _ratio([m for m in self._measured if m.stratum in owners[key]], value) for key in population.strata
        }


def interval(draws: np.ndarray) -> Interval:
    """The estimate, which stands first, between the quantiles of the draws."""
    low, high = np.quantile(draws[1:], [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    value = float(draws[0])
    return Interval(value=value, low=min(float(low), value), high=max(float(high), value))


def line_through(singles: Sequence[float], rows: Sequence[int], together: float) -> Line:
    """A unit's figure as a line in its rows, through the mean of those of one source and the one of all of them."""
    if not singles:
        return Line(0.0, 0.0)
    mean, mean_rows = sum(singles) / len(singles), sum(rows) / len(singles)
    if len(singles) == 1 or sum(rows) <= mean_rows:
        return Line(mean, 0.0)
    per_row = max(0.0, (together - mean) / (sum(rows) - mean_rows))
    return Line(max(0.0, mean - per_row * mean_rows), per_row)


def load_s(one: Measured | Stratum) -> float:
    """What it takes, as seconds of audio."""
    return one.load_s if isinstance(one, Stratum) else one.estimated_s + SOURCE_LOAD_S


def _drawn(measured: Sequence[Measured]) -> np.ndarray:
    """How often each source counts: once in the estimate, and by chance in each draw; shape (1 + draws, measured)."""
    chance = np.random.default_rng(_SEED)
    groups = _groups(measured)
    drawn = np.ones((1 + _DRAWS, len(measured)))
    for members in groups.values():
        n = len(members)
        if n > 1:
            counts = chance.multinomial(n - 1, np.full(n, 1 / n), size=_DRAWS)
            drawn[1:, members] = counts * (n / (n - 1))
    drawn[1:] = np.maximum(0.0, 1 + (drawn[1:] - 1) * _widening(len(measured) - len(groups)))
    return drawn


def _weights(
    drawn: np.ndarray, population: Population, measured: Sequence[Measured], size: Callable[[Measured | Stratum], float]
) -> np.ndarray:
    """How many sources of its `size` each measured one stands for; shape (1 + draws, measured)."""
    owners, groups = _owners(population.strata, {one.stratum for one in measured}), _groups(measured)
    sizes = np.array([size(one) for one in measured])
    weights = np.zeros_like(drawn)
    for key, stratum in population.strata.items():
        members = [n for owner in owners[key] for n in groups[owner]]
        size_drawn = drawn[:, members] @ sizes[members]
        share = np.divide(size(stratum), size_drawn, out=np.zeros_like(size_drawn), where=size_drawn > 0)
        weights[:, members] += drawn[:, members] * share[:, None]
    return weights


def _widening(freedom: int) -> float:
    """How much further Student's t reaches than the normal distribution, which is what draws spread like."""
    z = NormalDist().inv_cdf((1 + COVERAGE) / 2)
    if freedom < 1:
        return 1.0  # nothing was drawn twice: there is nothing to widen
    # Abramowitz and Stegun 26.7.5
    return 1 + (z**2 + 1) / (4 * freedom) + (5 * z**4 + 16 * z**2 + 3) / (96 * freedom**2)


def _groups(measured: Sequence[Measured]) -> dict[Key, list[int]]:
    groups: dict[Key, list[int]] = {}
    for n, one in enumerate(measured):
        groups.setdefault(one.stratum, []).append(n)
    return groups


def _owners(strata: Mapping[Key, Stratum], measured: set[Key]) -> dict[Key, list[Key]]:
    """Whose sources speak for each stratum: its own, else the nearest class of its extension, else everybody's."""
    found: dict[Key, list[Key]] = {}
    for key in strata:
        if key in measured:
            found[key] = [key]
            continue
        same = sorted((abs(other[1] - key[1]), other) for other in measured if other[0] == key[0])
        found[key] = [same[0][1]] if same else sorted(measured)
    return found


def _ratio(members: Sequence[Measured], value: Callable[[Measured], float]) -> float:
    return sum(value(one) for one in members) / sum(load_s(one) for one in members)
