"""provoice on Flink: inside Beam's job server, and on a cluster of one JobManager and one or two TaskManagers.

`pytest -s -m long tests/engines/test_flink.py` prints the figures that docs/flink.md gives.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pipelines.run import execute, start
from tests.engines.flink_cluster import Cluster, cluster
from tests.engines.flink_job_server import LOOPBACK, JobServer, job_server
from tests.engines.flink_workers import installed_in, process_options, wheel, worker_pool
from tests.imports import ROOT
from tests.runs import QUICK, digests, request_for, run
from tests.speech import folder_of_clips

pytestmark = [
    pytest.mark.long,
    # Beam's own: sockets and loops that it leaves to the end of the interpreter.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"),
]
SETTINGS = (*QUICK, "plan.unit_max_sources=1", "plan.units_at_least=1000")
SLOW = (*SETTINGS, 'stages=["tests.engines.flink_stage:Noted"]')
UNITS = 24
# Workers that outlive a stage: else each of the job's stages starts its own.
KEPT = "--environment_cache_millis=600000"
HERE = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Flink:
    cluster: Cluster
    server: JobServer
    folder: Path

    def processes(self, **extra: str) -> list[str]:
        """Options of a job whose workers run from this checkout, and with its tests."""
        return self.server.options(*process_options(self.folder, {**HERE, **extra}), KEPT)


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    return folder_of_clips(tmp_path_factory.mktemp("flink") / "raw", UNITS, seconds=3)


@pytest.fixture(scope="module")
def golden(raw, tmp_path_factory) -> dict[str, str]:
    lake = tmp_path_factory.mktemp("golden") / "lake"
    run(raw, lake, settings=SETTINGS)
    return digests(lake)


@pytest.fixture(scope="module")
def slow_golden(raw, tmp_path_factory) -> dict[str, str]:
    lake = tmp_path_factory.mktemp("slow") / "lake"
    run(raw, lake, settings=SLOW)
    return digests(lake)


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Iterator[Flink]:
    """A cluster of two TaskManagers, and its job server."""
    folder = tmp_path_factory.mktemp("two")
    with cluster(folder, task_managers=2) as made, job_server(folder, made.rest) as server:
        yield Flink(made, server, folder)


def words(raw: Path, lake: Path, settings: Sequence[str], *more: str) -> list[str]:
    """`provoice run` as it is typed."""
    sets = [word for setting in settings for word in ("--set", setting)]
    start = [sys.executable, "-m", "provoice", "run", "configs/explore.yaml", "--source", f"raw={raw}"]
    return [*start, "--lake", str(lake), *sets, *more]


def started(command: Sequence[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, **HERE}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def on_beam(raw: Path, lake: Path, options: Sequence[str], settings: Sequence[str] = SETTINGS) -> dict[str, str]:
    """A run in this process; digests of what it committed."""
    request = replace(request_for(raw, lake, settings=(*settings, "engine=beam")), options=tuple(options))
    begun = start(request)
    assert begun is not None
    account = execute(request, begun, lambda _: None)
    assert account.committed == account.units == UNITS
    assert account.counts.is_conserved
    return digests(lake)


def commits(lake: Path) -> list[str]:
    return sorted(path.name for path in lake.glob("commits/*/*.json"))


def wait_for_commits(lake: Path, number: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while len(commits(lake)) < number:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "no commits came"
        time.sleep(0.1)


def attempts(notes: Path) -> Counter[str]:
    return Counter(notes.read_text().split())


@contextlib.contextmanager
def told(what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    print(f"\n{what}: {time.monotonic() - began:.0f} s")


def digest_of(found: dict[str, str]) -> str:
    return hashlib.sha256("".join(f"{path} {found[path]}\n" for path in sorted(found)).encode()).hexdigest()


def test_inside_the_job_server(raw, golden, tmp_path):
    with job_server(tmp_path / "flink") as server, told("job server alone, LOOPBACK"):
        assert on_beam(raw, tmp_path / "lake", server.options(LOOPBACK)) == golden


def test_one_task_manager_and_a_worker_pool(raw, golden, tmp_path):
    """The pool installs nothing: what it needs is put there before it starts."""
    folder = tmp_path / "flink"
    with cluster(folder) as made, job_server(folder, made.rest) as server:
        with worker_pool(folder, wheel(folder)) as external, told("one TaskManager, EXTERNAL"):
            assert on_beam(raw, tmp_path / "lake", server.options(*external, KEPT)) == golden
        assert [job["state"] for job in made.jobs()] == ["FINISHED"]
    assert not list(folder.rglob("*.jar")), "150 MB for every job are left"


def test_two_task_managers_install_the_wheel_from_the_command_line(two, raw, golden, tmp_path):
    """The checkout is not to be seen by the workers; the wheel travels with the job."""
    folders = [two.cluster.workers_folder(n) for n in range(2)]
    assert not any("pipelines" in installed_in(folder) for folder in folders)
    package = wheel(tmp_path)
    options = two.server.options(*process_options(two.folder), KEPT, f"--extra_package={package}")
    command = words(raw, tmp_path / "lake", SETTINGS, "--engine", "beam", "--json", "--", *options)
    with told("two TaskManagers, PROCESS with a wheel"):
        process = started(command)
        out, err = process.communicate(timeout=900)
    assert process.returncode == 0, err
    account = json.loads(out)
    assert (account["sources"], account["emitted"]) == (UNITS, UNITS)
    assert digests(tmp_path / "lake") == golden
    print(f"{len(golden)} objects, {digest_of(golden)}")
    assert all("pipelines" in installed_in(folder) for folder in folders)
