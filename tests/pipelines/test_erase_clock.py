"""When an erasure says that it began, that all was purged, and when it looks again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lake.commits import read_commits
from lake.lake import Lake
from lake.plans import read_plan_units
from pipelines.erase.clock import Clock
from pipelines.erase.closure import find
from pipelines.erase.erase import Wanted, erase
from pipelines.erase.plans import work_until
from tests.builders import ANNA, BEN, BOTH, write_run
from tests.erasures import BY_PSEUDONYM, KEY, holding, withdrawn
from tests.histories import commit_unit

BEGAN = datetime(2030, 1, 1, tzinfo=UTC)


def passing(monkeypatch, seconds):
    """A clock that goes on by so much whenever it is asked."""
    readings = iter(range(0, 10**9, seconds))
    monkeypatch.setattr("pipelines.erase.clock.time.monotonic", lambda: float(next(readings)))


def test_a_clock_that_is_given_stands_still(monkeypatch):
    passing(monkeypatch, 10)
    clock = Clock(BEGAN)
    assert (clock.now(), clock.now(), clock.elapsed_s) == (BEGAN, BEGAN, 10.0)


def test_it_goes_on_from_when_it_was_asked_first(monkeypatch):
    passing(monkeypatch, 10)
    clock = Clock()
    assert [clock.now() - clock.began for _ in range(3)] == [timedelta(seconds=n) for n in (10, 20, 30)]


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("PROVOICE_SUPPRESSION_KEY", KEY)


@pytest.fixture
def going_on(tmp_path):
    """A lake whose run is at work: its second unit, with anna in it, is not committed."""
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    return lake, write_run(lake, tmp_path, [[BEN], [ANNA, BOTH]], run_id="r", committed=1)


def test_what_a_late_worker_commits_is_caught_by_the_next_look(going_on, tmp_path):
    """It had read its plan before, and says nothing until everything was erased that there was."""
    lake, run = going_on
    withdrawn(lake, "anna")
    deadline = max(one.deadline_s for one in read_plan_units(lake, run))
    first = erase(lake, Wanted(("anna",)), now=BEGAN)
    assert (first.is_finished, first.again_at) == (False, BEGAN + timedelta(seconds=deadline))
    commit_unit(lake, run, 1, [ANNA, BOTH], tmp_path)
    assert find(lake, ["anna"]).utterances == 4
    early = erase(lake, Wanted(("anna",)), now=first.again_at - timedelta(seconds=1))
    assert (early.is_finished, early.units) == (False, 0)
    late = erase(lake, Wanted(("anna",)), now=first.again_at)
    assert (late.is_finished, late.looks, late.units) == (True, 3, 1)
    assert not find(lake, ["anna"])
    assert set(holding(lake, "anna", ANNA.path, ANNA.source.recording_id, BOTH.source.recording_id)) == BY_PSEUDONYM


def test_while_a_run_goes_on_who_came_second_may_still_be_uploading(tmp_path):
    """The unit is committed, and the run is not complete."""
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    run = write_run(lake, tmp_path, [[ANNA], [BEN]], run_id="r", committed=1)
    (commit,) = read_commits(lake, "r")
    end = commit.committed_at + timedelta(seconds=read_plan_units(lake, run)[0].deadline_s)
    found = find(lake, ["anna"]).touched
    assert work_until(lake, found, commit.committed_at) == end
    assert work_until(lake, found, end) is None
    commit_unit(lake, run, 1, [BEN], tmp_path)
    assert work_until(lake, found, commit.committed_at) is None


def test_it_ends_though_what_it_found_is_given_up_already(tmp_path, monkeypatch):
    """Killed after the certificate was made and the closures were deleted, it said `Must pass at least one table`."""
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    write_run(lake, tmp_path, [[ANNA, BEN]], run_id="r")
    withdrawn(lake, "anna")
    with monkeypatch.context() as patch:
        patch.setattr("pipelines.erase.finish.announce", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            erase(lake, Wanted(("anna",)))
    assert not [info.path for info in lake.ledger().root.list("erasures") if "closure" in info.path]
    assert erase(lake, Wanted(("anna",))).is_finished
    assert set(holding(lake, "anna")) == BY_PSEUDONYM
