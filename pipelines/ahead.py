"""An iterator that is worked on in a thread of its own, a few items ahead of whoever reads it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from queue import Empty, Full, Queue
from typing import TypeVar

Item = TypeVar("Item")
_POLL_S = 0.1


def ahead(items: Iterable[Item], depth: int = 1) -> Iterator[Item]:
    """`items`, of which up to `depth` + 1 are ready before they are asked for; what they raise is raised here.

    Arrow and compression leave the interpreter free, so that reading and hashing, or sorting and writing, overlap.
    """
    queue: Queue[tuple[Item | None, BaseException | None]] = Queue(depth)
    stopped = threading.Event()

    def put(item: Item | None, error: BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                queue.put((item, error), timeout=_POLL_S)
                return True
            except Full:
                continue
        return False

    done = threading.Event()

    def work() -> None:
        try:
            for item in items:
                if not put(item, None):
                    return
        except BaseException as error:  # noqa: BLE001  (it is raised where the items are read)
            put(None, error)
        finally:
            done.set()

    worker = threading.Thread(target=work, name="ahead", daemon=True)
    worker.start()
    try:
        while not (done.is_set() and queue.empty()):
            try:
                item, error = queue.get(timeout=_POLL_S)
            except Empty:
                continue
            if error is not None:
                raise error
            yield item  # type: ignore[misc]  # None comes with an error only
            del item
    finally:
        stopped.set()
        worker.join()
