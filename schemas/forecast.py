"""What a plan foretells of its run, as it is kept beside the run and compared with what became of it."""

from __future__ import annotations

from pydantic import Field

from schemas.instants import Instant
from schemas.model import Frozen

COVERAGE = 0.9
"""Share of plans whose truth is meant to lie within the interval, as far as chance in choosing the sample goes."""


class Interval(Frozen):
    """A figure with the ends between which it probably lies."""

    value: float
    low: float
    high: float


class StratumSample(Frozen):
    """Sources of one extension and one class of size: how many there are, and how many of them were measured."""

    extension: str
    from_bytes: int
    sources: int
    size_bytes: int
    measured: int
    measured_bytes: int


class Cost(Frozen):
    """What the run costs by a table of prices; `storage_month` is what it leaves behind, for its first month."""

    prices: str
    is_example: bool
    oldest: str
    """Date of the oldest price that was used."""
    currency: str
    compute: Interval
    requests: Interval
    storage_month: Interval
    total: Interval


class Forecast(Frozen):
    """`runs/<number>/forecast-<digest>.json`. It holds sums and no source's name."""

    format_version: int = 1
    plan_sha256: str
    """Of the plan as it was written: a run that starts with this plan is the one that is meant."""
    recipe_sha256: str
    measured_at: Instant
    coverage: float = COVERAGE
    sources: int
    units: int
    size_bytes: int
    strata: tuple[StratumSample, ...] = ()
    sample_cpu_s: float = Field(default=0.0, description="CPU seconds that measuring took")
    audio_s: Interval
    utterance_s: Interval
    utterances: Interval
    work_cpu_s: Interval
    """CPU seconds of the units, as commits count them."""
    start_cpu_s: float
    """CPU seconds of everything else: starting, listing, opening models, waiting, the snapshot."""
    gpu_s: Interval
    output_bytes: Interval
    """Tars and parts, as commits name them."""
    storage_bytes: Interval
    """These with commits, plan and snapshot."""
    read_requests: Interval
    write_requests: Interval
    cluster: str
    workers: int
    duration_s: Interval
    cost: Cost | None = None

    @property
    def measured(self) -> int:
        return sum(stratum.measured for stratum in self.strata)

    @property
    def measured_share(self) -> float:
        """Of the planned bytes."""
        return sum(stratum.measured_bytes for stratum in self.strata) / self.size_bytes if self.size_bytes else 0.0
