"""The process that talks to Beam's runner: it submits the pipeline, waits, and says how it ended.

A process of its own, because a runner may hang, start threads that never end, print, and call `exit`; and because what
it starts (Prism, workers) is found by this process's session, and ended with it.
"""

# mypy: disallow-untyped-calls=False
from __future__ import annotations

import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from pipelines.engines.contract import Settings, Task, Work
from schemas.errors import ConfigError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """What the driver is handed."""

    tasks: Sequence[Task]
    work: Work[Any]
    settings: Settings
    log_path: str
    asker_pid: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The options are wrong; nothing was started."""

    text: str


@dataclass(frozen=True, slots=True)
class Submitted:
    """The runner is about to have the pipeline, or has it. `job`: its name on the runner's side, where it has one."""

    runner: str
    job: str = ""
    is_remote: bool = False
    """Whether it would go on without this process: it must be cancelled."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The runner is done: its last state, what it failed with, and what its counters say of tasks without receipt."""

    state: str
    error: str = ""
    counters: dict[str, int] = field(default_factory=dict)
    dead_texts: tuple[str, ...] = ()


CANCEL = "cancel"


def serve(connection: Connection, job: Job) -> None:
    """The driver's whole life. Its output, and that of all it starts, goes to the log."""
    os.setsid()  # Ctrl-C at the terminal reaches the asker alone, which ends what is of this session
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # drops one that came while it was blocked
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Beam ends Prism with it
    _log_to(job.log_path)
    threading.Thread(target=_end_with, args=(job.asker_pid,), daemon=True, name="watch").start()
    # For processes that a runner starts with this interpreter: they find what this one finds.
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    try:
        _run(connection, job)
    except ConfigError as error:
        connection.send(Refused(str(error)))
    except Exception as error:
        log.exception("the runner failed")
        connection.send(Ended("FAILED", _one_line(error)))


def _run(connection: Connection, job: Job) -> None:
    import apache_beam as beam
    from apache_beam.transforms import combiners

    from pipelines.engines import beam_options
    from pipelines.engines.beam_transform import PrepareUnits

    options = beam_options.parse_options(job.settings)
    name, runner = beam_options.runner_of(options)
    config = job.settings.beam
    units = PrepareUnits(
        job.tasks,
        job.work,
        processes=job.settings.processes,
        engine_processes=beam_options.engine_processes(name, options, config),
        resource_hints=beam_options.resource_hints(config),
    )
    with beam_options.as_config_error():
        pipeline = beam.Pipeline(runner=runner, options=options)
    outputs = pipeline | "Units" >> units
    if name == "PrismRunner":
        # Prism 2.77 turns in a circle, on a whole core, for as long as a stage works that nobody reads from.
        _ = outputs["receipts"] | "Read" >> combiners.Count.Globally()
    connection.send(Submitted(name))
    # DirectRunner returns when it is done; the others return at once.
    result = pipeline.run()
    is_remote = name == "DataflowRunner" or beam_options.has_job_server(options)
    connection.send(Submitted(name, str(getattr(result, "_job_id", "") or ""), is_remote))
    threading.Thread(target=_cancel_when_told, args=(connection, result), daemon=True, name="cancel").start()
    error = ""
    try:
        result.wait_until_finish()
    except Exception as failure:
        log.exception("the runner failed")
        error = _one_line(failure)
    connection.send(_ended(result, error))


def _cancel_when_told(connection: Connection, result: Any) -> None:
    try:
        asked = connection.recv()
    except (EOFError, OSError):
        return
    if asked == CANCEL:
        result.cancel()


def _ended(result: Any, error: str) -> Ended:
    """Asks for the metrics once, and only now: portable runners would answer every later question with the first."""
    from pipelines.engines.beam_transform import DEAD_TEXTS, NAMESPACE

    try:
        state = "FAILED" if error else str(result.state)
        found = result.metrics().query()
    except Exception as failure:  # noqa: BLE001 - a runner that is gone has no metrics; the store has the receipts
        log.warning("no metrics: %s", _one_line(failure))
        return Ended("FAILED" if error else "UNKNOWN", error)
    counters = {
        m.key.metric.name: int(m.committed or 0)
        for m in found.get("counters", ())
        if m.key.metric.namespace == NAMESPACE
    }
    texts = [
        text
        for m in found.get("string_sets", ())
        if m.key.metric.namespace == NAMESPACE and m.key.metric.name == DEAD_TEXTS
        for text in m.committed or ()
    ]
    return Ended(state, error, counters, tuple(sorted(texts)))


def _log_to(path: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)


def _end_with(pid: int) -> None:
    """Ends this process and all that it started when `pid` is gone."""
    from pipelines.engines.beam_session import end_session

    try:
        if hasattr(os, "pidfd_open"):
            select.select([os.pidfd_open(pid)], [], [])
        else:
            while True:
                os.kill(pid, 0)
                time.sleep(1.0)
    except ProcessLookupError:
        pass
    end_session(os.getpid())


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
