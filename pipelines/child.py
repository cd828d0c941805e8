"""The isolated child: a process that opens the models once and runs units until it is told to stop, or dies.

Whatever a file does to a decoder happens here, and not to the engine's process.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from schemas.errors import ProvoiceError, stage_of
from schemas.quick_arrow import never_import_pandas_for_a_question


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What a child needs to open its job; it travels as plain values."""

    lake_uri: str
    run_number: int
    config: Mapping[str, Any]
    work_dir: str
    run_id: str = ""
    """For what is logged."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a child gave up a unit without dying. `is_fatal`: no retry can help (storage, configuration, consent)."""

    error: Exception
    is_fatal: bool
    trace: str = ""
    stage: str = ""
    """In which stage, if it was in one."""


def settings_of_this_process() -> dict[str, str]:
    """Its variables PROVOICE_…; a child has those of the fork server, which may be older than they are."""
    return {name: value for name, value in os.environ.items() if name.startswith("PROVOICE_")}


def serve(connection: Connection, spec: JobSpec, supervisor_pid: int, settings: Mapping[str, str]) -> None:
    """The child's whole life. Says "ready", then answers each ("run", attempt) with a commit or a failure."""
    for name in settings_of_this_process().keys() - settings.keys():
        del os.environ[name]
    os.environ.update(settings)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to handle
    threading.Thread(target=die_with, args=(supervisor_pid,), daemon=True, name="watch").start()
    try:
        job = _open(spec)
    except Exception as error:  # noqa: BLE001 - whatever it is, the supervisor must hear of it
        connection.send(("failed", _failure(error, is_opening=True)))
        return
    connection.send(("ready", os.getpid()))
    while (attempt := _next(connection)) is not None:
        try:
            connection.send(("commit", job(attempt, _calls(connection)).model_dump(mode="json")))
        except (BrokenPipeError, EOFError):
            return  # the supervisor is gone; what is committed stays, the rest is somebody else's now
        except Exception as error:  # noqa: BLE001 - any fault of a stage is an answer, and no end of this process
            connection.send(("failed", _failure(error, is_opening=False)))


def die_with(pid: int) -> None:
    """Ends this process when `pid` does: an engine's process may be killed while a source is in hand that never ends.

    The kernel's own way (PR_SET_PDEATHSIG) hears of the fork server only, which lives as long as any child of it.
    """
    try:
        if hasattr(os, "pidfd_open"):
            select.select([os.pidfd_open(pid)], [], [])
        else:
            while True:
                os.kill(pid, 0)
                time.sleep(1.0)
    except ProcessLookupError:
        pass
    os.kill(os.getpid(), signal.SIGKILL)


def _next(connection: Connection) -> Any:
    try:
        return connection.recv()
    except (EOFError, OSError):
        return None


def _open(spec: JobSpec) -> Any:
    _one_thread()
    never_import_pandas_for_a_question()
    from lake.lake import Lake
    from lake.runs import read_run
    from pipelines.config import Config
    from pipelines.unit import UnitJob
    from schemas.model import parse

    config = parse(Config, dict(spec.config), "the run's configuration")
    # A backstop only: the supervisor watches the real figure and says what happened.
    soft = 4 * config.limits.memory_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (soft, soft))
    lake = Lake.open(spec.lake_uri)
    job = UnitJob(lake, read_run(lake, spec.run_number), config, Path(spec.work_dir))
    job.open()
    return job


def _one_thread() -> None:
    """One compute thread each: the supervisor has one child per core."""
    import pyarrow as pa

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)


def _calls(connection: Connection) -> Any:
    from pipelines.unit import Calls

    def in_hand(sources: Any, total: int) -> None:
        seconds = sum(planned.estimated_s for planned in sources)
        connection.send(("in_hand", [planned.source.recording_id for planned in sources], seconds, total))

    def may_commit(counts: Any) -> None:
        connection.send(("may_commit", counts.model_dump(mode="json")))
        answer = connection.recv()
        if isinstance(answer, Exception):
            raise answer

    return Calls(in_hand, may_commit)


def _failure(error: Exception, *, is_opening: bool) -> Failure:
    is_ours = isinstance(error, ProvoiceError)
    stage = stage_of(error)
    trace = "" if is_ours else "".join(traceback.format_exception(error))
    if not is_ours:
        # The class may not exist, or not unpickle, on the other side.
        said = "; ".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())])
        error = MemoryError() if isinstance(error, MemoryError) else RuntimeError(said)
    return Failure(error, is_fatal=is_ours or is_opening, trace=trace, stage=stage)
