"""The unit worker: one engine-free call, `run(unit) -> Commit`, that any engine can make, repeat or lose."""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lake.commits import committed_units, read_commit, read_commits
from lake.lake import Lake
from pipelines import logs
from pipelines.breaker import Breaker
from pipelines.child import JobSpec
from pipelines.config import Config
from pipelines.engines.contract import Task
from pipelines.supervisor import Supervisor, cores
from schemas.errors import LakeError
from schemas.model import parse
from schemas.records import Commit

log = logging.getLogger("provoice.worker")

_PAUSE_S = 5.0


@dataclass(frozen=True, slots=True)
class PrepareWork:
    """Preparing the units of a run: everything a worker on any machine needs, as plain values."""

    lake_uri: str
    run_id: str
    run_number: int
    config: Mapping[str, Any]
    work_dir: str = ""
    """Where workers keep what is unfinished; empty: the machine's folder for temporary files."""

    def open(self, processes: int | None = None) -> UnitWorker:
        """The worker of this process, with `processes` children (None: one per core)."""
        logs.follow()
        return UnitWorker(self, processes or cores())

    def receipts(self, known: Collection[str] = ()) -> Iterator[tuple[str, Commit]]:
        """Commits of units that are not in `known`; costs one listing and what is new."""
        lake = Lake.open(self.lake_uri)
        new = [unit_id for unit_id in committed_units(lake, self.run_id) if unit_id not in known]
        yield from ((commit.unit_id, commit) for commit in read_commits(lake, self.run_id, new))


class UnitWorker:
    """Holds children of this machine: at most `processes` units at a time, however many threads call."""

    def __init__(self, work: PrepareWork, processes: int) -> None:
        self.work = work
        self.processes = processes
        self._lake = Lake.open(work.lake_uri)
        self._limits = parse(Config, dict(work.config), "the run's configuration").limits
        job = JobSpec(work.lake_uri, work.run_number, work.config, work.work_dir, work.run_id)
        breaker = Breaker(self._limits)
        self._idle: queue.SimpleQueue[Supervisor] = queue.SimpleQueue()
        self._all = [Supervisor(job, self._limits, breaker) for _ in range(processes)]
        for supervisor in self._all:
            self._idle.put(supervisor)

    def run(self, task: Task) -> Commit:
        """The unit's commit: the one that is there already, or the one this call brings about.

        Never raises for what a source can cause; raises for the store (after `limits.unit_tries`), the configuration,
        the ledger or the breaker.
        """
        for number in range(1, self._limits.unit_tries + 1):
            try:
                return self._tried(task)
            except LakeError as error:
                # The client has asked again and again already; a store that is away for longer may be back by now.
                if number == self._limits.unit_tries:
                    raise
                about = {"run_id": self.work.run_id, "unit_id": task.name, "attempt": number}
                log.warning("unit %s, try %d: %s", task.name, number, error, extra=about)
                time.sleep(_PAUSE_S * number)
        raise RuntimeError("not reached: the last try returns or raises")

    def _tried(self, task: Task) -> Commit:
        held = read_commit(self._lake, self.work.run_id, task.name)
        if held is not None:
            return held
        supervisor = self._idle.get()
        try:
            return supervisor.run(task.name)
        finally:
            self._idle.put(supervisor)

    def close(self) -> None:
        """Ends every child. A unit in hand is left to whoever resumes the run."""
        for supervisor in self._all:
            supervisor.close()
