"""The unit worker: one engine-free call, `run(unit) -> Commit`, that any engine can make, repeat or lose."""

from __future__ import annotations

import queue
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lake.commits import read_commit
from lake.lake import Lake
from pipelines.breaker import Breaker
from pipelines.child import JobSpec
from pipelines.config import Config
from pipelines.supervisor import Supervisor, cores
from schemas.model import parse
from schemas.records import Commit


@dataclass(frozen=True, slots=True)
class Task:
    """What travels to a worker: names and a size, never audio."""

    unit_id: str
    estimated_s: float


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """Everything a worker on any machine needs, as plain values."""

    lake_uri: str
    run_id: str
    run_number: int
    config: Mapping[str, Any]
    processes: int | None = None
    work_dir: str = ""


class UnitWorker:
    """Holds the children of this machine: at most `processes` units at a time, however many threads call."""

    def __init__(self, spec: WorkerSpec) -> None:
        self.spec = spec
        self._lake = Lake.open(spec.lake_uri)
        limits = parse(Config, dict(spec.config), "the run's configuration").limits
        job = JobSpec(spec.lake_uri, spec.run_number, spec.config, spec.work_dir)
        breaker = Breaker(limits)
        self._idle: queue.SimpleQueue[Supervisor] = queue.SimpleQueue()
        self.processes = spec.processes or cores()
        self._all = [Supervisor(job, limits, breaker) for _ in range(self.processes)]
        for supervisor in self._all:
            self._idle.put(supervisor)

    def run(self, task: Task) -> Commit:
        """The unit's commit: the one that is there already, or the one this call brings about.

        Never raises for what a source can cause; raises for the store, the configuration, the ledger or the breaker.
        """
        held = read_commit(self._lake, self.spec.run_id, task.unit_id)
        if held is not None:
            return held
        supervisor = self._idle.get()
        try:
            return supervisor.run(task.unit_id)
        finally:
            self._idle.put(supervisor)

    def close(self) -> None:
        """Ends every child. A unit in hand is left to whoever resumes the run."""
        for supervisor in self._all:
            supervisor.close()
