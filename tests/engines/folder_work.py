"""Work without audio, for tests of engines: a receipt is a small file in a folder, and a task does what its name says.

`done-…` is done, `slow-…` takes a second, `never-…` never ends; `lake-…`, `consent-…`, `stopped-…`, `config-…` and
`fault-…` raise. Each try is noted beside the receipts.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.engines.contract import Task
from schemas.errors import ConfigError, ConsentError, LakeError, RunStopped

_RAISED = {
    "lake": LakeError("the store said something odd"),
    "consent": ConsentError("the ledger is missing"),
    "stopped": RunStopped("too many sources crashed"),
    "config": ConfigError("a stage is not there"),
    "fault": ValueError("a fault of ours,\nin two lines"),
}


@dataclass(frozen=True)
class Done:
    """A receipt with an account of the kind that commits have."""

    name: str
    pid: int
    counts: dict[str, object]


@dataclass(frozen=True)
class FolderWork:
    folder: str

    def open(self, processes: int | None = None) -> FolderWorker:
        return FolderWorker(Path(self.folder), processes or 1)

    def receipts(self, known: Collection[str] = ()) -> Iterator[tuple[str, Done]]:
        for path in sorted(Path(self.folder).glob("*.json")):
            if path.stem not in known:
                yield path.stem, Done(**json.loads(path.read_text()))

    @property
    def tries(self) -> list[str]:
        return sorted(path.name.rpartition(".")[0] for path in Path(self.folder).glob("*.try*"))


class FolderWorker:
    def __init__(self, folder: Path, processes: int) -> None:
        self.processes = processes
        self._folder = folder
        self._free = threading.Semaphore(processes)

    def run(self, task: Task) -> Done:
        with self._free:
            kind = task.name.partition("-")[0]
            (self._folder / f"{task.name}.try{time.monotonic_ns()}").touch()
            if kind in _RAISED:
                raise _RAISED[kind]
            while kind == "never":
                time.sleep(1)
            time.sleep(1.0 if kind == "slow" else 0.0)
            counts = {
                "sources": 3, "emitted": 1, "rejected": {"silent": 1}, "held": {"no_grant": 1}, "source_s": 1.5,
                "processes": self.processes,
            }  # fmt: skip
            done = Done(task.name, os.getpid(), counts)
            part = self._folder / f"{task.name}.part{os.getpid()}"
            part.write_text(json.dumps(done.__dict__))
            part.rename(self._folder / f"{task.name}.json")
            return done

    def close(self) -> None: ...


def tasks_of(names: Sequence[str]) -> list[Task]:
    """A task each; the first is the longest."""
    return [Task(name, float(len(names) - n), 0.0) for n, name in enumerate(names)]
