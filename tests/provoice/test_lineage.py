"""OpenLineage: what is told, in whose shape, to whom, and that nobody is named and nothing can fail for it."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import attr
import jsonschema
import pytest
from openlineage.client.generated import (
    base,
    dataset_version_dataset,
    error_message_run,
    input_statistics_input_dataset,
    job_type_job,
    output_statistics_output_dataset,
    parent_run,
)

from pipelines.lineage_events import Dataset
from provoice import lineage as telling
from schemas.errors import RunStopped
from tests.imports import ROOT
from tests.releases import USE_YAML, crowd, person
from tests.runs import QUICK, catalogue_file, with_grants
from tests.speech import voice, write

OWN = json.loads((ROOT / "schemas" / "provoice-run-facet.json").read_text())
FACETS = {
    "jobType": job_type_job.JobTypeJobFacet,
    "errorMessage": error_message_run.ErrorMessageRunFacet,
    "parent": parent_run.ParentRunFacet,
    "version": dataset_version_dataset.DatasetVersionDatasetFacet,
    "inputStatistics": input_statistics_input_dataset.InputStatisticsInputDatasetFacet,
    "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet,
}
"""What the project generates from its schema, version by version: a field too many or too few is an error."""


def facet(name: str, value: Mapping[str, Any]) -> object:
    fields = {key.removeprefix("_") if key == "_producer" else key: part for key, part in value.items()}
    schema = fields.pop("_schemaURL")
    if name == "parent":
        fields = {**fields, "run": parent_run.Run(**fields["run"]), "job": parent_run.Job(**fields["job"])}
    made = FACETS[name](**fields)
    assert made._get_schema() == schema, name
    return made


def check(event: Mapping[str, Any]) -> None:
    """Holds an event against OpenLineage's own classes and their validators, and ours against its schema."""
    own = event["run"]["facets"]["provoice"]
    jsonschema.validate(own, OWN, format_checker=jsonschema.FormatChecker())
    run_facets = {key: facet(key, one) for key, one in event["run"]["facets"].items() if key != "provoice"}
    job_facets = {key: facet(key, one) for key, one in event["job"]["facets"].items()}
    made = base.RunEvent(
        eventType=base.EventType(event["eventType"]),
        eventTime=event["eventTime"],
        producer=event["producer"],
        run=base.Run(runId=event["run"]["runId"], facets=run_facets),
        job=base.Job(event["job"]["namespace"], event["job"]["name"], facets=job_facets),
        inputs=[base.InputDataset(**dataset(one, "inputFacets")) for one in event["inputs"]],
        outputs=[base.OutputDataset(**dataset(one, "outputFacets")) for one in event["outputs"]],
    )
    assert made.schemaURL == event["schemaURL"]
    assert {one.name for one in attr.fields(base.RunEvent)} == set(event)
    UUID(event["run"]["runId"])
    assert datetime.fromisoformat(event["eventTime"]).tzinfo == UTC


def dataset(one: Mapping[str, Any], group: str) -> dict[str, Any]:
    assert set(one) == {"namespace", "name", "facets", group}
    return {
        **one,
        "facets": {key: facet(key, part) for key, part in one["facets"].items()},
        group: {key: facet(key, part) for key, part in one[group].items()},
    }


@pytest.fixture
def events(tmp_path, monkeypatch):
    """Turns it on, into a file; returns what was told so far, each event checked."""
    path = tmp_path / "events.jsonl"
    monkeypatch.setenv("OPENLINEAGE_URL", path.as_uri())

    def told() -> list[dict[str, Any]]:
        found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        for one in found:
            check(one)
        return found

    return told


def kinds(found):
    return [one["eventType"] for one in found]


def test_a_run_tells_its_account_and_names_nobody(provoice, tmp_path, events):
    write(tmp_path / "raw" / "anna" / "private-name.wav", voice("speaker90", 4.0))
    write(tmp_path / "raw" / "anna" / "silent.wav", voice("speaker90", 3.0) * 0.0)
    write(tmp_path / "raw" / "zoe" / "held.wav", voice("speaker91", 4.0))
    catalogue = catalogue_file(tmp_path / "who.jsonl", {"anna/": ["s-anna"], "zoe/": ["s-zoe"]})
    with_grants(tmp_path / "lake", "s-anna")
    settings = [word for one in QUICK for word in ("--set", one)]
    words = ["run", "configs/default.yaml", "--source", f"raw={tmp_path / 'raw'}", "--lake", tmp_path / "lake"]
    words += ["--catalogue", catalogue, *settings, "--set", "max_rejected_ratio=1"]
    done = provoice(*words, "--run-id", "daily-1")
    assert done.exit_code == 0, done.stderr
    begun, ended = events()
    assert kinds([begun, ended]) == ["START", "COMPLETE"]
    assert begun["run"]["runId"] == ended["run"]["runId"]
    own = ended["run"]["facets"]["provoice"]
    assert (own["run_id"], own["run_number"], own["ledger_position"]) == ("daily-1", 1, 1)
    assert (own["counts"]["sources"], own["counts"]["emitted"]) == (3, 1)
    assert own["counts"]["rejected"] == {"silent": 1}
    assert own["counts"]["held"] == {"no_grant": 1}
    (source,) = ended["inputs"]
    assert (source["namespace"], source["name"]) == ("file", f"{tmp_path}/raw")
    assert source["inputFacets"]["inputStatistics"]["rowCount"] == 3
    utterances, recordings = ended["outputs"]
    assert utterances["name"] == f"{tmp_path}/lake/utterances"
    assert utterances["outputFacets"]["outputStatistics"]["rowCount"] == own["counts"]["utterances"]
    assert recordings["outputFacets"]["outputStatistics"]["rowCount"] == 3
    lines = provoice("sql", tmp_path / "lake", "select recording_id, source_path from recordings", "--json").stdout
    keys = [word for line in lines.splitlines() for word in json.loads(line).values()]
    text = json.dumps([begun, ended])
    assert [one for one in ("s-anna", "s-zoe", "g-s-anna", "private-name", *keys) if one in text] == []
    assert len(keys) == 6
    assert provoice(*words).exit_code == 0  # nothing is left to do, and nothing is told
    assert len(events()) == 2


def test_a_release_and_an_erasure_are_told(provoice, tmp_path, events, monkeypatch):
    monkeypatch.setenv("PROVOICE_SUPPRESSION_KEY", "k" * 32)
    made = crowd(tmp_path, 3, lasting=True)
    use = tmp_path / "use.yaml"
    use.write_text(USE_YAML)
    assert provoice("release", "create", made.uri, "gold", "--use", use, "--where", "text != 'said'").exit_code == 0
    assert provoice("consent", "withdraw", made.uri, "--subject", person(1)).exit_code == 0
    assert provoice("erase", made.uri, "--due", "--yes").exit_code == 0
    started, released, began, erased = events()
    assert kinds([started, released, began, erased]) == ["START", "COMPLETE"] * 2
    (out,) = released["outputs"]
    assert (out["name"], out["facets"]["version"]["datasetVersion"]) == (f"{made.uri}/releases/gold", "1")
    assert out["outputFacets"]["outputStatistics"]["rowCount"] == 12
    assert released["run"]["facets"]["provoice"]["ledger_position"] == 3
    own = erased["run"]["facets"]["provoice"]
    assert (own["people"], own["erasure"], own["is_finished"]) == (1, 1, True)
    assert own["units_rewritten"] > 0
    text = json.dumps([started, released, began, erased])
    assert [one for one in [*map(person, range(3)), "said", ".wav"] if one in text] == []


def broken(error: BaseException) -> None:
    with telling.lineage("run") as told:
        told.start(telling.Done)
        raise error


def test_what_breaks_is_a_fail_without_its_text(events):
    with pytest.raises(RunStopped):
        broken(RunStopped("the words of s-anna, in anna/private.wav"))
    assert kinds(events()) == ["START", "FAIL"]
    assert events()[1]["run"]["facets"]["errorMessage"]["message"] == "RunStopped"
    assert "anna" not in json.dumps(events())


def test_ctrl_c_is_an_abort(events):
    with pytest.raises(KeyboardInterrupt):
        broken(KeyboardInterrupt())
    assert kinds(events()) == ["START", "ABORT"]


def test_whoever_called_us_is_named_as_the_parent(events, monkeypatch):
    run = "01941f29-7c00-7087-9c40-6f05cf4ab13e"
    monkeypatch.setenv("OPENLINEAGE_PARENT_ID", f"airflow/prod/provoice_daily.run/{run}")
    monkeypatch.setenv("OPENLINEAGE_NAMESPACE", "voice")
    with telling.lineage("run") as told:
        told.start(telling.Done)
    parent = events()[0]["run"]["facets"]["parent"]
    assert (parent["run"], parent["job"]) == (
        {"runId": run},
        {"namespace": "airflow/prod", "name": "provoice_daily.run"},
    )
    assert events()[0]["job"]["namespace"] == "voice"


@pytest.mark.parametrize(
    ("uri", "names"),
    [
        ("s3://voice/a/lake/utterances", ("s3://voice", "a/lake/utterances")),
        ("gs://voice", ("gs://voice", "/")),
        ("/data/lake/utterances", ("file", "/data/lake/utterances")),
        ("file:///data/lake", ("file", "/data/lake")),
    ],
)
def test_datasets_are_named_as_openlineage_names_them(uri, names):
    assert Dataset(uri).names == names


@contextmanager
def endpoint(status):
    """A server on the loopback that answers with `status`, and keeps what it was sent."""
    seen: list[tuple[str, str | None, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.path, self.headers["Authorization"], json.loads(body)))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()
            thread.join()


def tell() -> None:
    with telling.lineage("run") as told:
        told.start(telling.Done)


def test_a_server_is_sent_both_events_with_its_key(monkeypatch):
    with endpoint(201) as (url, seen):
        monkeypatch.setenv("OPENLINEAGE_URL", url)
        monkeypatch.setenv("OPENLINEAGE_API_KEY", "secret")
        tell()
    assert [(path, key) for path, key, _ in seen] == [("/api/v1/lineage", "Bearer secret")] * 2
    for _, _, event in seen:
        check(event)


def test_a_server_that_refuses_costs_one_line(monkeypatch, caplog):
    with endpoint(500) as (url, seen), caplog.at_level(logging.WARNING):
        monkeypatch.setenv("OPENLINEAGE_URL", url)
        tell()
    assert len(seen) == 1  # and is not asked again
    assert [record.message.count("\n") for record in caplog.records] == [0]
    assert "OpenLineage was not told" in caplog.text


def test_a_server_that_never_answers_is_not_waited_for(monkeypatch, caplog):
    release = threading.Event()
    monkeypatch.setattr(telling, "PATIENCE_S", 0.05)
    monkeypatch.setattr(telling, "_post", lambda *_: release.wait(60))
    monkeypatch.setenv("OPENLINEAGE_URL", "http://127.0.0.1:9")
    with caplog.at_level(logging.WARNING):
        tell()
    release.set()
    assert "no answer within 0.05 s" in caplog.text


def test_facts_that_cannot_be_had_leave_what_was_known(events, caplog):
    def broken() -> telling.Done:
        raise RunStopped("the ledger is gone")

    with telling.lineage("run") as told:
        told.start(lambda: telling.Done(facts={"run_id": "one"}))
        told.know(broken)
    assert events()[1]["run"]["facets"]["provoice"]["run_id"] == "one"
    assert "told less than there is: RunStopped" in caplog.text


@pytest.mark.parametrize("variables", [{}, {"OPENLINEAGE_URL": "file:///x", "OPENLINEAGE_DISABLED": "true"}])
def test_it_is_off_unless_asked_for(monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with telling.lineage("run") as told:
        assert isinstance(told, telling._Silent)


def test_an_address_that_is_none_is_said(monkeypatch, caplog):
    monkeypatch.setenv("OPENLINEAGE_URL", "kafka://broker")
    tell()
    assert "neither http(s)://… nor file:///…" in caplog.text


def test_a_shape_that_is_wrong_is_seen(events):
    tell()
    (event, _) = events()
    for wrong in (
        {**event, "eventType": "BEGUN"},
        {**event, "eventTime": "2026-11-21"},
        {**event, "run": {**event["run"], "runId": "daily-1"}},
        {**event, "job": {**event["job"], "facets": {"jobType": {**event["job"]["facets"]["jobType"], "more": 1}}}},
        {**event, "run": {**event["run"], "facets": {"provoice": {**event["run"]["facets"]["provoice"], "who": "s"}}}},
    ):
        with pytest.raises((ValueError, TypeError, jsonschema.ValidationError)):
            check(wrong)
