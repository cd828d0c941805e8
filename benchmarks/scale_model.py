"""A run of very many units on very many workers, event by event: who waits for whom, what is lost, when it ends.

Two kinds of events stand in one heap: a worker is free, and a worker has its unit prepared and begins to write. Between
them lies what the unit takes; a spot machine may be taken away in the middle, and then its unit begins again elsewhere.
The store answers so many requests a second and no more, whoever asks.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Measured:
    """What real runs on this machine took (`benchmarks.scale_simulation` measures it)."""

    cpu_s_per_audio_s: float
    unit_cpu_s: float
    """Of a unit, whatever is in it."""
    spread: tuple[float, ...]
    """CPU seconds per estimated second of sources of all kinds, as multiples of their mean."""
    start_s: float
    """CPU seconds until a worker has opened its models."""
    bytes_out_per_audio_s: float
    stages: dict[str, float]
    """CPU seconds per hour of audio."""


@dataclass(frozen=True, slots=True)
class World:
    """What is not measured but assumed; `docs/planning.md` says why so."""

    petabyte_audio_s: float = 1e15 / 16_000
    """A petabyte of MP3 at 128 kbit/s."""
    source_s: float = 2_090.0
    """So that it is thirty million objects."""
    unit_reads: float = 30.4
    unit_writes: float = 25.0
    source_reads: float = 8.0
    source_writes: float = 2.0
    """With the ranges of 33 MB; as `benchmarks.requests` counts them on gs://."""
    latency_s: float = 0.05
    """Of a request of the unit's own, one after the other; sources are read while others are prepared."""
    reads_per_s: float = 5_000.0
    writes_per_s: float = 1_000.0
    doubles_every_s: float = 1_200.0
    """What a bucket answers grows while it is asked for more."""
    grows_to: float = 8.0
    slow_sources: float = 1e-4
    slow_s: float = 60.0
    """Mean of what a slow object takes longer."""
    speed: float = 1.0
    """Of a core, beside one of the machine that was measured on."""
    worker_sigma: float = 0.1
    stragglers: float = 0.01
    straggler_factor: float = 2.0
    preemptions_per_hour: float = 0.05
    replace_s: float = 120.0
    kinship: float = 0.5
    """Share of a source's deviation that its whole unit has: neighbours are alike."""


@dataclass(slots=True)
class Outcome:
    """What became of a run."""

    units: int
    simulated: int
    makespan_s: float
    ideal_s: float
    """Until these workers, fast and slow, had heard the audio and done nothing else."""
    busy_s: float = 0.0
    lost_s: float = 0.0
    """Worker seconds of work that was begun and taken away."""
    waited_s: float = 0.0
    """Worker seconds of waiting for the store's limits."""
    tail_s: float = 0.0
    """From the first worker without work to the end."""
    preempted: int = 0
    reads: float = 0.0
    writes: float = 0.0


class _Store:
    """Answers at a rate that grows, in the order of asking."""

    def __init__(self, per_s: float, world: World) -> None:
        self._per_s, self._world, self._free_s = per_s, world, 0.0

    def wait_s(self, now: float, requests: float) -> float:
        """Seconds from `now` until so many are answered."""
        growth = min(self._world.grows_to, 2.0 ** min(now / self._world.doubles_every_s, 60.0))
        self._free_s = max(self._free_s, now) + requests / (self._per_s * growth)
        return self._free_s - now


@dataclass(slots=True)
class _Draws:
    """Chance, drawn a million at a time: a call of numpy for each would take most of the time."""

    rng: np.random.Generator
    spread: np.ndarray
    kept: list[float]
    times: list[float]

    def factor(self) -> float:
        if not self.kept:
            self.kept = self.rng.choice(self.spread, 1 << 20).tolist()
        return self.kept.pop()

    def exponential(self) -> float:
        if not self.times:
            self.times = self.rng.exponential(1.0, 1 << 20).tolist()
        return self.times.pop()


_FREE, _WRITES = 0, 1


def simulate(
    measured: Measured, world: World, workers: int, unit_audio_s: float, most_units: int, seed: int
) -> Outcome:
    """One run. Of more than `most_units` units only so many are simulated, and the steady part before them is added:
    it is the middle half of what was simulated, which knows neither start nor end."""
    return _Run(measured, world, workers, unit_audio_s, most_units, seed).outcome()


class _Run:
    def __init__(
        self, measured: Measured, world: World, workers: int, unit_audio_s: float, most_units: int, seed: int
    ) -> None:
        self.measured, self.world, self.workers = measured, world, workers
        self.units = max(1, round(world.petabyte_audio_s / unit_audio_s))
        self.simulated = min(self.units, most_units)
        self.sources = unit_audio_s / world.source_s
        self.work_s = unit_audio_s * measured.cpu_s_per_audio_s / world.speed
        rng = np.random.default_rng(seed)
        speeds = np.exp(rng.normal(0.0, world.worker_sigma, workers))
        speeds[rng.random(workers) < world.stragglers] *= world.straggler_factor
        self.slowness = (speeds / np.exp(world.worker_sigma**2 / 2)).tolist()
        spread = 1 + world.kinship * (np.array(measured.spread) - 1)
        self.draws = _Draws(rng, spread / spread.mean(), [], [])
        self.reading, self.writing = _Store(world.reads_per_s, world), _Store(world.writes_per_s, world)
        self.rate = world.preemptions_per_hour / 3600
        capacity = sum(1 / slowness for slowness in self.slowness)
        self.result = Outcome(self.units, self.simulated, 0.0, self.units * self.work_s / capacity)
        self.fresh, self.done = self.simulated, 0
        self.again: list[tuple[float, float]] = []
        """A heap of (when, work factor) of units that were taken away."""
        self.halves = [0.0, 0.0]
        self.first_idle_s = -1.0

    def outcome(self) -> Outcome:
        heap = [(self.measured.start_s, n, _FREE, 0.0) for n in range(self.workers)]
        last_s = 0.0
        while heap:
            now, worker, kind, begun = heapq.heappop(heap)
            if kind == _WRITES:
                end = self._written(now, begun)
                last_s = max(last_s, end)
                heapq.heappush(heap, (end, worker, _FREE, 0.0))
            elif (event := self._begin(now, worker)) is not None:
                heapq.heappush(heap, event)
        return self._summed(last_s)

    def _begin(self, now: float, worker: int) -> tuple[float, int, int, float] | None:
        """The worker's next event; None where it has nothing left to wait for."""
        if self.again and (self.again[0][0] <= now or not self.fresh):
            when, factor = self.again[0]
            if when > now:
                return (when, worker, _FREE, 0.0)
            heapq.heappop(self.again)
        elif self.fresh:
            self.fresh -= 1
            factor = self.draws.factor()
        else:
            if self.first_idle_s < 0:
                self.first_idle_s = now
            # Somebody's unit may still be taken away, but there are others to take it.
            return None
        reads = self.world.unit_reads + self.world.source_reads * self.sources
        self.result.reads += reads
        waited = self.reading.wait_s(now, reads)
        own = self.world.unit_reads * self.world.latency_s
        slow = self.world.slow_s * self.draws.exponential() * (self.draws.exponential() < self._slow_chance())
        takes = waited + own + slow + self.measured.unit_cpu_s + self.work_s * factor * self.slowness[worker]
        self.result.waited_s += waited
        if self.rate and (left := self.draws.exponential() / self.rate) < takes:
            self.result.lost_s += left
            self.result.preempted += 1
            heapq.heappush(self.again, (now + left, factor))
            return (now + left + self.world.replace_s + self.measured.start_s, worker, _FREE, 0.0)
        return (now + takes, worker, _WRITES, now)

    def _slow_chance(self) -> float:
        """Of an exponential to lie below: that at least one source is slow."""
        return self.world.slow_sources * self.sources

    def _written(self, now: float, begun: float) -> float:
        writes = self.world.unit_writes + self.world.source_writes * self.sources
        waited = self.writing.wait_s(now, writes)
        end = now + waited + self.world.unit_writes * self.world.latency_s
        self.result.writes += writes
        self.result.waited_s += waited
        self.result.busy_s += end - begun
        self.done += 1
        if self.done == self.simulated // 4:
            self.halves[0] = end
        if self.done == 3 * self.simulated // 4:
            self.halves[1] = end
        return end

    def _summed(self, last_s: float) -> Outcome:
        more = (self.units - self.simulated) / max(1, self.simulated)
        steady_s = (self.halves[1] - self.halves[0]) / max(1, self.simulated // 2)
        result = self.result
        result.makespan_s = last_s + steady_s * (self.units - self.simulated)
        result.tail_s = last_s - self.first_idle_s if self.first_idle_s >= 0 else 0.0
        for name in ("busy_s", "lost_s", "waited_s", "reads", "writes"):
            setattr(result, name, getattr(result, name) * (1 + more))
        result.preempted = round(result.preempted * (1 + more))
        return result
