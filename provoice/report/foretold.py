"""What the plan foretold of a run beside what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lake.forecasts import forecast_of
from lake.lake import Lake
from lake.reader import LakeReader
from provoice import words
from schemas.forecast import Forecast, Interval
from schemas.records import Commit, RunRecord


@dataclass(frozen=True, slots=True)
class Beside:
    """One figure, as foretold and as it came, in words."""

    name: str
    foretold: str
    low: str
    high: str
    actual: str
    error: str
    """Of the forecast, as a share of what came; empty where nothing did."""


@dataclass(frozen=True, slots=True)
class PlanAndActual:
    """A run that was planned with a forecast."""

    run_id: str
    measured: str
    committed: int
    units: int
    rows: tuple[Beside, ...]

    @property
    def is_complete(self) -> bool:
        return self.committed >= self.units


def plans_and_actuals(lake: Lake, run_id: str | None = None) -> tuple[PlanAndActual, ...]:
    """One for each run (or the one asked for) of which a plan foretold anything; its commits are then read once."""
    reader = LakeReader(lake)
    found = []
    for run in reader.runs:
        forecast = forecast_of(lake, run) if run_id in (None, run.run_id) else None
        if forecast is not None:
            found.append(_compared(run, forecast, (one for of, one in reader.commits if of.number == run.number)))
    return tuple(found)


def _compared(run: RunRecord, foretold: Forecast, commits: Iterable[Commit]) -> PlanAndActual:
    committed, audio_s, utterance_s, cpu_s = 0, 0.0, 0.0, 0.0
    utterances = output = 0
    for commit in commits:
        committed += 1
        audio_s += commit.counts.source_s
        utterance_s += commit.counts.utterance_s
        utterances += commit.counts.utterances
        cpu_s += sum(commit.seconds.values())
        output += sum(stored.size_bytes for stored in commit.objects)
    return PlanAndActual(
        run_id=run.run_id,
        measured=f"{words.several(foretold.measured, 'source')}, {foretold.measured_share:.1%} of the bytes",
        committed=committed,
        units=run.units,
        rows=(
            _beside("audio", foretold.audio_s, audio_s, words.hours),
            _beside("audio out", foretold.utterance_s, utterance_s, words.hours),
            _beside("utterances", foretold.utterances, utterances, _count),
            _beside("CPU time of the units", foretold.work_cpu_s, cpu_s, words.hours),
            _beside("tars and manifests", foretold.output_bytes, output, words.size),
        ),
    )


def _beside(name: str, foretold: Interval, actual: float, said: Callable[[float], str]) -> Beside:
    error = f"{foretold.value / actual - 1:+.1%}".replace("-", "−") if actual else ""
    return Beside(name, said(foretold.value), said(foretold.low), said(foretold.high), said(actual), error)


def _count(value: float) -> str:
    return f"{value:,.0f}"
