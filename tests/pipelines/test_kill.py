"""The plug is pulled: SIGKILL while decoding, while uploading, and between parts and commit. Then the same again."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import pytest

from lake.lake import Lake
from lake.reader import LakeReader
from lake.runs import read_plan_units
from pipelines import unit
from pipelines.run import execute, start
from tests.runs import QUICK, digests, request_for, rows, run
from tests.speech import folder_of_clips

FORK = multiprocessing.get_context("fork")
SETTINGS = (*QUICK, "plan.unit_max_sources=1")
UNITS = 21


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return folder_of_clips(tmp_path_factory.mktemp("kill") / "raw", UNITS, seconds=3)


@pytest.fixture(scope="module")
def undisturbed(raw, tmp_path_factory):
    lake = tmp_path_factory.mktemp("undisturbed") / "lake"
    assert run(raw, lake, settings=SETTINGS).units == UNITS
    return digests(lake)


def _die_at(calls: int, function: Callable, before: bool) -> Callable:
    """`function`, whose `calls`-th call is this process's last."""
    seen = [0]

    def dying(*args, **named):
        seen[0] += 1
        if seen[0] == calls and before:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*args, **named)
        if seen[0] == calls:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return dying


def _work_until_killed(lake_uri: str, raw, work_dir, point: str, calls: int) -> None:
    request = request_for(raw, lake_uri, settings=SETTINGS)
    started = start(request)
    job = unit.UnitJob(request.lake, started.run, request.config, work_dir)
    job.open()
    if point == "decoding":
        decode = job.stages.recording[0]
        job.stages = unit.Stages(
            (_Wrapped(decode, calls), *job.stages.recording[1:]), job.stages.cutter, job.stages.utterance, {}
        )
    elif point == "uploading":
        job.lake.root.put = _die_at(calls, job.lake.root.put, before=True)
    elif point == "between parts and commit":
        unit.create_commit = _die_at(calls, unit.create_commit, before=True)
    else:
        unit.create_commit = _die_at(calls, unit.create_commit, before=False)
    for planned in read_plan_units(request.lake, started.run):
        job(unit.Attempt(planned.unit_id), unit.Calls(lambda *_: None, lambda _: None))


class _Wrapped:
    """The decode stage, killed in its n-th batch."""

    def __init__(self, stage, calls: int) -> None:
        self.stage, self.name, self.version = stage, stage.name, stage.version
        self._call = _die_at(calls, stage, before=False)

    def open(self) -> None: ...

    def __call__(self, batch):
        return self._call(batch)


@pytest.mark.parametrize("point", ["decoding", "uploading", "between parts and commit", "after the commit"])
@pytest.mark.parametrize("calls", [1, 8])
def test_a_killed_run_is_resumed_to_the_same_lake(raw, undisturbed, tmp_path, point, calls):
    lake = tmp_path / "lake"
    victim = FORK.Process(target=_work_until_killed, args=(str(lake), raw, tmp_path / "work", point, calls))
    victim.start()
    victim.join()
    assert victim.exitcode == -signal.SIGKILL
    named = {stored.path for _, commit in LakeReader(Lake.open(str(lake))).commits for stored in commit.objects}
    seen = {part.path for kind in ("utterances", "recordings") for part in LakeReader(Lake.open(str(lake))).parts(kind)}
    assert seen <= named, "a reader saw what no commit names"
    emitted = rows(lake, "select count(*) from recordings")[0][0]
    assert emitted == len((named and LakeReader(Lake.open(str(lake))).commits) or ())
    request = request_for(raw, lake, settings=SETTINGS)
    started = start(request)
    assert started.is_resumed
    progress = execute(request, started, lambda _: None)
    assert (progress.units, progress.counts.sources) == (UNITS, UNITS)
    assert digests(lake) == undisturbed


@pytest.mark.parametrize("decoders", [0, 1])
def test_the_children_of_a_killed_run_die_with_it(tmp_path, decoders):
    """One of them has a source in hand that never ends: it would keep a core, and its memory, for ever."""
    raw = folder_of_clips(tmp_path / "raw", 1, seconds=3)
    (tmp_path / "c.jsonl").write_text('{"path": "clip000.wav", "extra.poison": "sleep"}\n')
    words = ["run", "configs/explore.yaml", "--source", f"raw={raw}", "--lake", tmp_path / "lake"]
    settings = (*QUICK, 'stages=["tests.poison:Poison"]', f"decoders={decoders}")
    sets = [word for setting in settings for word in ("--set", setting)]
    command = [sys.executable, "-m", "provoice", *map(str, words), *sets, "--catalogue", str(tmp_path / "c.jsonl")]
    victim = psutil.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": os.getcwd()})
    try:
        children = _until(lambda: [one for one in victim.children(recursive=True) if one.ppid() != victim.pid])
    finally:
        victim.kill()
        victim.wait()
    assert len(children) > decoders, "no child was seen to work"
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive, [process.cmdline() for process in alive]


def _until(found: Callable[[], list[psutil.Process]]) -> list[psutil.Process]:
    for _ in range(300):
        if found():
            time.sleep(5)  # the source is in hand by now
            return found()
        time.sleep(0.1)
    return []
