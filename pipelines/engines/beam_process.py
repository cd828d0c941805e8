"""What one process of a Beam runner holds: the work, opened once however many bundles there are, and its threads.

Nothing here raises for a task. Beam fails the whole job on an exception, starts it over, or hangs, by runner.
"""

from __future__ import annotations

import logging
import sys
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from pipelines.engines.contract import Task, Work, Worker
from pipelines.supervisor import cores
from schemas.errors import LakeError, ProvoiceError

log = logging.getLogger("provoice.worker")

_TEXT_CHARS = 600


@dataclass(frozen=True, slots=True)
class Dead:
    """A task without a receipt: the class of the error, and its text on one line."""

    task: str
    error: str
    text: str

    def plain(self) -> dict[str, str]:
        return {"task": self.task, "error": self.error, "text": self.text}


class EngineProcess:
    """The worker of this process. It is opened with the first task, for what fails then is an answer as well."""

    def __init__(self, work: Work[Any], machine_processes: int | None, engine_processes: int | None) -> None:
        self.processes = share(machine_processes, engine_processes)
        """Tasks at a time in this process."""
        self._work = work
        self._lock = threading.Lock()
        self._worker: Worker[Any] | None = None
        self._stopped: Dead | None = None
        self._holders = 0

    def hold(self) -> None:
        """One more bundle processor has it."""
        with self._lock:
            self._holders += 1

    def release(self) -> None:
        """One fewer; the last one ends the worker's processes, which the next task would open again."""
        with self._lock:
            self._holders -= 1
            worker = None
            if self._holders <= 0:
                worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()

    def submit(self, task: Task) -> Future[Any]:
        """The task's receipt or Dead, from a thread that does not keep the process alive."""
        future: Future[Any] = Future()
        threading.Thread(
            target=lambda: future.set_result(self.run(task)), name=f"task-{task.name}", daemon=True
        ).start()
        return future

    def run(self, task: Task) -> Any:
        """The receipt, or Dead. After an error that stops the whole job, every further task is dead at once."""
        if self._stopped is not None:
            return Dead(task.name, self._stopped.error, self._stopped.text)
        worker = None
        try:
            worker = self._opened()
            return worker.run(task)
        except BaseException as error:  # Beam must not see it, `sys.exit` in a thread included
            if not isinstance(error, ProvoiceError):
                log.exception("task %s", task.name)
            dead = self._dead(task, error)
            # A worker that `release` closed says so to the tasks of an abandoned bundle, and to nobody else.
            if not isinstance(error, LakeError) and worker is self._worker:
                self._stopped = self._stopped or dead
            return dead

    def _opened(self) -> Worker[Any]:
        with self._lock:
            if self._worker is None:
                _forget_main()
                self._worker = self._work.open(self.processes)
            return self._worker

    def _dead(self, task: Task, error: BaseException) -> Dead:
        text = " ".join(str(error).split())
        dead = Dead(task.name, type(error).__name__, text[:_TEXT_CHARS] or type(error).__name__)
        log.warning("task %s has no receipt: %s: %s", dead.task, dead.error, dead.text)
        return dead


def share(machine_processes: int | None, engine_processes: int | None) -> int:
    """This process's part of the machine's worker processes (None: one per core); at least one.

    `engine_processes` is how many processes of the engine share the machine; None: one per core.
    """
    return max(1, (machine_processes or cores()) // (engine_processes or cores()))


def _forget_main() -> None:
    """A child process of `multiprocessing` imports its parent's main module; Beam's takes seconds and 150 MiB."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if main is not None and spec is not None and spec.name.startswith("apache_beam."):
        main.__spec__, main.__file__ = None, None
