"""Log lines for machines: one object a line, with run, unit and stage."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

from pipelines import logs
from schemas.errors import in_stage, stage_of
from tests.speech import folder_of_clips


def formatted(message, *args, **about):
    record = logging.LogRecord(
        "provoice.worker", logging.WARNING, "file.py", 1, message, args, about.pop("error", None)
    )
    vars(record).update(about)
    return json.loads(logs.JsonFormatter().format(record))


def test_a_line_has_the_sentence_and_what_it_is_about():
    said = formatted("unit %s failed", "u-1", run_id="nightly", unit_id="u-1", stage="snr", attempt=2)
    assert said.pop("time").endswith("Z")
    assert said == {
        "level": "warning", "logger": "provoice.worker", "message": "unit u-1 failed", "run_id": "nightly",
        "unit_id": "u-1", "stage": "snr", "attempt": 2,
    }  # fmt: skip


def test_what_is_not_known_is_left_out():
    assert "stage" not in formatted("a word", run_id="nightly", stage="")


def test_an_error_is_on_the_same_line():
    try:
        raise ValueError("two\nlines")
    except ValueError:
        record = formatted("it broke", error=sys.exc_info())
    assert record["error"] == "ValueError: two\nlines"
    assert "test_logs.py" in record["trace"]


def test_an_error_says_in_which_stage_it_came_up():
    error = ValueError("no")
    assert stage_of(error) == ""
    error.add_note("another note")
    in_stage(error, "snr")
    assert stage_of(error) == "snr"


def test_a_worker_of_an_engine_follows_and_leaves_the_engines_own_lines_alone(monkeypatch):
    ours = logging.getLogger("provoice")
    monkeypatch.setattr(ours, "handlers", [])
    monkeypatch.setattr(ours, "propagate", True)
    monkeypatch.setattr(ours, "level", ours.level)
    before = list(logging.root.handlers)
    monkeypatch.setenv(logs.VARIABLE, "text")
    logs.follow()
    assert ours.handlers == []
    monkeypatch.setenv(logs.VARIABLE, "json")
    logs.follow()
    logs.follow()
    assert [type(handler.formatter) for handler in ours.handlers] == [logs.JsonFormatter]
    assert logging.root.handlers == before


def test_every_line_of_a_run_is_an_object_and_a_failed_stage_is_named(tmp_path):
    raw = folder_of_clips(tmp_path / "raw", 2, seconds=2.0)
    catalogue = tmp_path / "catalogue.jsonl"
    catalogue.write_text(json.dumps({"path": "clip001.wav", "extra.poison": "raise"}) + "\n")
    settings = ["diarize.backend=single", "workers=1", 'stages=["tests.poison:Poison"]', "max_rejected_ratio=1"]
    sets = [word for setting in settings for word in ("--set", setting)]
    done = subprocess.run(
        [sys.executable, "-m", "provoice", "--log-format", "json", "run", "configs/explore.yaml", "--json", "--source",
         f"raw={raw}", "--catalogue", str(catalogue), "--lake", str(tmp_path / "lake"), "--run-id", "nightly", *sets],
        capture_output=True, text=True, timeout=300, env=dict(os.environ),
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert {line["logger"] for line in lines} >= {"provoice.run", "provoice.worker"}
    failed = [line for line in lines if line.get("reason") == "stage_failed"]
    assert failed, done.stderr
    assert {(line["run_id"], line["stage"]) for line in failed} == {("nightly", "poison")}
    assert all(line["unit_id"] for line in failed)
