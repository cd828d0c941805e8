"""What an engine is handed and what it hands back: tasks, the work that turns each into a receipt, and settings.

A receipt lies in the store before anybody hears of it (a commit is one kind), so an engine may lose, repeat or reorder
tasks as it likes: whoever asked reads the receipts afterwards, and what the engine said decides nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from pipelines.engines.beam_config import BeamConfig
from pipelines.engines.ray_config import RayConfig

Receipt = TypeVar("Receipt", covariant=True)


@dataclass(frozen=True, slots=True)
class Task:
    """What travels to a worker: a name and a size, never audio. Names are unique among the tasks of one job."""

    name: str
    estimated_s: float
    """What it is expected to take, in seconds of audio or of anything else that orders tasks: longest go first."""
    deadline_s: float = 0.0
    """How long a worker may be at it before its result no longer counts; 0: nobody has set a limit."""


class Worker(Protocol[Receipt]):
    """The work opened in one process of an engine; `run` may be called by as many threads as there are `processes`."""

    processes: int
    """Tasks at a time, at most: a call beyond them waits."""

    def run(self, task: Task) -> Receipt:
        """The task's receipt: the one that is there already, or the one that this call brings about.

        Never raises for what a source can cause. A LakeError may pass when the call is made again, elsewhere or later;
        whatever else is raised stops the whole job.
        """
        ...

    def close(self) -> None:
        """Ends what it started. A task in hand is left to whoever resumes."""
        ...


class Work(Protocol[Receipt]):
    """What to do with each task, as plain values that can be pickled to another machine."""

    def open(self, processes: int | None = None) -> Worker[Receipt]:
        """Opens it in this process, for `processes` tasks at a time (None: as many as there are cores)."""
        ...

    def receipts(self, known: Collection[str] = ()) -> Iterator[tuple[str, Receipt]]:
        """(name of the task, receipt) of every receipt in the store whose name is not in `known`."""
        ...


@dataclass(frozen=True, slots=True)
class Settings:
    """Where and how the tasks run: the configuration's settings, never its recipe."""

    name: str = "provoice"
    """What the job is called on the engine's own pages: letters, digits, `-`."""
    processes: int | None = None
    """Worker processes on each machine; None: one per core."""
    ray: RayConfig = field(default_factory=RayConfig)
    beam: BeamConfig = field(default_factory=BeamConfig)
    options: tuple[str, ...] = ()
    """What stood after `--` on the command line; Beam's pipeline options."""
    worker_memory_bytes: int | None = None
    """What one worker process may take, for an engine that places workers where there is room; None: not known."""


class Engine(Protocol):
    """Yields a receipt per task, in any order, and ends its workers when it is closed. It knows no audio, and writes
    nothing. Raises ConfigError before it starts anything, and RunStopped when it cannot go on."""

    def __call__(
        self, tasks: Sequence[Task], work: Work[Receipt], settings: Settings
    ) -> Generator[Receipt, None, None]: ...


def longest_first(tasks: Sequence[Task]) -> list[Task]:
    """In the order in which every engine hands them out, so that no long one is left over at the end."""
    return sorted(tasks, key=lambda task: (-task.estimated_s, task.name))
