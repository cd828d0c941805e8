"""The engine `ray`: a small pool of actors on this machine or on a cluster, one task in flight each.

Not Ray Data: docs/decisions/009-ray-data-not-used.md says why.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

from pipelines.engines.contract import Receipt, Settings, Task, Work
from pipelines.engines.ray_cluster import connected
from pipelines.engines.ray_pool import Pool


def run(tasks: Sequence[Task], work: Work[Receipt], settings: Settings) -> Generator[Receipt, None, None]:
    """Longest tasks first, each on whichever actor is free. Closing the iterator ends the actors and a Ray of our own.

    Raises ConfigError where Ray cannot be reached or has no room, RunStopped where workers keep dying, and whatever
    the work itself ends with, as it is.
    """
    with connected(settings) as ray:
        pool = Pool(ray, tasks, work, settings)
        try:
            yield from pool.receipts()
        finally:
            pool.close()
