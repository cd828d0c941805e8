"""What runs in an actor's process: the work opened for one task at a time. Its models and sources are in a child."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import dataclass
from typing import Generic

from pipelines.engines.contract import Receipt, Task, Work, Worker
from pipelines.engines.ray_counters import Counters
from schemas.errors import ProvoiceError, RunStopped

log = logging.getLogger("provoice.worker")

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Failure:
    """An error of ours on its way to the driver. Raised, Ray would wrap it, and print where it came from."""

    error: ProvoiceError


class UnitActor(Generic[Receipt]):
    """One worker of the pool. `open` is a call and no constructor, so that what it raises arrives as it is."""

    def __init__(self) -> None:
        self._worker: Worker[Receipt] | None = None
        self._counters = Counters()

    def open(self, work: Work[Receipt]) -> Failure | None:
        """Opens the work; the actor is ready when this has returned."""
        # Ray gives an actor of several CPUs as many threads; the child has one core.
        os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
        # A new child runs its parent's main file again. This one is Ray's, imports Ray, and is no business of a child.
        vars(sys.modules["__main__"]).pop("__file__", None)
        try:
            self._worker = work.open(1)
        except ProvoiceError as error:
            return Failure(error)
        return None

    def run(self, task: Task) -> Receipt | Failure:
        """The task's receipt, or the error with which the whole run ends."""
        if self._worker is None:
            raise RuntimeError("the actor was not opened")
        try:
            receipt = self._worker.run(task)
            self._counters.add(receipt)
            return receipt
        except ProvoiceError as error:
            return Failure(error)
        except Exception as error:  # a fault in the code; its class may not exist, or not unpickle, on the other side
            log.exception("unit %s", task.name)
            said = " ".join(f"{type(error).__name__}: {error}".split())
            return Failure(RunStopped(f"a Ray worker failed on unit {task.name} with {said}"))

    def close(self) -> None:
        """Ends the child, and a `run` that waits for it."""
        if self._worker is not None:
            self._worker.close()
