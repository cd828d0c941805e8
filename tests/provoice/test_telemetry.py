"""What a run tells OpenTelemetry is what it committed: an in-memory collector, and one on loopback that speaks OTLP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lake.lake import Lake
from lake.reader import LakeReader
from pipelines.config import load_config
from pipelines.run import Request, execute, start
from pipelines.sources import parse_source
from provoice.telemetry import Telemetry, is_wanted, telling
from tests.speech import folder_of_clips

SETTINGS = ["diarize.backend=single", "plan.unit_max_sources=2", "workers=1"]


@pytest.fixture
def raw(tmp_path):
    folder = folder_of_clips(tmp_path / "raw", 3, seconds=2.0)
    (folder / "broken.wav").write_bytes(b"RIFF and no more")
    return folder


class Collector:
    """Meters and tracers that keep what they are told."""

    def __init__(self):
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        self.reader, self.spans = InMemoryMetricReader(), InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.spans))
        self.telemetry = Telemetry(MeterProvider([self.reader]), self.tracers)

    def figures(self):
        """(instrument, attributes beside the run's) to value; of histograms the count."""
        found = {}
        data = self.reader.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for metric in (one for scope in resource.scope_metrics for one in scope.metrics):
                for point in metric.data.data_points:
                    attributes = dict(point.attributes)
                    assert attributes.pop("provoice.run_id")
                    value = point.value if hasattr(point, "value") else point.count
                    found[metric.name, tuple(sorted(attributes.items()))] = value
        return found


def run(raw, lake, collector):
    request = Request(Lake.create_or_open(str(lake)), load_config("configs/explore.yaml", SETTINGS),
                      [parse_source(f"raw={raw}")], None, "nightly")  # fmt: skip
    started = start(request)
    collector.telemetry.started(started)
    return execute(request, started, collector.telemetry.committed)


def test_counters_are_the_account_of_what_was_committed(raw, tmp_path):
    collector = Collector()
    account = run(raw, tmp_path / "lake", collector).counts
    figures = collector.figures()
    assert figures["provoice.sources", (("outcome", "emitted"),)] == account.emitted == 3
    rejected = {dict(of)["reason"]: n for (name, of), n in figures.items()
                if name == "provoice.sources" and dict(of)["outcome"] == "rejected"}  # fmt: skip
    assert rejected == account.rejected
    assert sum(rejected.values()) == 1
    for name in ("utterances", "source_bytes", "source_s", "speech_s", "utterance_s"):
        assert figures[f"provoice.{name}", ()] == pytest.approx(getattr(account, name)), name
    assert figures["provoice.units", ()] == 2
    commits = [commit for _, commit in LakeReader(Lake.open(str(tmp_path / "lake"))).commits]
    stages = {stage for commit in commits for stage in commit.seconds}
    assert {"decode", "encode"} <= stages
    for stage in stages:
        spent = sum(commit.seconds.get(stage, 0.0) for commit in commits)
        assert figures["provoice.cpu_s", (("stage", stage),)] == pytest.approx(spent)
    assert figures["provoice.unit_wall_s", ()] == 2


def test_a_trace_has_a_span_for_each_unit_below_the_run(raw, tmp_path):
    collector = Collector()
    run(raw, tmp_path / "lake", collector)
    collector.telemetry.ended(None)
    *units, whole = collector.spans.get_finished_spans()
    assert [span.name for span in units] == ["unit", "unit"]
    assert whole.name == "provoice run"
    assert all(span.parent.span_id == whole.context.span_id for span in units)
    commits = {c.unit_id: c for _, c in LakeReader(Lake.open(str(tmp_path / "lake"))).commits}
    assert {span.attributes["provoice.unit_id"] for span in units} == set(commits)
    for span in units:
        commit = commits[span.attributes["provoice.unit_id"]]
        assert (span.end_time - span.start_time) / 1e9 == pytest.approx(commit.wall_s, abs=1e-4)


def test_a_run_that_breaks_leaves_a_span_that_says_so(raw, tmp_path):
    collector = Collector()
    run(raw, tmp_path / "lake", collector)
    collector.telemetry.ended(RuntimeError("the bucket of anna is gone"))
    whole = collector.spans.get_finished_spans()[-1]
    assert (whole.status.status_code.name, whole.status.description) == ("ERROR", "RuntimeError")


def test_what_an_earlier_attempt_committed_is_not_counted_again(raw, tmp_path):
    run(raw, tmp_path / "lake", Collector())
    again = Collector()
    run(raw, tmp_path / "lake", again)
    assert again.figures() == {}
    assert again.spans.get_finished_spans() == ()


def test_no_attribute_names_a_source_or_a_person(raw, tmp_path):
    collector = Collector()
    run(raw, tmp_path / "lake", collector)
    said = json.dumps([[name, list(of)] for name, of in collector.figures()])
    said += "".join(str(dict(span.attributes)) for span in collector.spans.get_finished_spans())
    assert "clip0" not in said
    assert "broken" not in said


@pytest.mark.parametrize(
    ("environment", "is_on"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_the_standard_variables_switch_it_on(environment, is_on):
    assert is_wanted(environment) is is_on


def test_without_the_extra_one_line_says_what_to_install(monkeypatch, caplog):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with telling() as telemetry:
        assert telemetry is None
    assert [record.getMessage() for record in caplog.records] == [
        "a collector is named, and what speaks to it is not installed: pip install 'provoice[otel]'"
    ]


class _Otlp(BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.got[self.path] = self.server.got.get(self.path, b"") + self.rfile.read(
            int(self.headers["Content-Length"])
        )
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def command(raw, lake, **environment):
    words = ["run", "configs/explore.yaml", "--source", f"raw={raw}", "--lake", str(lake), "--json"]
    sets = [word for setting in SETTINGS for word in ("--set", setting)]
    return subprocess.run(
        [sys.executable, "-m", "provoice", *words, *sets], env={**os.environ, **environment},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def test_the_command_sends_both_to_the_collector_that_is_named(raw, tmp_path):
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    server = ThreadingHTTPServer(("127.0.0.1", 0), _Otlp)
    server.got = {}
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        endpoint = f"http://127.0.0.1:{server.server_port}"
        done = command(
            raw, tmp_path / "lake", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_EXPORTER_OTLP_COMPRESSION="none"
        )
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert done.returncode in (0, 3), done.stderr
    account = json.loads(done.stdout)
    metrics = ExportMetricsServiceRequest.FromString(server.got["/v1/metrics"])
    sums = {
        metric.name: sum(point.as_int or point.as_double for point in metric.sum.data_points)
        for resource in metrics.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics
    }  # fmt: skip
    assert sums["provoice.sources"] == account["sources"] == 4
    assert sums["provoice.utterances"] == account["utterances"]
    traces = ExportTraceServiceRequest.FromString(server.got["/v1/traces"])
    names = [span.name for one in traces.resource_spans for scope in one.scope_spans for span in scope.spans]
    assert sorted(names) == ["provoice run", "unit", "unit"]
    (service,) = [a.value.string_value for a in traces.resource_spans[0].resource.attributes if a.key == "service.name"]
    assert service == "provoice"


def test_a_collector_that_is_away_fails_no_run(raw, tmp_path):
    done = command(raw, tmp_path / "lake", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode in (0, 3), done.stderr
    assert json.loads(done.stdout)["sources"] == 4
    assert "Traceback" not in done.stderr
