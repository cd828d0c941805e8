"""`PrepareUnits`: the tasks of a job as a Beam transform, for a pipeline of one's own.

    receipts, dead = pipeline | PrepareUnits(tasks, work)

Beam's file sinks are not used: the work writes its own receipts, and what comes out here only says so.
"""

# mypy: disallow-untyped-calls=False
from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from itertools import islice
from typing import Any

import apache_beam as beam
from apache_beam.metrics.metric import Metrics
from apache_beam.pvalue import TaggedOutput
from apache_beam.utils.shared import Shared
from apache_beam.utils.windowed_value import WindowedValue

from pipelines.engines.beam_process import Dead, EngineProcess
from pipelines.engines.contract import Task, Work, longest_first
from pipelines.engines.figures import figures, plain

NAMESPACE = "provoice"
DEAD = "dead"
DEAD_TEXTS = "dead_texts"
_TASKS_PER_CHUNK = 5_000


class PrepareUnits(beam.PTransform[Any, Any]):
    """Runs every task, longest first, and yields two collections of plain values.

    `receipts`: `{"task": name, "receipt": {...}}`. `dead`: `{"task": name, "error": class, "text": one line}`, for
    tasks without a receipt. `processes`: worker processes on one machine (None: one per core), which its
    `engine_processes` processes of the runner share (None: one per core). `resource_hints`: as Beam takes them.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        work: Work[Any],
        *,
        processes: int | None = None,
        engine_processes: int | None = 1,
        resource_hints: Mapping[str, str] | None = None,
        label: str | None = None,
    ) -> None:
        super().__init__(label)
        self._tasks = longest_first(tasks)
        self._run = RunTask(work, processes, engine_processes)
        self._hints = dict(resource_hints or {})

    def expand(self, pipeline: beam.Pipeline) -> beam.pvalue.DoOutputsTuple:
        run = beam.ParDo(self._run)
        if self._hints:
            run.with_resource_hints(**self._hints)  # sets them on this one
        outputs: beam.pvalue.DoOutputsTuple = (
            pipeline
            | "Tasks" >> beam.Create(list(packed(self._tasks)), reshuffle=False)
            | "One by one" >> beam.FlatMap(unpacked)
            | "Deal" >> beam.Reshuffle()
            | "Run" >> run.with_outputs(DEAD, main="receipts")
        )
        return outputs


def packed(tasks: Sequence[Task]) -> Iterator[bytes]:
    """Tasks as they travel in the job's description, whose size runners bound (Dataflow: 10 MB)."""
    left = iter(tasks)
    while chunk := list(islice(left, _TASKS_PER_CHUNK)):
        values = [[task.name, task.estimated_s, task.deadline_s] for task in chunk]
        yield zlib.compress(json.dumps(values, separators=(",", ":")).encode(), 9)


def unpacked(chunk: bytes) -> list[tuple[str, float, float]]:
    """The chunk's tasks, in order."""
    return [(name, estimated_s, deadline_s) for name, estimated_s, deadline_s in json.loads(zlib.decompress(chunk))]


class RunTask(beam.DoFn):
    """A task in, its receipt or the reason why there is none out; never raises for either.

    A bundle has as many tasks in hand as the process has worker processes, so that one bundle keeps all cores busy;
    several bundles at once wait for each other inside the worker. A task is taken only when one is done: runners that
    split a bundle can still move the rest of it elsewhere.
    """

    def __init__(self, work: Work[Any], machine_processes: int | None, engine_processes: int | None) -> None:
        self._work, self._processes = work, (machine_processes, engine_processes)
        self._shared = Shared()
        self._engine: EngineProcess | None = None
        self._in_hand: dict[Future[Any], tuple[str, Any, Any]] = {}

    def setup(self) -> None:
        # Beam calls this for every bundle processor, of which a process has several.
        self._engine = self._shared.acquire(lambda: EngineProcess(self._work, *self._processes))
        self._engine.hold()

    def start_bundle(self) -> None:
        # What an earlier bundle left when it failed is not this one's to yield.
        self._in_hand = {}

    def process(
        self,
        element: tuple[str, float, float],
        timestamp: Any = beam.DoFn.TimestampParam,
        window: Any = beam.DoFn.WindowParam,
    ) -> Iterator[Any]:
        while len(self._in_hand) >= self._held().processes:
            yield from self._done()
        task = Task(*element)
        self._in_hand[self._held().submit(task)] = (task.name, timestamp, window)

    def finish_bundle(self) -> Iterator[Any]:
        while self._in_hand:
            yield from self._done()

    def teardown(self) -> None:
        if self._engine is not None:
            self._engine.release()
            self._engine = None

    def _held(self) -> EngineProcess:
        # No property: Beam looks at every attribute of a DoFn where the pipeline is built.
        if self._engine is None:
            raise RuntimeError("Beam calls `setup` before `process`")
        return self._engine

    def _done(self) -> Iterator[Any]:
        """Waits for the next answer, and yields every one that is there."""
        ready, _ = wait(self._in_hand, return_when=FIRST_COMPLETED)
        for future in ready:
            name, timestamp, window = self._in_hand.pop(future)
            answer = future.result()
            if isinstance(answer, Dead):
                _count_dead(answer)
                yield TaggedOutput(DEAD, WindowedValue(answer.plain(), timestamp, (window,)))
            else:
                values = plain(answer)
                _count(figures(values))
                yield WindowedValue({"task": name, "receipt": values}, timestamp, (window,))


def _count(counts: Mapping[str, int]) -> None:
    Metrics.counter(NAMESPACE, "receipts").inc()
    for name, value in counts.items():
        Metrics.counter(NAMESPACE, name).inc(value)


def _count_dead(dead: Dead) -> None:
    """By class as a counter, which every runner brings back, and the text as one of a set."""
    Metrics.counter(NAMESPACE, "dead").inc()
    Metrics.counter(NAMESPACE, f"dead_{dead.error}").inc()
    Metrics.string_set(NAMESPACE, DEAD_TEXTS).add(f"{dead.error}: {dead.text}")
