"""What dies while Ray works: an actor, again and again, a node, the driver. `pytest -s -m long` prints the figures."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pytest
import ray

from lake.commits import committed_units
from lake.lake import Lake
from pipelines.engines.contract import Settings
from pipelines.engines.ray import run as ray_run
from pipelines.engines.ray_config import RayConfig
from pipelines.run import execute, start
from tests.engines.rays import OBJECT_STORE_BYTES, actors, cluster, on_cluster
from tests.engines.works import Acts, tasks
from tests.runs import QUICK, digests, request_for, rows, run
from tests.speech import folder_of_clips

pytestmark = [
    pytest.mark.long,
    # Ray leaves sockets and log files to the collector, and warns of what later versions of itself will do.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.*"),
]
UNITS = 40
SETTINGS = (*QUICK, "plan.unit_max_sources=1", 'stages=["tests.engines.stages:Unhurried"]')


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return folder_of_clips(tmp_path_factory.mktemp("faults") / "raw", UNITS, seconds=3)


@pytest.fixture(scope="module")
def undisturbed(raw, tmp_path_factory):
    lake = tmp_path_factory.mktemp("undisturbed") / "lake"
    assert run(raw, lake, settings=SETTINGS).units == UNITS
    return digests(lake)


@pytest.fixture
def there():
    with cluster(cpus=2) as made:
        yield made
        ray.shutdown()


class Scenario:
    """A run on a cluster, during which something happens after so many commits; then the account, printed."""

    def __init__(self, raw: Path, lake: Path, address: str, log: pytest.LogCaptureFixture) -> None:
        self.request = request_for(raw, lake, settings=(*SETTINGS, *on_cluster(address)))
        self.lake, self.log = lake, log

    def run(self, name: str, after: Sequence[int], what: Callable[[], None]) -> None:
        due = list(after)

        def committed(progress: object) -> None:
            if due and progress.committed >= due[0]:
                due.pop(0)
                what()

        self.log.set_level(logging.WARNING, logger="provoice.worker")
        began = time.monotonic()
        account = execute(self.request, start(self.request), committed)
        self.again = sum("its worker died" in record.getMessage() for record in self.log.records)
        assert not due, "the run ended before it was disturbed"
        assert (account.units, account.counts.sources, account.counts.is_conserved) == (UNITS, UNITS, True)
        print(f"\n{name}: {time.monotonic() - began:.1f} s, {UNITS} units, {UNITS + self.again} attempts")


def kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()


def test_nothing_dies(raw, undisturbed, there, tmp_path, caplog):
    """The figure beside which the others stand."""
    scenario = Scenario(raw, tmp_path / "lake", there.address, caplog)
    scenario.run("undisturbed", [], lambda: None)
    assert (digests(tmp_path / "lake"), scenario.again) == (undisturbed, 0)


def test_an_actor_is_killed(raw, undisturbed, there, tmp_path, caplog):
    children: list[psutil.Process] = []

    def strike() -> None:
        [victim, *_] = actors()
        ours = [child for child in victim.children(recursive=True) if "multiprocessing" in " ".join(child.cmdline())]
        children.extend(ours)
        victim.kill()

    scenario = Scenario(raw, tmp_path / "lake", there.address, caplog)
    scenario.run("an actor killed", [5], strike)
    assert digests(tmp_path / "lake") == undisturbed
    assert scenario.again <= 1
    assert len(children) >= 2, "a fork server and a child"
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive, [process.cmdline() for process in alive]


def test_actors_are_killed_again_and_again(raw, undisturbed, there, tmp_path, caplog):
    scenario = Scenario(raw, tmp_path / "lake", there.address, caplog)
    scenario.run("an actor killed six times", range(5, 35, 5), lambda: kill(actors()[:1]))
    assert digests(tmp_path / "lake") == undisturbed
    assert scenario.again <= 6


def test_a_node_is_killed(raw, undisturbed, tmp_path, caplog):
    with cluster(cpus=1) as made:
        node = made.add_node(num_cpus=1, object_store_memory=OBJECT_STORE_BYTES)
        pids = [info.process.pid for infos in node.all_processes.values() for info in infos]

        def strike() -> None:
            roots = [psutil.Process(pid) for pid in pids]
            below = [child for root in roots for child in root.children(recursive=True)]
            assert any(child in below for child in actors()), "an actor was at work there"
            kill([*roots, *below])

        scenario = Scenario(raw, tmp_path / "lake", made.address, caplog)
        scenario.run("one node of two killed", [10], strike)
        ray.shutdown()
    assert digests(tmp_path / "lake") == undisturbed
    assert scenario.again == 1


def test_a_node_that_comes_later_is_used(tmp_path):
    names = [f"t{n:02d}" for n in range(30)]
    work = Acts(str(tmp_path / "notes"), dict.fromkeys(names, "second"))
    with cluster(cpus=1) as made:
        settings = Settings(ray=RayConfig(address=made.address, memory_per_worker_bytes=1 << 28))
        seen, most = [], 0
        for name in ray_run(tasks(*names), work, settings):
            seen.append(name)
            if len(seen) == 2:
                made.add_node(num_cpus=2, object_store_memory=OBJECT_STORE_BYTES)
            most = max(most, len(actors()))
        ray.shutdown()
    assert (sorted(seen), most) == (names, 3)


def test_each_poison_costs_its_own_source_and_the_run_ends_by_itself(raw, there, tmp_path):
    poisons = {0: "abort", 2: "eat", 9: "sleep", 21: "raise", 33: "exit", 34: "reject"}
    catalogue = tmp_path / "c.jsonl"
    lines = (json.dumps({"path": f"clip{n:03d}.wav", "extra.poison": what}) for n, what in poisons.items())
    catalogue.write_text("\n".join(lines))
    settings = (
        *QUICK, 'stages=["tests.poison:Poison"]', "plan.unit_max_sources=5", "plan.units_at_least=1",
        "limits.breaker_min=50", "limits.seconds_per_source=3", "limits.memory_bytes=800000000",
    )  # fmt: skip
    began = time.monotonic()
    counts = run(raw, tmp_path / "lake", settings=(*settings, *on_cluster(there.address)), catalogue=catalogue).counts
    attempts = rows(tmp_path / "lake", "select sum(attempt), count(*) from commits")
    print(f"\npoison: {time.monotonic() - began:.1f} s, (attempts, units) {attempts}, rejected {counts.rejected}")
    assert counts.rejected == {
        "decoder_crashed": 2, "out_of_memory": 1, "timed_out": 1, "stage_failed": 1, "no_utterance": 1,
    }  # fmt: skip
    assert (counts.emitted, counts.is_conserved) == (UNITS - len(poisons), True)
    assert rows(tmp_path / "lake", "select distinct survived from utterances") == [(True,)]


def started(raw: Path, lake: Path, *settings: str) -> psutil.Popen:
    """`provoice run` as a scheduler starts it, once units are committed."""
    sets = [word for setting in (*SETTINGS, "engine=ray", *settings) for word in ("--set", setting)]
    words = [
        "run",
        "configs/explore.yaml",
        "--source",
        f"raw={raw}",
        "--lake",
        str(lake),
        "--engine",
        "ray",
        "--json",
        *sets,
    ]
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "TMPDIR": str(lake.parent)}
    made = psutil.Popen(
        [sys.executable, "-m", "provoice", *words], stdout=(lake.parent / "stdout").open("w"), stderr=subprocess.PIPE,
        text=True, env=environment, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (lake / "runs").exists() or sum(len(committed_units(Lake.open(str(lake)), r)) for r in run_ids(lake)) < 3:
        assert made.poll() is None, made.stderr.read()
        assert time.monotonic() < deadline, "no unit was committed"
        time.sleep(0.2)
    return made


def ended(driver: psutil.Popen) -> tuple[str, int]:
    """What it said, and its exit code."""
    with driver.stderr:
        said = driver.stderr.read()
    return said, driver.wait(60)


def run_ids(lake: Path) -> list[str]:
    return [json.loads(path.read_text())["run_id"] for path in lake.glob("runs/*/run.0.json")]


def gone(processes: Sequence[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=30)
    return not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def test_what_is_printed_is_the_account_and_our_own_words(raw, tmp_path):
    driver = started(raw, tmp_path / "lake")
    kill(actors()[:1])
    said, code = ended(driver)
    assert code == 0, said
    assert json.loads((tmp_path / "stdout").read_text())["emitted"] == UNITS
    assert len(re.findall("its worker died: ", said)) == 1
    for word in ("raylet", "Traceback", "WARNING: ", "INFO worker.py"):
        assert word not in said


def is_agent(process: psutil.Process) -> bool:
    """Ray's own agents ask a dead head for a minute before they follow it."""
    return "Agent" in process.name() or any("Agent" in word for word in process.cmdline()[:1])


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_ray_of_our_own_ends_with_the_run(raw, undisturbed, tmp_path, how):
    lake = tmp_path / "lake"
    driver = started(raw, lake)
    below = [process for process in driver.children(recursive=True) if how != signal.SIGKILL or not is_agent(process)]
    assert any("raylet" in process.name() for process in below)
    assert any("multiprocessing" in " ".join(process.cmdline()) for process in below)
    if how == signal.SIGINT:
        os.killpg(driver.pid, how)  # as a terminal does
    else:
        driver.send_signal(how)
    began, ending = time.monotonic(), f"_{driver.pid}"
    said, code = ended(driver)
    print(f"\n{how.name}: exit {code} after {time.monotonic() - began:.1f} s")
    assert gone(below)
    assert code == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[how]
    if how == signal.SIGINT:
        assert "resume with: provoice run" in said
    if how != signal.SIGKILL:
        assert "Traceback" not in said
        assert not [folder for folder in Path("/tmp").glob("provoice-work-*/session_*") if folder.name.endswith(ending)]
    assert run(raw, lake, settings=SETTINGS).units == UNITS
    assert digests(lake) == undisturbed


def test_a_cluster_that_was_there_stays(raw, there, tmp_path):
    driver = started(raw, tmp_path / "lake", f"ray.address={there.address}")
    at_work = actors()
    assert at_work
    os.killpg(driver.pid, signal.SIGINT)
    assert ended(driver)[1] == 130
    assert gone(at_work)
    work = Acts(str(tmp_path / "notes"))
    settings = Settings(ray=RayConfig(address=there.address, memory_per_worker_bytes=1 << 28))
    assert list(ray_run(tasks("a"), work, settings)) == ["a"]
