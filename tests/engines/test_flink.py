"""provoice on Flink: inside Beam's job server, and on a cluster of one JobManager and one or two TaskManagers.

`pytest -s -m long tests/engines/test_flink.py` prints the figures that docs/flink.md gives.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.engines.flink_jars import cluster_jars, job_server_jars
from tests.engines.flink_job_server import LOOPBACK, job_server
from tests.engines.flink_runs import KEPT, SETTINGS, flink, in_process, provoice, told, words
from tests.engines.flink_workers import installed_in, process_options, wheel, worker_pool
from tests.imports import ROOT
from tests.runs import digests, run
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
    """What the engine `local` makes of them."""
    lake = tmp_path_factory.mktemp("golden") / "lake"
    run(raw, lake, settings=SETTINGS)
    found = digests(lake)
    whole = hashlib.sha256("".join(f"{path} {found[path]}\n" for path in sorted(found)).encode()).hexdigest()
    print(f"\nlocal: {len(found)} objects, {whole}")
    return found


def is_complete(account) -> bool:
    return account.committed == account.units == account.counts.emitted == UNITS and account.counts.is_conserved


_UNTIL_KILLED = """
import sys
from pathlib import Path
from tests.engines.flink_runs import flink
with flink(Path(sys.argv[1]), 1) as made:
    print(*(one.process.pid for one in (made.server.java, made.cluster.job_manager, *made.cluster.task_managers)))
    sys.stdout.flush()
    sys.stdin.read()
"""


def test_nothing_of_flink_outlives_a_test_that_is_killed(tmp_path):
    assert [*job_server_jars(), *cluster_jars()]  # skips where there are none, which the other process could not
    command = [sys.executable, "-c", _UNTIL_KILLED, str(tmp_path / "flink")]
    test = subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with test:
        assert test.stdout
        started = [psutil.Process(int(pid)) for pid in test.stdout.readline().split()]
        assert [one.name() for one in started] == ["java"] * 3
        test.kill()
    _, alive = psutil.wait_procs(started, timeout=10)
    assert not alive


def test_inside_the_job_server(raw, golden, tmp_path):
    with job_server(tmp_path / "flink") as server, told("job server alone, LOOPBACK"):
        assert is_complete(in_process(raw, tmp_path / "lake", server.options(LOOPBACK)))
    assert digests(tmp_path / "lake") == golden


def test_one_task_manager_and_a_worker_pool(raw, golden, tmp_path):
    """The pool installs nothing: what it needs is put there before it starts."""
    with flink(tmp_path / "flink", 1) as made:
        pool = worker_pool(made.folder, wheel(tmp_path))
        with pool as external, told("one TaskManager, EXTERNAL"):
            assert is_complete(in_process(raw, tmp_path / "lake", made.server.options(*external, KEPT)))
        assert [job["state"] for job in made.cluster.jobs()] == ["FINISHED"]
    assert digests(tmp_path / "lake") == golden
    assert not list(made.folder.rglob("*.jar")), "150 MB of every job are left"


def test_two_task_managers_install_the_wheel_from_the_command_line(raw, golden, tmp_path):
    """The workers do not see the checkout; the wheel travels with the job."""
    with flink(tmp_path / "flink", 2) as made:
        folders = [made.cluster.workers_folder(n) for n in range(2)]
        assert not any("pipelines" in installed_in(folder) for folder in folders)
        package = f"--extra_package={wheel(tmp_path)}"
        options = made.server.options(*process_options(made.folder), KEPT, package)
        command = words(raw, tmp_path / "lake", SETTINGS, "--engine", "beam", "--json", "--", *options)
        with told("two TaskManagers, PROCESS with a wheel"), provoice(command) as process:
            out, err = process.communicate(timeout=900)
        assert process.returncode == 0, err
        assert all("pipelines" in installed_in(folder) for folder in folders)
    account = json.loads(out)
    assert (account["sources"], account["emitted"]) == (UNITS, UNITS)
    assert digests(tmp_path / "lake") == golden
