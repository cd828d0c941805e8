"""Many small objects, read in order: several at a time where each answer takes a while to come."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from lake.storage import ObjectInfo, Root

_READERS = 16
_AHEAD = 4 * _READERS
_AHEAD_BYTES = 64 << 20


def read_each(root: Root, objects: Iterable[ObjectInfo]) -> Iterator[bytes]:
    """The bytes of each object, in the order given, holding a bounded number of them. Raises Missing."""
    if root.is_local:
        yield from (root.read(info.path) for info in objects)
        return
    waiting: deque[tuple[Future[bytes], int]] = deque()
    held = 0
    with ThreadPoolExecutor(_READERS) as pool:
        try:
            for info in objects:
                while waiting and (len(waiting) >= _AHEAD or held + info.size_bytes > _AHEAD_BYTES):
                    future, size = waiting.popleft()
                    held -= size
                    yield future.result()
                waiting.append((pool.submit(root.read, info.path), info.size_bytes))
                held += info.size_bytes
            while waiting:
                yield waiting.popleft()[0].result()
        finally:
            for future, _ in waiting:
                future.cancel()
