"""Real processes at the same unit, number or object at once: held up at the worst moment, stopped and woken up."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from unittest.mock import patch

import pytest

from lake.commits import committed_units
from lake.lake import Lake
from lake.reader import LakeReader
from lake.runs import list_runs
from pipelines import run as run_module
from pipelines import unit
from pipelines.run import close_run
from schemas.errors import RunStopped
from tests.collected import check_promises, sweep
from tests.faults.commands import COMMANDS, LAKE
from tests.faults.harness import WORLD, Child, in_child
from tests.faults.inline import QUICK, one_thing_after_the_other, opened_stages
from tests.faults.onlooker import state_of

RUN = COMMANDS["run"]
_STARTED: list[int] = []


@pytest.fixture
def world(tmp_path):
    """Sources, and no lake yet; the models are open."""
    opened_stages(QUICK, "configs/explore.yaml")
    (tmp_path / WORLD).mkdir()
    RUN.prepare(tmp_path / WORLD)
    yield tmp_path / WORLD
    while _STARTED:
        # One that a failed test has left asleep would hold the terminal.
        with contextlib.suppress(ProcessLookupError):
            os.kill(_STARTED.pop(), signal.SIGKILL)


def working(world: Path, name: str) -> None:
    """What `provoice run` does, in this process."""
    (world.parent / name).mkdir(exist_ok=True)
    os.chdir(world.parent / name)
    one_thing_after_the_other()
    RUN.act(str(world))


def stopped_before(module: object, name: str, call: int = 1):
    """That call of it stops this process, until somebody wakes it up."""
    real, calls = getattr(module, name), [0]

    def stopping(*args, **named):
        calls[0] += 1
        if calls[0] == call:
            os.kill(os.getpid(), signal.SIGSTOP)
        return real(*args, **named)

    return patch.object(module, name, stopping)


def started(world: Path, name: str, module: object, at: str, call: int = 1) -> Child:
    """A process that runs, and has stopped at a call of `at`."""

    def live():
        with stopped_before(module, at, call):
            try:
                working(world, name)
            except RunStopped as error:
                return str(error)
        return "done"

    child = Child(live)
    _STARTED.append(child.pid)
    _, status = os.waitpid(child.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), "it ended before it came to that"
    return child


def woken(child: Child) -> str:
    os.kill(child.pid, signal.SIGCONT)
    return child.result()


def objects_of(world: Path) -> dict[str, str]:
    return state_of(world / LAKE).objects


def test_two_workers_at_the_same_units_at_once(world):
    """Both have put everything, and come to the commit at the same moment; one commit holds, and both go by it."""
    both = [started(world, "a", unit, "create_commit"), started(world, "b", unit, "create_commit")]
    for child in both:
        os.kill(child.pid, signal.SIGCONT)
    assert [child.result() for child in both] == ["done", "done"]
    lake = Lake.open(str(world / LAKE))
    assert len(list_runs(lake)) == 1
    assert state_of(world / LAKE).doubled == 0
    assert len(list(lake.root.list("commits"))) == 2
    check_promises(lake)


def test_a_worker_that_wakes_up_after_another_has_committed_its_unit(world):
    late = started(world, "late", unit, "create_commit")
    in_child(lambda: working(world, "other"))
    before, writers = objects_of(world), _writers(world)
    assert woken(late) == "done"
    assert (objects_of(world), _writers(world)) == (before, writers)


def _writers(world: Path) -> set[str]:
    return {commit.writer for _, commit in LakeReader(Lake.open(str(world / LAKE))).commits}


def test_two_plans_at_once(world):
    """Both have put a plan, and come to the number at the same moment: whoever loses it plans again, and finds that
    nothing is left."""
    both = [started(world, "a", run_module, "create_run"), started(world, "b", run_module, "create_run")]
    for child in both:
        os.kill(child.pid, signal.SIGCONT)
    assert [child.result() for child in both] == ["done", "done"]
    (run,) = list_runs(Lake.open(str(world / LAKE)))
    assert run.sources == RUN.sources
    state = state_of(world / LAKE)
    assert (len(state.recordings), state.doubled) == (RUN.sources, 0)


def test_a_run_is_closed_while_a_worker_works(world):
    worker = started(world, "worker", unit, "reread_run", call=2)
    lake = Lake.open(str(world / LAKE))
    (run,) = list_runs(lake)
    close_run(lake, run.run_id)
    assert "was closed" in woken(worker)
    assert committed_units(lake, run.run_id) == {}


# A unit reads its run when it begins, and again when its objects are put.
@pytest.mark.parametrize(("at", "call"), [("create_commit", 1), ("reread_run", 2)])
def test_gc_sweeps_while_a_worker_sleeps(world, at, call):
    """Its run is closed, and its objects are deleted; when it wakes up, it commits nothing that is gone, and the next
    run makes what it would have made."""
    worker = started(world, "worker", unit, at, call)
    lake = Lake.open(str(world / LAKE))
    (run,) = list_runs(lake)
    close_run(lake, run.run_id)
    assert sweep(lake).objects > 0
    said = woken(worker)
    assert said == "done" or "was closed" in said or "not committed" in said
    check_promises(lake)
    in_child(lambda: working(world, "next"))
    state = state_of(world / LAKE)
    assert (len(state.recordings), state.doubled) == (RUN.sources, 0)
    check_promises(lake)


def test_gc_leaves_a_worker_of_an_open_run_alone(world):
    worker = started(world, "worker", unit, "create_commit")
    lake = Lake.open(str(world / LAKE))
    sweep(lake)
    assert woken(worker) == "done"
    state = state_of(world / LAKE)
    assert (len(state.recordings), state.doubled) == (RUN.sources, 0)
    check_promises(lake)
