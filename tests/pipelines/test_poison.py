"""Sources that take the worker down: one rejection each, neighbours emitted, and a breaker for our own faults."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas.errors import RunStopped
from tests.runs import QUICK, rows, run
from tests.speech import folder_of_clips

POISONED = (*QUICK, 'stages=["tests.poison:Poison"]', "limits.breaker_min=50")


def catalogue(path: Path, poisons: dict[str, str]) -> Path:
    path.write_text("".join(json.dumps({"path": clip, "extra.poison": what}) + "\n" for clip, what in poisons.items()))
    return path


def test_each_poison_costs_its_own_source_and_no_other(tmp_path):
    raw = folder_of_clips(tmp_path / "raw", 8, seconds=3)
    poisons = {"clip001.wav": "abort", "clip002.wav": "raise", "clip004.wav": "exit", "clip006.wav": "reject"}
    counts = run(raw, tmp_path / "lake", settings=POISONED, catalogue=catalogue(tmp_path / "c.jsonl", poisons)).counts
    assert counts.rejected == {"decoder_crashed": 2, "no_utterance": 1, "stage_failed": 1}
    assert counts.emitted == 4
    assert counts.is_conserved
    found = dict(rows(tmp_path / "lake", "select source_path, detail from recordings where status = 'rejected'"))
    assert "signal 6 (Aborted)" in found["clip001.wav"]
    assert "this stage has a fault; in stage poison" in found["clip002.wav"]
    assert "exit code 7" in found["clip004.wav"]
    assert rows(tmp_path / "lake", "select distinct survived from utterances") == [(True,)]


def test_what_eats_memory_and_what_never_ends_are_put_aside_by_name(tmp_path):
    raw = folder_of_clips(tmp_path / "raw", 4, seconds=3)
    poisons = {"clip000.wav": "eat", "clip003.wav": "sleep"}
    settings = (*POISONED, "limits.seconds_per_source=5", "limits.memory_bytes=800000000", "workers=1")
    counts = run(raw, tmp_path / "lake", settings=settings, catalogue=catalogue(tmp_path / "c.jsonl", poisons)).counts
    assert counts.rejected == {"out_of_memory": 1, "timed_out": 1}
    assert counts.emitted == 2


def test_a_failed_stage_is_tried_again_by_the_next_run(tmp_path):
    raw = folder_of_clips(tmp_path / "raw", 2, seconds=3)
    bad, good = (
        catalogue(tmp_path / "bad.jsonl", {"clip000.wav": "raise"}),
        catalogue(tmp_path / "good.jsonl", {"clip009.wav": "raise"}),
    )
    assert run(raw, tmp_path / "lake", settings=POISONED, catalogue=bad).counts.rejected == {"stage_failed": 1}
    assert run(raw, tmp_path / "lake", settings=POISONED, catalogue=good).counts.emitted == 1
    assert rows(tmp_path / "lake", "select count(*) from recordings where status = 'emitted'") == [(2,)]


def test_a_stage_that_always_fails_stops_the_run_before_anything_is_committed(tmp_path):
    raw = folder_of_clips(tmp_path / "raw", 12, seconds=3)
    poisons = {f"clip{n:03d}.wav": "raise" for n in range(12)}
    settings = (*QUICK, 'stages=["tests.poison:Poison"]')
    with pytest.raises(RunStopped, match=r"looks like a fault of the set-up.*|this stage has a fault"):
        run(raw, tmp_path / "lake", settings=settings, catalogue=catalogue(tmp_path / "c.jsonl", poisons))
    assert rows(tmp_path / "lake", "select count(*) from commits") == [(0,)]
