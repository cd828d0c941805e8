"""The engine `local`: every core of this machine, one thread per child process."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Sequence

from pipelines.worker import Task, UnitWorker, WorkerSpec
from schemas.records import Commit


def run(tasks: Sequence[Task], spec: WorkerSpec) -> Generator[Commit, None, None]:
    """Longest units first, so that none is left over at the end. Closing the iterator ends the children."""
    waiting: queue.SimpleQueue[Task] = queue.SimpleQueue()
    for task in sorted(tasks, key=lambda task: (-task.estimated_s, task.unit_id)):
        waiting.put(task)
    done: queue.SimpleQueue[Commit | BaseException] = queue.SimpleQueue()
    stopping = threading.Event()
    worker = UnitWorker(spec)

    def work() -> None:
        while not stopping.is_set():
            try:
                task = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                done.put(worker.run(task))
            except BaseException as error:  # noqa: BLE001 - handed to the caller's thread, which raises it
                done.put(error)
                return

    threads = [
        threading.Thread(target=work, name=f"unit-{n}", daemon=True) for n in range(min(worker.processes, len(tasks)))
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in tasks:
            answer = done.get()
            if isinstance(answer, BaseException):
                raise answer
            yield answer
    finally:
        stopping.set()
        worker.close()
        for thread in threads:
            thread.join(10)
