"""The engine `beam`: a pipeline of one transform, on any runner. Progress and the account come from the store.

The runner is asked for two things only: to hand out tasks, and to say when it is done.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Sequence
from importlib.util import find_spec

from pipelines.engines.beam_watch import Driver
from pipelines.engines.contract import Receipt, Settings, Task, Work
from pipelines.engines.receipts import Poll
from schemas.errors import ConfigError, LakeError

log = logging.getLogger("provoice.beam")


def run(tasks: Sequence[Task], work: Work[Receipt], settings: Settings) -> Generator[Receipt, None, None]:
    """Yields each receipt when it appears in the store; ends the runner, and all that it started, when closed.

    Raises ConfigError before anything has started, what stopped the job (the class that the worker raised), and
    RunStopped where tasks are left without a receipt, or where the runner hangs.
    """
    if find_spec("apache_beam") is None:
        raise ConfigError("the engine `beam` needs Apache Beam: pip install 'provoice[beam]'")
    if not tasks:
        return
    poll = Poll(work, tasks)
    driver = Driver(tasks, work, settings)
    try:
        while not driver.is_over(poll.outstanding):
            driver.wait(poll.pause_s)
            for receipt in _seen(poll):
                driver.progress()
                yield receipt
        yield from poll()
        driver.judge(poll.outstanding)
    finally:
        driver.close()


def _seen(poll: Poll[Receipt]) -> Iterator[Receipt]:
    """What a look finds. The workers go on while the store does not answer this process, and so does the job."""
    try:
        yield from poll()
    except LakeError as error:
        log.warning("progress is not known just now: %s", error)
