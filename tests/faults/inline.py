"""A whole run in one process, as the command line would start it: the real units with their real stages, on an engine
that works in the caller's own thread, so that every effect has its number.

Threads that only save time (reading many small objects, choosing for a release, deleting) become calls.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import cache
from pathlib import Path
from typing import Any

from lake import reading, remote_create, retries
from lake.lake import Lake
from lake.runs import read_run
from pipelines import gc, gc_superseded, run, unit
from pipelines.config import Config, load_config
from pipelines.engines.contract import Settings, Task, Work
from pipelines.erase import looks
from pipelines.release import create
from pipelines.stages import Stages, build_stages
from pipelines.worker import PrepareWork
from schemas.model import parse
from schemas.records import Commit

QUICK = ("diarize.backend=single", "plan.unit_max_sources=2", "snr=null", "reverberation=null", "accent=null")
UPLOAD_PART = 24 << 10
"""Bytes; tars of these runs are sent in several parts."""


class InlinePool:
    """As ThreadPoolExecutor, but it works when it is asked to."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def submit(self, call: Callable[..., Any], *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(call(*args))
        except Exception as error:  # noqa: BLE001 - whoever asks for the result gets it
            future.set_exception(error)
        return future

    def map(self, call: Callable[..., Any], *several: Iterable[Any]) -> Iterator[Any]:
        return map(call, *several)

    def __enter__(self) -> InlinePool:
        return self

    def __exit__(self, *_: object) -> None: ...


@cache
def opened_stages(settings: Sequence[str], config: str) -> Stages:
    """Stages with their models, opened once for all runs of this process and of those forked from it."""
    stages = build_stages(load_config(config, settings), Path("spool"))
    stages.open()
    return stages


def engine(tasks: Sequence[Task], work: PrepareWork, _: Settings) -> Generator[Commit, None, None]:
    """Units in order of name, each by `UnitJob` as a child process would run it."""
    lake = Lake.open(work.lake_uri)
    record = read_run(lake, work.run_number)
    config = parse(Config, dict(work.config), "the run's configuration")
    job = unit.UnitJob(lake, record, config, Path(work.work_dir))
    ready = opened_stages(QUICK, "configs/explore.yaml")
    # The decoder has a folder of its own; what has a model is opened already.
    job.stages = Stages((job.stages.recording[0], *ready.recording[1:]), ready.cutter, ready.utterance, {})
    for stage in (job.stages.recording[0],):
        stage.open()
    job.gate.refresh()
    calls = unit.Calls(lambda *_: None, lambda _: None)
    for task in sorted(tasks, key=lambda one: one.name):
        yield job(unit.Attempt(task.name), calls)


def in_order(tasks: Sequence[Task], work: Work[Any], _: Settings) -> Generator[Any, None, None]:
    """Any work, task after task in order of name, in the caller's own thread."""
    worker = work.open(1)
    for task in sorted(tasks, key=lambda one: one.name):
        yield worker.run(task)


def one_thing_after_the_other() -> None:
    """For the rest of this process: no pools, no pauses, the engine above, and uploads of several parts."""
    for module in (reading, create, gc, gc_superseded):
        module.ThreadPoolExecutor = InlinePool  # type: ignore[attr-defined]
    run.engine_named = lambda _: engine  # type: ignore[assignment]
    looks.engine_named = lambda _: in_order  # type: ignore[assignment]
    remote_create.KNOWN = (*remote_create.KNOWN, "faulty")  # type: ignore[assignment]
    remote_create._BLOCK = UPLOAD_PART
    retries.time = _NoPauses()  # type: ignore[assignment]
    no_threads_of_c_code()


class _NoPauses:
    """`time`, but nobody waits."""

    monotonic = staticmethod(time.monotonic)

    @staticmethod
    def sleep(_: float) -> None: ...


def no_threads_of_c_code() -> None:
    """A forked process has none of Arrow's threads and waits for them for ever; DuckDB's would read in any order."""
    import duckdb
    import pyarrow.parquet as pq

    connected, parquet_file = duckdb.connect, pq.ParquetFile

    def connect(*args: Any, config: dict[str, Any] | None = None, **named: Any) -> Any:
        return connected(*args, config={**(config or {}), "threads": 1}, **named)

    def opened(*args: Any, **named: Any) -> Any:
        return parquet_file(*args, **{**named, "pre_buffer": False})

    def table(source: Any, columns: list[str] | None = None, filters: Any = None) -> Any:
        whole = opened(source).read(use_threads=False)
        found = whole if filters is None else whole.filter(pq.filters_to_expression(filters))
        return found if columns is None else found.select(columns)

    duckdb.connect, pq.ParquetFile, pq.read_table = connect, opened, table
