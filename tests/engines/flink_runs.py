"""Runs of provoice on Flink, in this process and from the command line, and what they left."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.run import Progress, execute, start
from tests.engines.flink_cluster import Cluster, cluster
from tests.engines.flink_job_server import JobServer, job_server
from tests.engines.flink_workers import process_options
from tests.imports import ROOT
from tests.runs import QUICK, request_for

# A unit per source, as many as there are sources; both TaskManagers are this one machine.
SETTINGS = (*QUICK, "plan.unit_max_sources=1", "plan.units_at_least=1000", "beam.processes_per_machine=2")
SLOW = (*SETTINGS, 'stages=["tests.engines.flink_stage:Noted"]')
# Workers that outlive a stage: else Flink may end them between two, and the next starts its own.
KEPT = "--environment_cache_millis=600000"
HERE = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Flink:
    cluster: Cluster
    server: JobServer
    folder: Path

    def processes(self, **extra: str) -> list[str]:
        """Options of a job whose workers run from this checkout, with its tests, and with `extra` variables."""
        return self.server.options(*process_options(self.folder, {**HERE, **extra}), KEPT)


@contextlib.contextmanager
def flink(folder: Path, task_managers: int, settings: Mapping[str, str] | None = None) -> Iterator[Flink]:
    """A cluster and its job server."""
    with cluster(folder, task_managers, settings) as made, job_server(folder, made.rest) as server:
        yield Flink(made, server, folder)


def in_process(
    raw: Path, lake: Path, options: Sequence[str], settings: Sequence[str] = SETTINGS, catalogue: Path | None = None
) -> Progress:
    """The account of a run in this process."""
    request = request_for(raw, lake, settings=(*settings, "engine=beam"), catalogue=catalogue)
    request = replace(request, options=tuple(options))
    begun = start(request)
    assert begun is not None
    return execute(request, begun, lambda _: None)


def words(raw: Path, lake: Path, settings: Sequence[str], *more: str) -> list[str]:
    """`provoice run` as it is typed."""
    sets = [word for setting in settings for word in ("--set", setting)]
    return ["run", "configs/explore.yaml", "--source", f"raw={raw}", "--lake", str(lake), *sets, *more]


@contextlib.contextmanager
def provoice(command: Sequence[str], env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """The command line as a process of its own, which does not outlive the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "provoice", *command], cwd=ROOT, env={**os.environ, **HERE, **(env or {})},
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with process:
        try:
            yield process
        finally:
            process.kill()


def commits(lake: Path) -> int:
    return sum(1 for _ in lake.glob("commits/*/*.json"))


def wait_for_commits(lake: Path, number: int, process: subprocess.Popen[str]) -> None:
    """Returns when there are `number` of them, while `process` is at it."""
    deadline = time.monotonic() + 300
    while commits(lake) < number:
        if process.poll() is not None:
            raise AssertionError(f"it ended with {commits(lake)} commits: {process.communicate()[1]}")
        assert time.monotonic() < deadline, f"{commits(lake)} commits in 300 s"
        time.sleep(0.1)


def attempts(notes: Path) -> Counter[str]:
    """How often each recording was handed to the stage that notes it."""
    return Counter(notes.read_text().split())


@contextlib.contextmanager
def told(what: str) -> Iterator[None]:
    """Prints how long the block took."""
    began = time.monotonic()
    yield
    print(f"\n{what}: {time.monotonic() - began:.0f} s")
