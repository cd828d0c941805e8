"""Runs on Beam: in somebody's own pipeline, with poison files, and with processes killed. `pytest -s` shows figures."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

pytest.importorskip("apache_beam", reason="Apache Beam is not installed")

from pipelines.engines.beam_transform import DEAD, DEAD_TEXTS
from pipelines.engines.figures import figures
from pipelines.run import execute, start
from schemas.records import Counts
from tests.engines.beam_stages import NOTES
from tests.engines.test_beam import IN_TWO, prism
from tests.runs import QUICK, digests, request_for, rows, run
from tests.speech import folder_of_clips

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")

CLIPS = 8
SETTINGS = (*QUICK, "plan.unit_max_sources=1")
SLOW = (*SETTINGS, 'stages=["tests.engines.beam_stages:Noted"]')
ON_BEAM = "engine=beam"


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return folder_of_clips(tmp_path_factory.mktemp("beam") / "raw", CLIPS, seconds=3)


def test_the_pipeline_that_the_docs_show(raw, tmp_path, capsys):
    """Its figures are the account's, and its lake is the one that the engine `local` makes."""
    page = (Path(__file__).parents[2] / "docs" / "beam.md").read_text()
    (shown,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    lake = tmp_path / "lake"
    shown = shown.replace("gs://bucket/lake", str(lake)).replace("gs://bucket/raw", str(raw))
    names: dict[str, object] = {"__name__": "example"}
    exec(compile(shown, "docs/beam.md", "exec"), names)
    below_servers = [p for p in psutil.Process().children(recursive=True) if p.ppid() != os.getpid()]
    assert below_servers == [], "a worker process outlives the pipeline"
    account = names["account"]
    counts = account.counts
    assert capsys.readouterr().out.splitlines() == [
        f"{counts.utterance_s:.1f} s of utterances", f"{counts.utterances} utterances of {CLIPS} sources",
    ]  # fmt: skip
    assert run(raw, tmp_path / "here", settings=("diarize.backend=single",)).counts == counts
    assert digests(lake) == digests(tmp_path / "here")

    found = names["pipeline"].result.metrics().query()["counters"]
    figures = {m.key.metric.name: m.committed for m in found if m.key.metric.namespace == "provoice"}
    assert figures["receipts"] == account.units
    assert {name: figures[name] for name in ("sources", "emitted", "erased", "utterances", "source_bytes")} == {
        "sources": CLIPS, "emitted": counts.emitted, "erased": 0, "utterances": counts.utterances,
        "source_bytes": counts.source_bytes,
    }  # fmt: skip
    assert figures["utterance_ms"] == pytest.approx(1000 * counts.utterance_s, abs=CLIPS)


def test_every_counter_is_in_the_docs():
    page = (Path(__file__).parents[2] / "docs" / "beam.md").read_text()
    reasons = {"rejected": {"silent": 1}, "held": {"no_grant": 1}, "utterances_rejected": {"too_short": 1}}
    for name in (*figures({"counts": Counts(**reasons).model_dump()}), DEAD, DEAD_TEXTS, "receipts"):
        assert f"`{name}`" in page


def on_beam(raw, lake, *options, settings=SETTINGS, catalogue=None):
    request = request_for(raw, lake, settings=(*settings, ON_BEAM), catalogue=catalogue)
    return execute(replace(request, options=options), start(request), lambda _: None)


@pytest.mark.long
@pytest.mark.parametrize("runner", ["direct", "two processes", "prism"])
def test_poison_costs_one_rejection_each(raw, tmp_path, runner):
    """On every runner, and the run ends by itself."""
    poisons = {"clip001.wav": "abort", "clip003.wav": "eat", "clip006.wav": "sleep"}
    catalogue = tmp_path / "c.jsonl"
    lines = [json.dumps({"path": clip, "extra.poison": what}) for clip, what in poisons.items()]
    catalogue.write_text("\n".join(lines) + "\n")
    settings = (
        *QUICK, "plan.unit_max_sources=4", 'stages=["tests.poison:Poison"]', "limits.breaker_min=50",
        "limits.seconds_per_source=4", "limits.memory_bytes=800000000",
    )  # fmt: skip
    options = {"direct": (), "two processes": IN_TWO, "prism": prism() if runner == "prism" else ()}[runner]
    began = time.monotonic()
    account = on_beam(raw, tmp_path / "lake", *options, settings=settings, catalogue=catalogue)
    took = time.monotonic() - began
    attempts = rows(tmp_path / "lake", "select sum(attempt), count(*) from commits")[0]
    print(f"\npoison, {runner}: {took:.0f} s, {attempts[0]} attempts for {attempts[1]} units")
    counts = account.counts
    assert counts.rejected == {"decoder_crashed": 1, "out_of_memory": 1, "timed_out": 1}
    assert (counts.emitted, counts.sources, counts.is_conserved) == (CLIPS - 3, CLIPS, True)


def command(raw, lake, *options) -> list[str]:
    words = [sys.executable, "-m", "provoice", "run", "configs/explore.yaml"]
    words += ["--source", f"raw={raw}", "--lake", str(lake), "--engine", "beam"]
    return [*words, *(w for setting in SLOW for w in ("--set", setting)), "--", *options]


@pytest.mark.long
@pytest.mark.parametrize("victim", ["a worker process", "prism", "the driver", "nobody, but Ctrl-C"])
def test_a_killed_process_ends_the_run_which_is_resumed_to_the_same_lake(tmp_path, victim):
    raw = folder_of_clips(tmp_path / "raw", 21, seconds=3)
    lake = tmp_path / "lake"
    options = prism() if victim == "prism" else IN_TWO
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "TMPDIR": str(tmp_path), NOTES: str(tmp_path / "notes")}
    running = psutil.Popen(
        command(raw, lake, *options), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=environment,
    )  # fmt: skip
    _until_committed(lake, 2)
    started = running.children(recursive=True)
    pid = _victim(victim, started, running.pid)
    if victim.startswith("nobody"):
        running.send_signal(signal.SIGINT)
    else:
        os.kill(pid, signal.SIGKILL)
    killed_at = time.monotonic()
    said, _ = running.communicate(timeout=120)
    after_s = time.monotonic() - killed_at
    committed = _committed(lake)
    assert running.returncode == (130 if victim.startswith("nobody") else 1), said
    assert "resume with: provoice run configs/explore.yaml" in said
    assert "Traceback" not in said
    assert after_s < 30
    _, alive = psutil.wait_procs(started, timeout=20)
    assert [process.cmdline() for process in alive] == []
    assert 2 <= committed < 21

    began = time.monotonic()
    again = subprocess.run(command(raw, lake, *options), env=environment, capture_output=True, text=True, timeout=300)
    attempts = len((tmp_path / "notes").read_text().splitlines())
    print(
        f"\n{victim}: ended {after_s:.1f} s after with {committed} of 21 units committed, "
        f"resumed in {time.monotonic() - began:.0f} s, {attempts} attempts for 21 units"
    )
    assert again.returncode == 0, again.stderr
    assert 21 <= attempts <= 21 + 2
    assert run(raw, tmp_path / "here", settings=SLOW).units == 21
    assert digests(lake) == digests(tmp_path / "here")


def _until_committed(lake: Path, units: int) -> None:
    deadline = time.monotonic() + 120
    while _committed(lake) < units:
        assert time.monotonic() < deadline, "no unit was committed"
        time.sleep(0.1)


def _committed(lake: Path) -> int:
    return len(list(lake.glob("commits/*/*.json")))


def _victim(what: str, started: list[psutil.Process], asker: int) -> int:
    for process in started:
        with suppress(psutil.Error):
            words = process.cmdline()
            is_driver = process.ppid() == asker and os.getsid(process.pid) == process.pid
            if {
                "a worker process": "apache_beam.runners.worker.sdk_worker_main" in words,
                "prism": bool(words) and "prism" in Path(words[0]).name,
            }.get(what, is_driver):
                return process.pid
    pytest.fail(f"{what} was not found among {started}")
