"""From a plan to its forecast: strata, sample, totals, and what a cluster makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipelines.config import Config
from pipelines.forecast import requests
from pipelines.forecast.choosing import chosen
from pipelines.forecast.duration import duration_s
from pipelines.forecast.prices import PriceTable, cost
from pipelines.forecast.settings import ClusterConfig
from pipelines.forecast.strata import SOURCE_LOAD_S, Population, population, row_keys
from pipelines.forecast.totals import Line, Totals, interval, line_through
from pipelines.forecast.trial import TAR_END, Measured, Trial, run_trial
from pipelines.supervisor import cores
from schemas.errors import ConfigError
from schemas.forecast import Forecast, Interval, StratumSample
from schemas.model import nearest

if TYPE_CHECKING:
    import pyarrow as pa

HERE = "here"
_MOST_OF_A_STRATUM = 256
_BATCH_ROWS = 65_536
_NONE = Interval(value=0.0, low=0.0, high=0.0)


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan that lies on this machine's disk, and what it is for."""

    path: Path
    sha256: str
    recipe_sha256: str
    roots: Mapping[str, str]
    ledger_uri: str
    units: int
    lake_uri: str

    def batches(self, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.path) as file:
            yield from file.iter_batches(batch_size=_BATCH_ROWS, columns=columns, use_threads=False)


def named_cluster(config: Config, name: str | None) -> tuple[str, ClusterConfig]:
    """The cluster of that name in `clusters`; `here`, and None, is this machine. Raises ConfigError."""
    known = {HERE: ClusterConfig(cores=config.workers or cores(), start_s=0.0), **config.clusters}
    wanted = name or HERE
    if wanted not in known:
        raise ConfigError(
            f"no cluster `{wanted}`{nearest(wanted, known)}; the configuration has {', '.join(sorted(known))} "
            f"(more below `clusters`)"
        )
    return wanted, known[wanted]


def forecast(
    config: Config, plan: Plan, cluster_name: str | None, prices: PriceTable | None, spent_cpu_s: float = 0.0
) -> Forecast:
    """Measures a sample of the plan's sources and foretells the rest; `spent_cpu_s`: what starting, listing and
    planning took, which the run will spend again. Raises ConfigError for an unknown cluster or a price that is
    missing, and whatever a run raises where the sample cannot be prepared."""
    name, cluster = named_cluster(config, cluster_name)
    found = population(plan.batches(), _MOST_OF_A_STRATUM)
    trial = run_trial(config, plan.roots, plan.ledger_uri, plan.recipe_sha256, chosen(found, config.plan.sample))
    made = _Made(plan, found, trial, cluster)
    return Forecast(
        plan_sha256=plan.sha256,
        recipe_sha256=plan.recipe_sha256,
        measured_at=datetime.now(UTC),
        sources=found.sources,
        units=plan.units,
        size_bytes=found.size_bytes,
        strata=_strata(found, trial),
        sample_cpu_s=round(trial.cpu_s, 3),
        audio_s=interval(made.sums["audio_s"]),
        utterance_s=interval(made.sums["utterance_s"]),
        utterances=interval(made.sums["utterances"]),
        work_cpu_s=interval(made.work_s),
        start_cpu_s=round(spent_cpu_s + trial.own_cpu_s + trial.start_cpu_s, 3),
        gpu_s=interval(made.wall_s) if cluster.gpus else _NONE,
        output_bytes=interval(made.output),
        storage_bytes=interval(made.storage),
        read_requests=interval(made.reads),
        write_requests=interval(made.writes),
        cluster=name,
        workers=cluster.workers,
        duration_s=interval(made.duration),
        cost=cost(prices, cluster, made.duration, made.storage, made.reads, made.writes) if prices else None,
    )


class _Made:
    """Every figure in draws: the estimate first, then the sample drawn anew."""

    def __init__(self, plan: Plan, found: Population, trial: Trial, cluster: ClusterConfig) -> None:
        totals = Totals(found, trial)
        units, sources = plan.units, found.sources
        self.sums = totals.sums
        singles, together = trial.measured, trial.together
        # Measured one to a unit; the run shares what a unit costs among many, and hears many at once.
        shared = _line("other_cpu_s", trial, [1] * len(singles))
        saved = together.stages_cpu_s / alone if (alone := sum(one.stages_cpu_s for one in singles)) else 1.0
        in_units = self.sums["stages_cpu_s"] * saved + self.sums["other_cpu_s"]
        self.work_s = np.maximum(in_units - shared.fixed * (sources - units), 0.0)
        waits = _ratio(sum(one.wall_s for one in singles), sum(_cpu_s(one) for one in singles))
        self.wall_s = self.work_s * waits
        tars = self.sums["tar_bytes"] + TAR_END * units
        spoken = [one.utterances for one in singles]
        lines = {
            "utterances": _line("utterances", trial, spoken),
            "recordings": _line("recordings", trial, [1] * len(singles)),
        }
        rows = {"utterances": self.sums["utterances"], "recordings": np.full_like(tars, sources)}
        self.output = tars + sum(_parts(lines[kind], units, rows[kind]) for kind in lines)
        merged = sum(_parts(lines[kind], 1, rows[kind]) for kind in lines)
        self.storage = self.output + merged + trial.commit_bytes * units + plan.path.stat().st_size
        remote = [scheme for uri in plan.roots.values() if (scheme := requests.scheme_of(uri))]
        in_stores = requests.InStores(requests.scheme_of(plan.lake_uri), remote[0] if remote else None)
        self.reads = np.full_like(tars, requests.reads(units, sources, found.size_bytes, in_stores))
        self.writes = requests.writes(units, sources, tars, in_stores)
        self.duration = self._durations(plan, found, totals, shared.fixed, waits, cluster)

    def _durations(
        self, plan: Plan, found: Population, totals: Totals, unit_s: float, waits: float, cluster: ClusterConfig
    ) -> np.ndarray:
        """Units are scheduled once, as estimated; a draw in which there is more to do takes so much longer."""
        rates = totals.per_load(lambda one: _cpu_s(one) - unit_s, found)
        taken_s = np.full(plan.units, unit_s)
        for batch in plan.batches(["unit_index", "source_path", "source_size_bytes", "estimated_s"]):
            keys, which = row_keys(batch)
            rate = np.array([rates[key] for key in keys])[which]
            np.add.at(
                taken_s,
                batch.column("unit_index").to_numpy(),
                rate * (batch.column("estimated_s").to_numpy() + SOURCE_LOAD_S),
            )
        taken_s = np.maximum(taken_s, 0.0)
        taken_s *= self.work_s[0] / max(taken_s.sum(), 1e-9)
        planned = duration_s(taken_s * waits, cluster) - cluster.start_s
        return np.asarray(cluster.start_s + planned * self.work_s / max(self.work_s[0], 1e-9))


def _strata(found: Population, trial: Trial) -> tuple[StratumSample, ...]:
    measured: dict[object, list[Measured]] = {}
    for one in trial.measured:
        measured.setdefault(one.stratum, []).append(one)
    return tuple(
        StratumSample(
            extension=stratum.extension,
            from_bytes=stratum.from_bytes,
            sources=stratum.sources,
            size_bytes=stratum.size_bytes,
            measured=len(measured.get(key, ())),
            measured_bytes=sum(one.size_bytes for one in measured.get(key, ())),
        )
        for key, stratum in sorted(found.strata.items())
    )


def _parts(line: Line, files: int, rows: np.ndarray) -> np.ndarray:
    return np.asarray(line.fixed * files + line.per_row * rows)


def _line(name: str, trial: Trial, rows: list[int]) -> Line:
    """Of CPU seconds beside the stages, or of the bytes of a kind of part; sources that have no such part are left
    out."""
    values = [_value(one, name) for one in trial.measured]
    there = [n for n, value in enumerate(values) if value]
    return line_through([values[n] for n in there], [rows[n] for n in there], _value(trial.together, name))


def _value(one: Measured, name: str) -> float:
    return float(one.part_bytes[name]) if name in one.part_bytes else float(getattr(one, name))


def _cpu_s(one: Measured) -> float:
    return one.stages_cpu_s + one.other_cpu_s


def _ratio(one: float, other: float) -> float:
    return max(1.0, one / other) if other > 0 else 1.0
