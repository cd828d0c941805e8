"""provoice on a Flink that breaks: poison files, a TaskManager that is gone, a job server that is gone.

`pytest -s -m long tests/engines/test_flink_faults.py` prints the figures that docs/flink.md gives.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pipelines.engines import beam
from pipelines.engines.beam_config import BeamConfig
from pipelines.engines.contract import Settings
from schemas.errors import RunStopped
from tests.engines.flink_job_server import LOOPBACK, job_server
from tests.engines.flink_runs import (
    SETTINGS,
    SLOW,
    Flink,
    attempts,
    commits,
    flink,
    in_process,
    provoice,
    told,
    wait_for_commits,
    words,
)
from tests.engines.flink_stage import NOTES
from tests.engines.works import Acts, tasks
from tests.runs import digests, rows, run
from tests.speech import folder_of_clips

pytestmark = [
    pytest.mark.long,
    # Beam's own: sockets and loops that it leaves to the end of the interpreter.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"),
]
UNITS = 24


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    return folder_of_clips(tmp_path_factory.mktemp("flink") / "raw", UNITS, seconds=3)


@pytest.fixture(scope="module")
def golden(raw, tmp_path_factory) -> dict[str, str]:
    """What the engine `local` makes of them when nothing breaks."""
    lake = tmp_path_factory.mktemp("golden") / "lake"
    run(raw, lake, settings=SLOW)
    return digests(lake)


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Iterator[Flink]:
    """Two TaskManagers, each of which has room for the whole job; three restarts."""
    with flink(tmp_path_factory.mktemp("two"), 2) as made:
        yield made


def test_poison_costs_its_own_source_and_the_run_ends_by_itself(two, tmp_path):
    raw = folder_of_clips(tmp_path / "raw", 12, seconds=3)
    poisons = {1: "abort", 3: "eat", 5: "sleep", 7: "raise", 9: "exit"}
    catalogue = tmp_path / "c.jsonl"
    lines = [json.dumps({"path": f"clip{n:03d}.wav", "extra.poison": what}) for n, what in poisons.items()]
    catalogue.write_text("\n".join(lines) + "\n")
    settings = [
        *SETTINGS, "plan.unit_max_sources=3", 'stages=["tests.poison:Poison"]', "limits.breaker_min=50",
        "limits.seconds_per_source=15", "limits.memory_bytes=800000000",
    ]  # fmt: skip
    with told("poison on two TaskManagers"):
        counts = in_process(raw, tmp_path / "lake", two.processes(), settings, catalogue).counts
    assert counts.rejected == {"decoder_crashed": 2, "out_of_memory": 1, "timed_out": 1, "stage_failed": 1}
    assert counts.emitted == 7
    assert counts.is_conserved
    assert rows(tmp_path / "lake", "select distinct survived from utterances") == [(True,)]
    assert two.cluster.restarts() == 0


def test_a_task_manager_is_gone_and_the_job_begins_again(two, raw, golden, tmp_path):
    """Whole, but what is committed is read and not made again."""
    notes, lake = tmp_path / "notes", tmp_path / "lake"
    options = two.processes(**{NOTES: str(notes)})
    with provoice(words(raw, lake, SLOW, "--engine", "beam", "--json", "--", *options)) as process:
        began = time.monotonic()
        wait_for_commits(lake, 6, process)
        two.cluster.task_managers[0].kill()
        killed_at = time.monotonic()
        out, err = process.communicate(timeout=900)
    assert process.returncode == 0, err
    account = json.loads(out)
    assert (account["sources"], account["emitted"]) == (UNITS, UNITS)
    assert digests(lake) == golden
    orphans = two.cluster.task_managers[0].orphans
    assert orphans
    _, alive = psutil.wait_procs(orphans, timeout=30)
    assert not alive, "Beam's workers outlive their TaskManager"
    tried, restarts = attempts(notes), two.cluster.restarts()
    before_s, after_s = killed_at - began, time.monotonic() - killed_at
    print(f"\na TaskManager killed after {before_s:.0f} s; {after_s:.0f} s more, {restarts} restart(s)")
    print(f"{sum(tried.values())} attempts at {len(tried)} units, at most {max(tried.values())} at one")
    assert 1 <= restarts <= 3
    assert len(tried) == UNITS
    # In hand at the kill: two on each TaskManager.
    assert sum(tried.values()) <= UNITS + 4
    two.cluster.add_task_manager()


def test_a_worker_that_always_dies_ends_the_job_after_three_restarts(two, tmp_path):
    work = Acts(str(tmp_path / "notes"), {"bad": "die"})
    settings = Settings(options=tuple(two.processes()), beam=BeamConfig(processes_per_machine=2))
    with told("always dying"), pytest.raises(RunStopped, match=r"PortableRunner broke: .* have no receipt"):
        list(beam.run(tasks("bad", "good"), work, settings))
    assert two.cluster.jobs()[0]["state"] == "FAILED"
    assert two.cluster.restarts() == 3
    assert work.attempts().count("bad") == 4


def test_where_flink_may_not_restart_the_run_stops_and_another_engine_resumes(raw, golden, tmp_path):
    """Flink's own default. Beam's option for it is for streaming jobs only, and changes nothing."""
    notes, lake = tmp_path / "notes", tmp_path / "lake"
    with flink(tmp_path / "flink", 1, settings={}) as one:
        options = [*one.processes(**{NOTES: str(notes)}), "--number_of_execution_retries=3"]
        with provoice(words(raw, lake, SLOW, "--engine", "beam", "--", *options)) as process:
            wait_for_commits(lake, 6, process)
            one.cluster.task_managers[0].kill()
            with told("no restarts allowed, the only TaskManager killed: stopped"):
                _, err = process.communicate(timeout=300)
        assert one.cluster.jobs()[0]["state"] == "FAILED"
        assert one.cluster.restarts() == 0
    _stopped_and_resumes(process.returncode, err, raw, lake)
    assert digests(lake) == golden


def test_the_job_server_is_gone(raw, golden, tmp_path):
    """Its Flink dies with it. The run stops at once, and another engine ends it."""
    lake = tmp_path / "lake"
    with job_server(tmp_path / "flink") as server:
        command = words(raw, lake, SLOW, "--engine", "beam", "--", *server.options(LOOPBACK))
        with provoice(command) as process:
            wait_for_commits(lake, 6, process)
            server.java.kill()
            with told("stopped after"):
                _, err = process.communicate(timeout=300)
    _stopped_and_resumes(process.returncode, err, raw, lake)
    assert digests(lake) == golden


def test_the_job_server_of_a_cluster_is_gone(two, raw, golden, tmp_path):
    """The job goes on without it, beside the one that resumes; whoever is first commits, and nothing is doubled."""
    notes, lake = tmp_path / "notes", tmp_path / "lake"
    with job_server(tmp_path / "flink", two.cluster.rest) as server:
        options = replace(two, server=server).processes(**{NOTES: str(notes)})
        with provoice(words(raw, lake, SLOW, "--engine", "beam", "--", *options)) as process:
            wait_for_commits(lake, 3, process)
            server.java.kill()
            with told("job server of a cluster killed: stopped"):
                _, err = process.communicate(timeout=300)
        assert two.cluster.jobs()[0]["state"] == "RUNNING"
        _stopped_and_resumes(process.returncode, err, raw, lake)
    assert digests(lake) == golden
    deadline = time.monotonic() + 120
    while two.cluster.jobs()[0]["state"] == "RUNNING" and time.monotonic() < deadline:
        time.sleep(0.5)
    assert two.cluster.jobs()[0]["state"] == "FINISHED"
    assert commits(lake) == UNITS
    assert digests(lake) == golden


def _stopped_and_resumes(code: int, said: str, raw: Path, lake: Path) -> None:
    """It ended as a run ends that can be resumed, and is, here."""
    assert code == 1, said
    assert "resume with: provoice run" in said
    assert "Traceback" not in said
    print(f"{commits(lake)} commits; {next(line for line in said.splitlines() if line.startswith('provoice: '))}")
    assert commits(lake) < UNITS
    with provoice(words(raw, lake, SLOW, "--engine", "local")) as resumed:
        _, said = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, said
