"""The benchmarks' own arithmetic: what is compared must be what was measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import contenders, corpus, memory, processes, speed
from benchmarks.tables import stage_table

BURN = "import time\nwhile time.process_time() < {0}: pass\n"
ORPHAN = f"""
import subprocess, sys
subprocess.Popen([sys.executable, "-c", {BURN.format(0.6)!r}], start_new_session=True)
"""


def report(**cpu_s):
    results = {
        name: {
            "cpu_s": spent,
            "start_cpu_s": 0.5,
            "start_wall_s": 0.6,
            "peak_bytes": 1 << 30,
            "stages": {"vad": spent / 2},
        }
        for name, spent in cpu_s.items()
    }
    return {"hours": 0.5, "machine": {"cpu": "a CPU", "python": "3.11"}, "results": results}


def core():
    return min(speed.os.sched_getaffinity(0))


def test_a_command_is_charged_for_a_child_that_outlives_it(tmp_path):
    cost = processes.cost_of([sys.executable, "-c", ORPHAN], tmp_path / "log", core())
    assert cost.cpu_s >= 0.6
    assert cost.wall_s >= 0.6


def test_peak_memory_is_that_of_the_largest_process(tmp_path):
    # From a small process: a new one's peak counts what it was forked from, and that is all of pytest here.
    asked = (
        "import pathlib, sys\nfrom benchmarks import processes\n"
        "cost = processes.cost_of([sys.executable, '-c', 'held = bytearray(200 << 20)'], "
        f"pathlib.Path({str(tmp_path / 'log')!r}), {core()})\nprint(cost.peak_bytes)"
    )
    here = Path(__file__).resolve().parents[1]
    said = subprocess.run([sys.executable, "-c", asked], cwd=here, capture_output=True, text=True, check=True).stdout
    assert 200 << 20 <= int(said) < 300 << 20


def test_a_command_runs_on_the_core_it_was_given(tmp_path):
    log = tmp_path / "log"
    processes.cost_of([sys.executable, "-c", "import os; print(os.sched_getaffinity(0))"], log, core())
    assert log.read_text().strip() == str({core()})


def test_a_command_that_fails_is_no_measurement(tmp_path):
    with pytest.raises(processes.CommandFailed, match=r"ended with 3[\s\S]*out of luck"):
        processes.cost_of([sys.executable, "-c", "print('out of luck'); raise SystemExit(3)"], tmp_path / "log", core())


def test_speed_is_hours_of_audio_per_hour_of_a_core():
    # Half an hour of audio in 18 CPU seconds is 100 times as fast as it sounds.
    assert speed.speeds(report(provoice=18.0)) == {"provoice": 100.0}


def test_ratios_say_how_many_times_as_fast_the_first_is():
    found = speed.ratios(report(provoice=10.0, ordinary=40.0, parts=8.0))
    assert found == pytest.approx({"provoice / ordinary": 4.0, "provoice / parts": 0.8, "parts / ordinary": 5.0})


def test_an_earlier_run_is_shown_beside_this_one():
    text = speed.shown(report(provoice=10.0, ordinary=40.0), report(provoice=20.0, ordinary=40.0))
    assert "180 (was 90)" in text
    assert "4.00 (was 2.00)" in text


def test_the_median_run_is_shown_whole():
    runs = [{"cpu_s": spent, "stages": {"vad": spent}} for spent in (9.0, 2.0, 3.0, 4.0)]
    assert speed._median(runs) == {"cpu_s": 3.0, "stages": {"vad": 3.0}}


def test_stages_are_per_hour_of_audio():
    text = stage_table({"provoice": {"vad": 2.0}, "parts": {"vad": 3.0, "tar": 1.0}}, 0.5)
    assert [line.split("|")[1:4] for line in text.splitlines()[2:]] == [
        [" vad               ", "     4.00 ", "  6.00 "],
        [" tar               ", "        – ", "  2.00 "],
        [" sum               ", "     4.00 ", "  8.00 "],
    ]


def test_seconds_and_memory_are_read_from_every_commit(tmp_path):
    for unit, (vad, peak) in enumerate([(1.25, 5), (2.5, 7)]):
        path = tmp_path / "commits" / "run" / f"{unit}.0.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"seconds": {"vad": vad, "tar": 0.1}, "peak_memory_bytes": peak}))
    assert contenders.commit_seconds(tmp_path) == {"vad": 3.75, "tar": 0.2}
    assert contenders.worker_peak_bytes(tmp_path) == 7


def test_growth_is_per_hour_between_the_shortest_and_the_longest():
    rows = [
        {"minutes": minutes, "worker_bytes": mib << 20, "largest_bytes": mib << 20, "cpu_s": 1.0}
        for minutes, mib in ((30, 300), (150, 340))
    ]
    assert "growth: +40 MiB, +20.0 MiB per hour of audio" in memory.shown(rows, [])


def test_a_missing_folder_of_recordings_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("PROVOICE_AUDIO", str(tmp_path))
    with pytest.raises(corpus.NoAudio, match="PROVOICE_AUDIO"):
        corpus.clips()


def test_the_hand_chained_parts_hear_what_silero_hears():
    """Its regions are silero's own, from the same probabilities: else the limit would do less work than the others."""
    pytest.importorskip("torch")
    from silero_vad.utils_vad import get_speech_timestamps_from_probs

    from benchmarks.parts import regions

    chance = np.random.default_rng(5)
    walk = np.clip(np.cumsum(chance.normal(0, 0.15, 4000)) % 2.0, 0, 2)
    probability = np.where(walk > 1, 2 - walk, walk).astype(np.float32)
    n_samples = len(probability) * 512
    theirs = get_speech_timestamps_from_probs(probability, sampling_rate=16_000, audio_length_samples=n_samples)
    ours = [(start, end) for start, end in regions(probability, n_samples) if end - start >= 16_000]
    assert ours == [(span["start"], span["end"]) for span in theirs if span["end"] - span["start"] >= 16_000]
