"""The distribution of one measurement, with edges that a person can read."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

_BINS = 24
_TICKS = 4
_FEW = 200
"""Under so many values every one of them is drawn; above, the outermost 0.5 % at each end are counted in words."""

_SLACK = 1e-9
"""A value on an edge may lie this share of a bin beside it, for 0.3 is not three times 0.1."""

UNITS = {"db": "dB", "s": "s", "lufs": "LUFS", "dbfs": "dBFS", "hz": "Hz"}
"""Ending of a column's name to the unit as it is written."""

Records = Callable[[str], list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of the bins from `low`, each `width` wide; `counts` is empty where all values are the same, or none is."""

    name: str
    description: str
    unit: str
    measured: int
    missing: int
    median: float | None = None
    middle: tuple[float, float] | None = None
    """Between these lie nine of ten values."""
    low: float = 0.0
    width: float = 1.0
    counts: tuple[int, ...] = ()
    below: int = 0
    above: int = 0

    @property
    def high(self) -> float:
        return self.low + self.width * len(self.counts)

    def place(self, value: float) -> float:
        """Where `value` lies between both ends, in percent."""
        return 100 * (value - self.low) / (self.high - self.low)

    @property
    def ticks(self) -> tuple[float, ...]:
        """Round numbers along the axis, both ends among them where they are round."""
        step = nice(max((self.high - self.low) / _TICKS, self.width))
        first = math.ceil(round(self.low / step, 6))
        last = math.floor(round(self.high / step, 6))
        return tuple(n * step for n in range(first, last + 1))


def nice(size: float) -> float:
    """The smallest of 1, 2, 2.5 and 5 times a power of ten that is not below `size`.

    >>> [nice(0.3), nice(24.0), nice(2.2)]
    [0.5, 25.0, 2.5]
    """
    power = 10.0 ** math.floor(math.log10(size))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= size * (1 - 1e-9))


def histogram(records: Records, table: str, name: str, description: str) -> Histogram:
    """The distribution of column `name` of `table`; `records` answers a query."""
    column = '"' + name.replace('"', '""') + '"'
    found = records(
        f"select count({column}) as measured, count(*) - count({column}) as missing, min({column}) as lowest, "
        f"max({column}) as highest, quantile_cont({column}, [0.005, 0.05, 0.5, 0.95, 0.995]) as at from {table}"
    )[0]
    unit = UNITS.get(name.rsplit("_", 1)[-1], "")
    bare = Histogram(name, description, unit, found["measured"], found["missing"])
    if not found["measured"]:
        return bare
    at = [float(value) for value in found["at"]]
    ends = (float(found["lowest"]), float(found["highest"]))
    drawn = (at[0], at[4]) if found["measured"] >= _FEW and at[4] > at[0] else ends
    told = replace(bare, median=at[2], middle=(at[1], at[3]))
    return told if drawn[0] == drawn[1] else _drawn(records, table, column, told, *drawn)


def _drawn(records: Records, table: str, column: str, told: Histogram, low: float, high: float) -> Histogram:
    """`told` with its counts between the round numbers around `low` and `high`."""
    width = nice((high - low) / _BINS)
    first = math.floor(low / width + _SLACK)
    bins = max(math.ceil(high / width - _SLACK), first + 1) - first
    low, high = first * width, (first + bins) * width
    counted = records(
        f"select least(floor(({column} - {low!r}) / {width!r} + {_SLACK})::bigint, {bins}) as bin, count(*) as n, "
        f"count(*) filter ({column} <= {high + _SLACK * width!r}) as inside "
        f"from {table} where {column} is not null group by 1"
    )
    found = {row["bin"]: row for row in counted}
    counts = [found[n]["n"] if n in found else 0 for n in range(bins)]
    over = found.get(bins, {"n": 0, "inside": 0})
    counts[-1] += over["inside"]  # what equals the upper end belongs to the last bin
    below = sum(row["n"] for row in counted if row["bin"] < 0)
    return replace(told, low=low, width=width, counts=tuple(counts), below=below, above=over["n"] - over["inside"])
