"""Spans of sound, in integer samples at the recording's own rate. Half-open: `end_sample` is not part of a span."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
"""Mono float32 samples in −1…1, shape (n,)."""

ANALYSIS_RATE_HZ = 16_000
"""Every measurement and model hears the recording at this rate, mono."""


def seconds(samples: int, sample_rate_hz: int) -> float:
    """Samples as seconds, rounded to the microsecond."""
    return round(samples / sample_rate_hz, 6)


def rescale(sample: int, from_rate_hz: int, to_rate_hz: int) -> int:
    """The nearest sample index at another rate. Rounds, so that there and back lands where it began."""
    return (sample * to_rate_hz * 2 + from_rate_hz) // (2 * from_rate_hz)


@dataclass(frozen=True, slots=True, order=True)
class Region:
    """A half-open, non-empty span `[start_sample, end_sample)`.

    >>> Region(10, 30) & Region(20, 40)
    Region(start_sample=20, end_sample=30)
    >>> Region(12, 20) in Region(10, 30)
    True
    """

    start_sample: int
    end_sample: int

    def __post_init__(self) -> None:
        if not 0 <= self.start_sample < self.end_sample:
            raise ValueError(f"a region needs 0 <= start < end, not {self.start_sample}..{self.end_sample}")

    @property
    def n_samples(self) -> int:
        return self.end_sample - self.start_sample

    def __and__(self, other: Region) -> Region | None:
        start = max(self.start_sample, other.start_sample)
        end = min(self.end_sample, other.end_sample)
        return Region(start, end) if start < end else None

    def __contains__(self, other: Region) -> bool:
        return self.start_sample <= other.start_sample and other.end_sample <= self.end_sample

    def rescaled(self, from_rate_hz: int, to_rate_hz: int) -> Region:
        """This span at another sample rate; at least one sample long."""
        start = rescale(self.start_sample, from_rate_hz, to_rate_hz)
        return Region(start, max(start + 1, rescale(self.end_sample, from_rate_hz, to_rate_hz)))


@dataclass(frozen=True, slots=True, order=True)
class Turn:
    """A region with a speaker label that is local to its recording (`spk00`), and is not an identity."""

    region: Region
    speaker: str


def merged(regions: Iterable[Region], max_gap_samples: int = 0) -> list[Region]:
    """The union of `regions` in order, with gaps of up to `max_gap_samples` closed."""
    out: list[Region] = []
    for region in sorted(regions):
        if out and region.start_sample - out[-1].end_sample <= max_gap_samples:
            last = out.pop()
            region = Region(last.start_sample, max(last.end_sample, region.end_sample))
        out.append(region)
    return out


def total_samples(regions: Iterable[Region]) -> int:
    """Samples covered by the union of `regions`."""
    return sum(region.n_samples for region in merged(regions))


def overlap_samples(region: Region, others: Sequence[Region]) -> int:
    """Samples of `region` that the union of `others` covers."""
    return total_samples(part for other in others if (part := region & other))
