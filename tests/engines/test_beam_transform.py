"""`PrepareUnits` in a pipeline of somebody's own, in this process."""

from __future__ import annotations

import threading

import pytest

pytest.importorskip("apache_beam", reason="Apache Beam is not installed")

import apache_beam as beam
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to

from pipelines.engines.beam_process import EngineProcess, share
from pipelines.engines.beam_transform import PrepareUnits, packed, unpacked
from pipelines.engines.contract import Task
from pipelines.engines.figures import figures, plain
from schemas.errors import RunStopped
from schemas.records import Counts
from tests.engines.folder_work import FolderWork, tasks_of

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


def ran(names, folder, check=None, **options):
    """(counters, the work) of a pipeline of one's own on the runner in this process."""
    work = FolderWork(str(folder))
    pipeline = beam.Pipeline(runner=FnApiRunner())
    receipts, dead = pipeline | PrepareUnits(tasks_of(names), work, **{"processes": 2, **options})
    if check is not None:
        check(receipts, dead)
    result = pipeline.run()
    result.wait_until_finish()
    found = result.metrics().query()
    return {m.key.metric.name: m.committed for m in found["counters"] if m.key.metric.namespace == "provoice"}, work


def test_receipts_and_the_dead_are_plain_values(tmp_path):
    def check(receipts, dead):
        names = receipts | beam.Map(lambda receipt: (receipt["task"], receipt["receipt"]["counts"]["sources"]))
        assert_that(names, equal_to([("done-1", 3), ("done-3", 3)]), label="receipts")
        said = {"task": "lake-2", "error": "LakeError", "text": "the store said something odd"}
        assert_that(dead, equal_to([said]), label="dead")

    counters, _ = ran(["done-1", "lake-2", "done-3"], tmp_path, check)
    assert counters == {
        "receipts": 2, "sources": 6, "emitted": 2, "rejected_silent": 2, "held_no_grant": 2, "source_ms": 3000,
        "processes": 4, "dead": 1, "dead_LakeError": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "error"), [("consent", "ConsentError"), ("stopped", "RunStopped"), ("config", "ConfigError"),
                        ("fault", "ValueError")],
)  # fmt: skip
def test_what_stops_a_job_is_tried_once(tmp_path, kind, error):
    counters, work = ran([f"{kind}-1", "done-2", "done-3"], tmp_path, processes=1)
    assert counters == {"dead": 3, f"dead_{error}": 3}
    assert work.tries == [f"{kind}-1"]


def test_one_bundle_keeps_every_process_busy_and_takes_no_more(tmp_path):
    counters, _ = ran([f"slow-{n}" for n in range(6)], tmp_path, processes=3)
    assert counters["receipts"] == 6
    began = sorted(int(path.name.rpartition(".try")[2]) for path in tmp_path.glob("*.try*"))
    assert began[2] - began[0] < 0.9e9 < began[3] - began[0]
    assert began[5] - began[3] < 0.9e9


def test_windows_and_timestamps_of_the_tasks_stay(tmp_path):
    from apache_beam.transforms.window import FixedWindows, TimestampedValue

    from pipelines.engines.beam_transform import RunTask

    pipeline = beam.Pipeline(runner=FnApiRunner())
    tasks = [TimestampedValue((f"done-{n}", 1.0, 0.0), 10 * n) for n in range(4)]
    receipts, _ = (
        pipeline
        | beam.Create([0])
        | beam.FlatMap(lambda _: tasks)
        | beam.WindowInto(FixedWindows(20))
        | "Run" >> beam.ParDo(RunTask(FolderWork(str(tmp_path)), 2, 1)).with_outputs("dead", main="receipts")
    )
    done = receipts | beam.Map(lambda receipt, window=beam.DoFn.WindowParam: (float(window.start), receipt["task"]))
    assert_that(done, equal_to([(0.0, "done-0"), (0.0, "done-1"), (20.0, "done-2"), (20.0, "done-3")]))
    pipeline.run().wait_until_finish()


def test_hints_reach_the_runner(tmp_path):
    pipeline = beam.Pipeline(runner=FnApiRunner())
    hints = {"accelerator": "type:nvidia-l4;count:1", "min_ram": "16GB"}
    _ = pipeline | PrepareUnits(tasks_of(["done-1"]), FolderWork(str(tmp_path)), resource_hints=hints)
    environments = pipeline.to_runner_api().components.environments.values()
    found = [dict(environment.resource_hints) for environment in environments if environment.resource_hints]
    assert [sorted(hint.values()) for hint in found] == [[b"16000000000", b"type:nvidia-l4;count:1"]]


def test_tasks_travel_in_few_bytes_and_in_order():
    tasks = [Task(f"{n:07d}-{n * 2654435761 % (1 << 48):012x}", 700.5 - n, 2700.0) for n in range(12_000)]
    chunks = list(packed(tasks))
    assert len(chunks) == 3
    assert [Task(*values) for chunk in chunks for values in unpacked(chunk)] == tasks
    assert sum(map(len, chunks)) < 20 * len(tasks)


def test_the_last_bundle_processor_ends_the_worker_and_the_next_opens_another():
    opened, closed = [], []

    class Work:
        def open(self, processes=None):
            opened.append(processes)
            return self

        def run(self, task):
            return task.name

        def close(self):
            closed.append(True)

    engine = EngineProcess(Work(), 4, 2)
    engine.hold()
    engine.hold()
    assert engine.run(Task("a", 1.0)) == "a"
    engine.release()
    assert not closed
    engine.release()
    assert closed == [True]
    engine.hold()
    assert engine.run(Task("b", 1.0)) == "b"
    assert opened == [2, 2]


def test_a_bundle_that_was_given_up_stops_nothing():
    """Its worker was closed under it: what it raises then is not the job's end."""
    in_hand, closed = threading.Event(), threading.Event()

    class Work:
        def open(self, _processes=None):
            return self

        def run(self, task):
            if task.name == "abandoned":
                in_hand.set()
                closed.wait(30)
                raise RunStopped("the worker was stopped")
            return task.name

        def close(self):
            closed.set()

    engine = EngineProcess(Work(), 2, 1)
    engine.hold()
    abandoned = engine.submit(Task("abandoned", 1.0))
    assert in_hand.wait(30)
    engine.release()
    assert abandoned.result(30).error == "RunStopped"
    engine.hold()
    assert engine.run(Task("next", 1.0)) == "next"


@pytest.mark.parametrize(
    ("machine", "engines", "mine"), [(8, 1, 8), (8, 2, 4), (8, 3, 2), (2, 4, 1), (1, 1, 1), (None, None, 1)]
)
def test_processes_share_the_machine(machine, engines, mine):
    assert share(machine, engines) == mine


def test_figures_of_an_account():
    counts = Counts(sources=3, emitted=1, rejected={"silent": 2}, held={}, utterances=4, source_s=1.2345)
    assert figures({"counts": counts.model_dump()}) == {
        "sources": 3, "emitted": 1, "rejected_silent": 2, "erased": 0, "utterances": 4, "source_bytes": 0,
        "source_ms": 1234, "speech_ms": 0, "utterance_ms": 0,
    }  # fmt: skip
    assert figures("a receipt without one") == {}
    assert plain("as it is") == "as it is"
