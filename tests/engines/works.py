"""Work without audio, for what an engine does around it: it raises, dies, or says where it ran."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.engines.contract import Task


class Unpicklable(Exception):
    """As some libraries' errors are: it cannot be made again from what it keeps."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(one)
        self.other = other


@dataclass(frozen=True)
class Acts:
    """Each task does what `acts` says of it, else nothing; its receipt is its name. Attempts are lines of a file."""

    notes: str
    acts: dict[str, BaseException | str] = field(default_factory=dict)
    at_opening: BaseException | str | None = None

    def open(self, processes: int | None = None) -> Opened:
        _act(self.at_opening)
        return Opened(self, processes or 1)

    def receipts(self, known: Collection[str] = ()) -> Iterator[tuple[str, str]]:
        yield from ((name, name) for name in () if name not in known)

    def attempts(self) -> list[str]:
        path = Path(self.notes)
        return path.read_text().split() if path.exists() else []


@dataclass
class Opened:
    work: Acts
    processes: int

    def run(self, task: Task) -> str:
        with Path(self.work.notes).open("a") as notes:
            notes.write(f"{task.name}\n")
        _act(self.work.acts.get(task.name))
        return task.name

    def close(self) -> None: ...


def _act(what: BaseException | str | None) -> None:
    if isinstance(what, BaseException):
        raise what
    if what == "unpicklable":
        raise Unpicklable("this error", "does not travel")
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "second":
        time.sleep(1)
    if what is not None and what.startswith("die once "):
        marker = Path(what.removeprefix("die once "))
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def tasks(*names: str) -> list[Task]:
    return [Task(name, 1.0) for name in names]
