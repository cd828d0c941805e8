"""The engine `local`: every core of this machine, one thread per child process."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Sequence

from pipelines.engines.contract import Receipt, Settings, Task, Work, longest_first


def run(tasks: Sequence[Task], work: Work[Receipt], settings: Settings) -> Generator[Receipt, None, None]:
    """Longest tasks first, each on whichever process is free. Closing the iterator ends the children."""
    waiting: queue.SimpleQueue[Task] = queue.SimpleQueue()
    for task in longest_first(tasks):
        waiting.put(task)
    done: queue.SimpleQueue[Receipt | BaseException] = queue.SimpleQueue()
    stopping = threading.Event()
    worker = work.open(settings.processes)

    def take() -> None:
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
        threading.Thread(target=take, name=f"task-{n}", daemon=True) for n in range(min(worker.processes, len(tasks)))
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
