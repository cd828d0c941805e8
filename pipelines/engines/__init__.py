"""Engines are glue: they hand tasks to workers and yield commits as they come. They know no audio and write nothing."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Protocol

from pipelines.worker import Task, WorkerSpec
from schemas.records import Commit


class Engine(Protocol):
    """`run(tasks, spec)` yields a commit per task, in any order; what it says is checked against the store."""

    def __call__(self, tasks: Sequence[Task], spec: WorkerSpec) -> Generator[Commit, None, None]: ...


def engine_named(name: str) -> Engine:
    """The engine `name`, one of those that the configuration accepts; its packages are imported only now."""
    from pipelines.engines import local

    return {"local": local.run}[name]
