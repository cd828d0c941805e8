"""The engine `beam` on runners of this machine: receipts, what stops a job, wrong options, and nothing left running."""

from __future__ import annotations

import os
import signal
import threading
import time

import psutil
import pytest

pytest.importorskip("apache_beam", reason="Apache Beam is not installed")

from pipelines.engines import beam
from pipelines.engines.beam_config import BeamConfig
from pipelines.engines.beam_driver import Ended
from pipelines.engines.beam_options import engine_processes, parse_options, resource_hints, runner_of
from pipelines.engines.beam_watch import worst
from pipelines.engines.contract import Settings, Task
from pipelines.engines.receipts import Poll
from schemas.errors import AlreadyExists, ConfigError, ConsentError, LakeError, RunStopped
from tests.engines.folder_work import FolderWork, tasks_of
from tests.servers.go_build import go_binary

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")

IN_TWO = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")
PRISM = "github.com/apache/beam/sdks/v2/go/cmd/prism@v2.77.0"


def prism() -> tuple[str, ...]:
    return "--runner=PrismRunner", f"--prism_location={go_binary(PRISM, 'prism')}"


def settings(*options, **config) -> Settings:
    return Settings("provoice-test", 2, beam=BeamConfig(**config), options=options)


def names_from(names, folder, *options, **config):
    return sorted(
        done.name for done in beam.run(tasks_of(names), FolderWork(str(folder)), settings(*options, **config))
    )


@pytest.fixture(autouse=True)
def _nothing_is_left_running(tmp_path_factory, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("temporary")))
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    yield
    left = [p for p in psutil.Process().children(recursive=True) if p.pid not in before]
    told = [(p.pid, p.cmdline()) for p in left if p.status() != psutil.STATUS_ZOMBIE]
    assert [line for line in told if not any("multiprocessing" in word for word in line[1])] == []


def test_receipts_of_this_job_and_of_no_other_and_an_error_at_the_end(tmp_path):
    FolderWork(str(tmp_path)).open().run(Task("done-earlier", 1.0))
    receipts = beam.run(tasks_of(["done-1", "lake-2", "slow-3"]), FolderWork(str(tmp_path)), settings())
    seen: list[str] = []
    with pytest.raises(LakeError, match=r"^the store said something odd$") as caught:
        seen.extend(done.name for done in receipts)
    assert type(caught.value) is LakeError
    assert sorted(seen) == ["done-1", "slow-3"]


def test_without_tasks_nothing_is_started(tmp_path):
    assert names_from([], tmp_path, "--no_such_option") == []


@pytest.mark.parametrize(
    ("ended", "error", "text"),
    [
        (Ended("DONE", dead_texts=("LakeError: no", "RunStopped: a: b", "ConsentError: gone")), ConsentError, "gone"),
        (Ended("DONE", dead_texts=("LakeError: no", "RunStopped: a: b")), RunStopped, "a: b"),
        (Ended("DONE", dead_texts=("AlreadyExists: it is there",)), AlreadyExists, "it is there"),
        (Ended("DONE", dead_texts=("KeyError: 'x'",)), RunStopped, "a worker failed with KeyError: 'x'"),
        (Ended("DONE", counters={"dead": 2, "dead_ConsentError": 2}), ConsentError, "the runner did not bring back"),
    ],
)
def test_the_worst_is_told(ended, error, text):
    found = worst(ended)
    assert type(found) is error
    assert str(found).startswith(text)
    assert worst(Ended("DONE", counters={"receipts": 3})) is None


@pytest.mark.long
@pytest.mark.parametrize("runner", ["two processes", "prism"])
def test_what_stops_a_job_comes_back_from_other_processes(tmp_path, runner):
    with pytest.raises(ConsentError, match="the ledger is missing"):
        names_from(["consent-1", "done-2", "done-3"], tmp_path, *(prism() if runner == "prism" else IN_TWO))


def test_a_runner_that_hangs_is_ended(tmp_path):
    began = time.monotonic()
    with pytest.raises(RunStopped, match=r"DirectRunner broke: it has not brought one receipt in \d+ s"):
        names_from(["never-1", "done-2", "never-3"], tmp_path, hangs_after_s=4)
    assert time.monotonic() - began < 40
    assert (tmp_path / "done-2.json").exists()


@pytest.mark.long
def test_a_task_within_its_deadline_is_no_hang(tmp_path):
    tasks = [Task("slow-1", 1.0, deadline_s=60.0)]
    work = FolderWork(str(tmp_path))
    assert [done.name for done in beam.run(tasks, work, settings(hangs_after_s=0.1))] == ["slow-1"]


def test_closing_ends_all_that_was_started(tmp_path):
    tasks = tasks_of(["done-1", "never-2", "never-3"])
    with_hold = beam.run(tasks, FolderWork(str(tmp_path)), settings())
    assert next(with_hold).name == "done-1"
    with_hold.close()


def test_a_worker_process_that_is_killed_ends_the_job_within_seconds(tmp_path):
    """DirectRunner itself would wait for ever."""
    killed_at = []

    def kill():
        while not (pids := _pids_of("sdk_worker_main")) or not FolderWork(str(tmp_path)).tries:
            time.sleep(0.1)
        os.kill(pids[0], signal.SIGKILL)
        killed_at.append(time.monotonic())

    threading.Thread(target=kill, daemon=True).start()
    with pytest.raises(RunStopped, match="one of its worker processes is gone; 2 of its tasks, the first never-1"):
        names_from(["never-1", "never-2"], tmp_path, *IN_TWO)
    assert time.monotonic() - killed_at[0] < 15


@pytest.mark.long
@pytest.mark.parametrize("victim", ["prism", "provoice-beam"])
def test_prism_or_the_driver_is_killed(tmp_path, victim):
    options, killed_at = prism(), []

    def kill():
        while not (pids := _pids_of(victim)) or not FolderWork(str(tmp_path)).tries:
            time.sleep(0.1)
        os.kill(pids[0], signal.SIGKILL)
        killed_at.append(time.monotonic())

    threading.Thread(target=kill, daemon=True).start()
    with pytest.raises(RunStopped, match=r"PrismRunner broke: .*; 2 of its tasks, the first never-1, have no receipt"):
        names_from(["never-1", "never-2"], tmp_path, *options)
    assert time.monotonic() - killed_at[0] < 20


def _pids_of(word):
    """Processes below this one; the driver is the one that leads a session."""
    children = psutil.Process().children(recursive=True)
    if word == "provoice-beam":
        return [p.pid for p in children if os.getsid(p.pid) == p.pid]
    return [p.pid for p in children if any(word in part for part in p.cmdline()[:4])]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--runer=DirectRunner",), "`--runer` is no option of Beam's; did you mean --runner?"),
        (("--direct_num_workers=2", "stray"), "`stray` is no option of Beam's"),
        (("--direct_num_workers=many",), "invalid int value: 'many'"),
        (("--direct_running_mode=best",), "invalid choice: 'best'"),
        (("--help",), "docs/beam.md"),
        (("--runner=PortableRunner", "--job_endpoint=127.0.0.1:1"), "127.0.0.1:1: no job server answers there"),
    ],
)
def test_wrong_options_are_one_line(options, text, monkeypatch):
    monkeypatch.setattr("pipelines.engines.beam_options._JOB_SERVER_S", 0.5)
    with pytest.raises(ConfigError) as caught:
        parse_options(settings(*options))
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--runner=Foo",), "Unexpected pipeline runner: Foo"),
        (("--runner=foo.Bar",), "No module named 'foo'"),
        (("--runner=PrismRunner", "--prism_location=/nowhere/prism"), "there is no such file"),
    ],
)
def test_wrong_runners_are_one_line(options, text):
    with pytest.raises(ConfigError, match=text):
        runner_of(parse_options(settings(*options)))


def test_options_are_refused_before_anything_starts(tmp_path, capfd):
    with pytest.raises(ConfigError, match="Missing required option: project"):
        names_from(["done-1"], tmp_path, "--runner=DataflowRunner")
    assert FolderWork(str(tmp_path)).tries == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("options", "config", "processes"),
    [
        ((), {}, 1),
        (("--direct_num_workers=3", "--direct_running_mode=multi_threading"), {}, 1),
        (("--direct_num_workers=3", "--direct_running_mode=multi_processing"), {}, 3),
        (("--direct_num_workers=0", "--direct_running_mode=multi_processing"), {}, None),
        (("--runner=PrismRunner",), {}, 1),
        (("--runner=FlinkRunner", "--environment_type=LOOPBACK", "--sdk_worker_parallelism=4"), {}, 1),
        (("--runner=FlinkRunner",), {}, 1),
        (("--runner=FlinkRunner", "--sdk_worker_parallelism=4"), {}, 4),
        (("--runner=DataflowRunner",), {}, None),
        (("--runner=DataflowRunner", "--experiments=no_use_multiple_sdk_containers"), {}, 1),
        (("--runner=DataflowRunner",), {"processes_per_machine": 2}, 2),
    ],
)
def test_processes_of_the_engine_on_a_machine(options, config, processes):
    parsed = parse_options(settings(*options))
    assert engine_processes(runner_of(parsed)[0], parsed, BeamConfig(**config)) == processes


def test_resource_hints():
    assert resource_hints(BeamConfig()) == {}
    hints = {"accelerator": "type:nvidia-l4;count:1", "min_ram": "16GB"}
    assert resource_hints(BeamConfig(**hints)) == hints
    with pytest.raises(ConfigError, match="much"):
        resource_hints(BeamConfig(min_ram="much"))


def test_the_job_has_our_name_unless_it_is_given_one():
    from apache_beam.options.pipeline_options import GoogleCloudOptions

    named = Settings("provoice-000001_AB", options=())
    assert parse_options(named).view_as(GoogleCloudOptions).job_name == "provoice-000001-ab"
    assert parse_options(settings("--job_name=mine")).view_as(GoogleCloudOptions).job_name == "mine"


@pytest.mark.long
def test_a_job_may_take_longer_than_a_request_to_the_job_server(tmp_path):
    """Beam's own default would end a job on Prism after 300 s."""
    from apache_beam.options.pipeline_options import PortableOptions

    assert parse_options(settings()).view_as(PortableOptions).job_server_timeout > 30 * 86_400
    told = parse_options(settings("--job_server_timeout=7")).view_as(PortableOptions)
    assert told.job_server_timeout == 7
    names = [f"slow-{n:02d}" for n in range(30)]
    with pytest.raises(RunStopped, match=r"(?i)deadline.exceeded"):
        names_from(names, tmp_path, *prism(), "--job_server_timeout=7")
    assert names_from(names, tmp_path, *prism()) == names


def test_looking_slows_down_with_age_and_with_what_a_look_costs(tmp_path, monkeypatch):
    from pipelines.engines import receipts

    now = [100.0]
    monkeypatch.setattr(receipts.time, "monotonic", lambda: now[0])
    asked = []

    class Work(FolderWork):
        def receipts(self, known=()):
            now[0] += cost
            asked.append("done-1" in known)
            return super().receipts(known)

    work = Work(str(tmp_path))
    poll = Poll(work, tasks_of(["done-1", "done-2"]))
    cost = 0.0
    assert list(poll()) == []
    assert poll.pause_s == 1.0
    work.open().run(Task("done-1", 1.0))
    now[0] += 200
    assert [done.name for done in poll()] == ["done-1"]
    assert poll.pause_s == 10.0
    cost, now[0] = 3.0, now[0] + 2000
    assert list(poll()) == []
    assert poll.pause_s == 30.0
    assert asked == [False, False, True]
    assert list(poll.outstanding) == ["done-2"]
