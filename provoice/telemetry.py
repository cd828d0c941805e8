"""What a run tells OpenTelemetry: counters in the words of the report, and a trace of the run with a span per unit.

Both come from commits, as they are seen, so they say what counts and nothing else, on every engine alike: a unit that
was tried three times is counted once, and a unit of an earlier attempt at the run not again. No attribute names a
source, a key or a person.

On where the standard variables say so (`OTEL_EXPORTER_OTLP_ENDPOINT` and its kin), with the extra `otel` installed. A
collector that is away never fails or delays a run by more than a few seconds.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pipelines.run import Progress, Started
from schemas.records import Commit, Counts

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

log = logging.getLogger("provoice.telemetry")

_SWITCHES = (
    "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
)  # fmt: skip
_PATIENCE_S = 5
_COUNTED = {
    "utterances": "{utterance}", "source_bytes": "By", "source_s": "s", "speech_s": "s", "utterance_s": "s",
}  # fmt: skip
"""Figures of `schemas.records.Counts` that are counters of their own, with their units (UCUM)."""


class Telemetry:
    """The instruments of one run. `started`, then `committed` for each commit, then `ended`."""

    def __init__(self, meters: MeterProvider, tracers: TracerProvider) -> None:
        meter = meters.get_meter("provoice")
        self._tracer = tracers.get_tracer("provoice")
        self._sources = meter.create_counter("provoice.sources", "{source}", "sources by `outcome`, and its `reason`")
        self._refused = meter.create_counter("provoice.utterances_rejected", "{utterance}", "cuts refused, by `reason`")
        self._units = meter.create_counter("provoice.units", "{unit}", "units committed")
        self._cpu = meter.create_counter("provoice.cpu_s", "s", "CPU time by `stage`")
        self._wall = meter.create_histogram("provoice.unit_wall_s", "s", "wall time of a unit")
        self._memory = meter.create_histogram(
            "provoice.unit_peak_memory_bytes", "By", "peak memory of a unit's process"
        )
        self._counted = {name: meter.create_counter(f"provoice.{name}", unit) for name, unit in _COUNTED.items()}
        self._of_run: dict[str, Any] = {}
        self._span: Any = None

    def started(self, started: Started) -> None:
        run = started.run
        self._of_run = {"provoice.run_id": run.run_id}
        about = {"provoice.units": run.units, "provoice.sources": run.sources, "provoice.resumed": started.is_resumed}
        self._span = self._tracer.start_span("provoice run", attributes={**self._of_run, **about})

    def committed(self, progress: Progress) -> None:
        """Counts the newest commit, if it is one of this attempt at the run."""
        if progress.newest is not None:
            self._count(progress.newest)
            self._trace(progress.newest)

    def ended(self, error: BaseException | None) -> None:
        if self._span is None:
            return
        if error is not None:
            from opentelemetry.trace import Status, StatusCode

            self._span.set_status(Status(StatusCode.ERROR, type(error).__name__))
        self._span.end()

    def _count(self, commit: Commit) -> None:
        for outcome, reason, number in _outcomes(commit.counts):
            why = {"reason": reason} if reason else {}
            self._sources.add(number, {**self._of_run, "outcome": outcome, **why})
        for reason, number in commit.counts.utterances_rejected.items():
            self._refused.add(number, {**self._of_run, "reason": reason})
        for name, counter in self._counted.items():
            counter.add(getattr(commit.counts, name), self._of_run)
        for stage, seconds in commit.seconds.items():
            self._cpu.add(seconds, {**self._of_run, "stage": stage})
        self._units.add(1, self._of_run)
        self._wall.record(commit.wall_s, self._of_run)
        self._memory.record(commit.peak_memory_bytes, self._of_run)

    def _trace(self, commit: Commit) -> None:
        from opentelemetry.trace import set_span_in_context

        began = commit.committed_at - timedelta(seconds=commit.wall_s)
        about: dict[str, Any] = {"provoice.unit_id": commit.unit_id, "host.name": commit.host}
        about |= {f"provoice.cpu_s.{stage}": seconds for stage, seconds in commit.seconds.items()}
        about |= {f"provoice.{name}": getattr(commit.counts, name) for name in ("sources", "emitted", *_COUNTED)}
        span = self._tracer.start_span(
            "unit",
            set_span_in_context(self._span),
            start_time=_nanoseconds(began),
            attributes={**self._of_run, **about},
        )
        span.end(_nanoseconds(commit.committed_at))


def _outcomes(counts: Counts) -> Iterator[tuple[str, str, int]]:
    """Outcome, reason, sources: of everything that the account has."""
    yield "emitted", "", counts.emitted
    yield from (("rejected", reason, number) for reason, number in counts.rejected.items())
    yield from (("held", reason, number) for reason, number in counts.held.items())
    if counts.erased:
        yield "erased", "", counts.erased


def _nanoseconds(at: datetime) -> int:
    return int((at - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)) * 1000


def is_wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the standard variables name a collector."""
    is_off = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return not is_off and any(environment.get(name) for name in _SWITCHES)


@contextlib.contextmanager
def telling() -> Iterator[Telemetry | None]:
    """A run's telemetry, sent when it ends and every so often; None where nobody asked for it."""
    if not is_wanted():
        yield None
        return
    if importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http") is None:
        log.warning("a collector is named, and what speaks to it is not installed: pip install 'provoice[otel]'")
        yield None
        return
    meters, tracers = _exporting()
    telemetry = Telemetry(meters, tracers)
    try:
        yield telemetry
    except BaseException as error:
        telemetry.ended(error)
        raise
    else:
        telemetry.ended(None)
    finally:
        tracers.shutdown()
        meters.shutdown(_PATIENCE_S * 1000)


def _exporting() -> tuple[Any, Any]:
    """Providers that send to the collector; everything but patience is as the standard variables say."""
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # What is said here would win over OTEL_SERVICE_NAME.
    resource = Resource.create({} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "provoice"})
    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=_PATIENCE_S)))
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(timeout=_PATIENCE_S))
    return MeterProvider([reader], resource=resource), tracers
