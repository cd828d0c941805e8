"""`gc --superseded`: what newer runs replaced goes, and every answer about what counts stays."""

from __future__ import annotations

import datetime
import re
import shutil
from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.commits import read_commit, read_commits
from lake.lake import Lake
from lake.reader import LakeReader
from lake.runs import list_runs, plan_batches
from lake.snapshots import newest_snapshot, read_snapshot
from lake.storage import Missing, Root
from pipelines import gc_superseded, snapshot_commits
from pipelines.gc import gc
from pipelines.gc_account import Wanted
from pipelines.snapshot import snapshot, take_snapshot
from provoice.status import standings
from schemas.errors import LakeError, Reason
from schemas.ledger import EventType
from tests.builders import ANNA, BEN, BOTH, BOTH_NEWER, FLAKY, LOOK, Made, write_run
from tests.collected import check_promises, later, paths, sweep
from tests.consents import ended
from tests.histories import FromCommits, answers, commit_unit
from tests.pipelines.test_snapshot import STEPS, History, done_by_both, same
from tests.releases import crowd

COUNTS = ("utterances", "recordings")


@pytest.fixture
def replaced(tmp_path):
    """Run `old` made three units; `new`, of another recipe, made all of the first and a part of the second again."""
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    write_run(lake, tmp_path, [[ANNA], [BEN, BOTH], [LOOK]], run_id="old")
    write_run(lake, tmp_path, [[Made(ANNA.path, ANNA.people, 1)], [BOTH_NEWER]], run_id="new", recipe="b")
    return lake


def units(lake, run_id):
    return {int(commit.unit_id[:7]): commit for commit in read_commits(lake, run_id)}


def counted(lake):
    said = answers(lake)
    return {view: said[view] for view in COUNTS}


def test_only_units_of_which_nothing_counts_are_collected(replaced):
    before, old = counted(replaced), units(replaced, "old")
    account = sweep(replaced, superseded=True)
    assert account.superseded.collected == 1
    assert {name: amount.objects for name, amount in account.swept.items()} == {"unit": 3}
    now = units(replaced, "old")
    assert [(now[n].generation, len(now[n].objects)) for n in now] == [(1, 0), (0, 3), (0, 3)]
    assert now[0].counts == old[0].counts
    assert now[0].collected_at is not None
    assert not any(replaced.root.exists(stored.path) for stored in old[0].objects)
    assert counted(replaced) == before
    check_promises(replaced)
    same(replaced)


def test_a_dry_run_says_what_would_happen_and_writes_nothing(replaced):
    take_snapshot(replaced)
    before = paths(replaced)
    said = sweep(replaced, is_sure=False, superseded=True)
    assert paths(replaced) == before
    assert (said.superseded.collected, said.swept["unit"].objects) == (1, 3)
    done = sweep(replaced, superseded=True)
    assert (done.superseded.collected, done.swept["unit"].objects) == (1, 3)
    assert done.size_bytes == said.size_bytes


def test_the_dry_run_says_the_same_without_a_snapshot(replaced):
    assert newest_snapshot(replaced) is None
    said = sweep(replaced, is_sure=False, superseded=True)
    assert (said.superseded.collected, said.swept["unit"].objects) == (1, 3)


def test_plain_gc_collects_nothing(replaced):
    before = paths(replaced)
    assert sweep(replaced).objects == 0
    assert paths(replaced) == before


def test_rows_leave_utterances_all_and_the_account_of_the_run_stays(replaced):
    status = standings(replaced)
    before = answers(replaced)
    sweep(replaced, superseded=True)
    after = answers(replaced)
    gone = [row for row in before["utterances_all"] if row not in after["utterances_all"]]
    assert len(gone) == ANNA.utterances
    assert all("'run_id': 'old'" in row and "a/anna.wav" in row for row in gone)
    assert len(before["recordings_all"]) - len(after["recordings_all"]) == 1
    assert standings(replaced) == status


def test_what_replaced_it_must_be_older_than_the_grace(replaced):
    """A release may be in the making that was chosen before."""
    soon = units(replaced, "new")[0].committed_at + timedelta(hours=12)
    account = gc(replaced, Wanted(is_sure=True, superseded=True), now=soon)
    assert (account.superseded.collected, account.superseded.waiting, account.objects) == (0, 1, 0)
    assert units(replaced, "old")[0].generation == 0


def test_what_explores_and_what_is_tried_again_replaces_nothing(tmp_path):
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    flaky_again = Made(FLAKY.path, FLAKY.people, reason=Reason.STAGE_FAILED)
    write_run(lake, tmp_path, [[LOOK], [FLAKY], [ANNA]], run_id="look", recipe="c", is_explore=True)
    write_run(lake, tmp_path, [[LOOK], [flaky_again], [Made(ANNA.path, reason=Reason.SOURCE_MISSING)]], run_id="again",
              recipe="d", is_explore=True)  # fmt: skip
    account = sweep(lake, superseded=True)
    assert account.superseded.collected == 0
    assert account.superseded.waiting > 0
    assert [commit.generation for run in ("look", "again") for commit in read_commits(lake, run)] == [0] * 6
    # A run that does not explore replaces what explores.
    write_run(lake, tmp_path, [[LOOK], [ANNA]], run_id="real", recipe="e")
    assert sweep(lake, superseded=True).superseded.collected == 4
    check_promises(lake)


def test_a_unit_stays_whole_as_long_as_a_release_names_its_shard(tmp_path):
    made = crowd(tmp_path, people=4, units=2)
    made.release()
    (run,) = list_runs(made.lake)
    everything = [info.path for info in made.lake.root.list("shards")]
    again = [Made(source.path, {"p000": None}, reason=Reason.SILENT) for source in _sources(made)]
    write_run(made.lake, tmp_path, [again], run_id="again", recipe="z")
    account = sweep(made.lake, superseded=True)
    assert (account.superseded.collected, account.superseded.released) == (0, run.units)
    assert all(made.lake.root.exists(path) for path in everything)
    check_promises(made.lake)


def _sources(made):
    (run,) = list_runs(made.lake)
    return [Made(row["source_path"]) for batch in plan_batches(made.lake, run) for row in batch.to_pylist()]


def test_two_at_once_collect_it_once(replaced):
    (unit,) = [(c.run_id, c.unit_id) for n, c in units(replaced, "old").items() if n == 0]
    assert list(gc_superseded.collect(replaced, [unit, unit], later())) == [unit, unit]
    commit = read_commit(replaced, *unit)
    assert (commit.generation, commit.objects) == (1, ())


def test_who_erases_at_the_same_moment_comes_first_and_nothing_is_collected(replaced, tmp_path, monkeypatch):
    run = next(run for run in list_runs(replaced) if run.run_id == "old")
    real = gc_superseded.read_commit

    def erase_first(lake, run_id, unit_id):
        commit = real(lake, run_id, unit_id)
        if commit.generation == 0:
            commit_unit(lake, run, 0, [ANNA], tmp_path, kept=[])
        return commit

    monkeypatch.setattr(gc_superseded, "read_commit", erase_first)
    assert sweep(replaced, superseded=True).superseded.collected == 0
    held = units(replaced, "old")[0]
    assert (held.generation, held.counts.erased, held.collected_at) == (1, 1, None)
    check_promises(replaced)


# --- earlier snapshots and projections --------------------------------------------------------------------------------


def test_earlier_snapshots_go_once_nobody_can_have_them_open(replaced):
    take_snapshot(replaced)
    sweep(replaced, superseded=True)
    assert newest_snapshot(replaced).number == 2
    read_snapshot(replaced, 1)  # the second is younger than the grace
    account = sweep(replaced, superseded=True, days=20)
    assert account.swept["snapshot"].objects > 0
    with pytest.raises(Missing):
        read_snapshot(replaced, 1)
    assert {info.path.split("/")[1] for info in replaced.root.list("snapshots")} >= {"00000002"}
    check_promises(replaced)
    same(replaced)


def test_a_snapshot_that_a_release_names_stays(tmp_path):
    made = crowd(tmp_path)
    take_snapshot(made.lake)
    assert made.release().snapshot == 1
    write_run(made.lake, tmp_path, [[LOOK]], run_id="more", recipe="b")
    take_snapshot(made.lake)
    sweep(made.lake, superseded=True, days=20)
    assert read_snapshot(made.lake, 1).number == 1
    check_promises(made.lake)


def test_earlier_projections_go(tmp_path):
    made = crowd(tmp_path, people=3)
    ledger = made.lake.ledger()
    ledger.project(beyond=0)
    ledger.append([ended("p000", "g-p000", EventType.WITHDRAWN)])
    ledger.project(beyond=0)
    before = [event for _, event in made.lake.ledger().events_about({"p000"}, set())]
    files = {info.path for info in ledger.root.list("projection")}
    sweep(made.lake, days=20)
    assert {info.path for info in ledger.root.list("projection")} == files
    sweep(made.lake, superseded=True, days=20)
    left = {info.path for info in ledger.root.list("projection")}
    assert "projection/00000002.json" in left
    assert "projection/00000001.json" not in left
    assert len(left) < len(files)
    assert [event for _, event in made.lake.ledger().events_about({"p000"}, set())] == before


# --- killed anywhere --------------------------------------------------------------------------------------------------


class Died(BaseException):
    """The process is gone."""


def _dying(patched, effects):
    """Of creates, puts and deletes, the one after `effects` kills, before it is done."""
    left = [effects]
    for name in ("create", "put", "delete"):
        real = getattr(Root, name)

        def wrapped(self, *args, real=real):
            left[0] -= 1
            if left[0] < 0:
                raise Died
            return real(self, *args)

        patched.setattr(Root, name, wrapped)
    return left


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.long)])
def test_killed_at_any_effect_it_is_finished_by_the_next(step, replaced, tmp_path):
    """At each create, put and delete; what counts can be read all the time, and the end is that of a gc undisturbed."""
    before = counted(replaced)
    undisturbed = _copy(replaced, tmp_path / "undisturbed")
    sweep(undisturbed, superseded=True)
    final = answers(undisturbed)
    kept = {path for path in paths(undisturbed) if not path.startswith(("snapshots/", ".provoice", "commits/"))}
    died = 0
    while True:
        lake = _copy(replaced, tmp_path / str(died))
        with pytest.MonkeyPatch.context() as patched:
            left = _dying(patched, died)
            with suppress(Died):
                sweep(lake, superseded=True)
        if left[0] >= 0:
            break
        assert counted(lake) == before
        check_promises(lake)
        sweep(lake, superseded=True, days=20)
        check_promises(lake)
        assert _without_instants(answers(lake)) == _without_instants(final)
        assert {p for p in paths(lake) if not p.startswith(("snapshots/", ".provoice", "commits/"))} == kept
        died += step
    assert died >= 8


def _copy(lake, folder):
    shutil.copytree(lake.root.base, folder)
    return Lake.open(str(folder))


def _without_instants(said):
    return {view: [re.sub(r"\('collected_at', .*?\)\)", "", row) for row in rows] for view, rows in said.items()}


def test_plain_gc_finishes_a_collection_that_died_before_its_snapshot(replaced):
    take_snapshot(replaced)
    (unit,) = [(c.run_id, c.unit_id) for n, c in units(replaced, "old").items() if n == 0]
    list(gc_superseded.collect(replaced, [unit], later()))
    before = counted(replaced)
    assert sweep(replaced).swept["unit"].objects == 3
    assert counted(replaced) == before
    check_promises(replaced)


def test_what_the_newest_snapshot_still_names_is_left_where_a_listing_hid_the_collection_from_it(replaced, monkeypatch):
    real, asked = snapshot_commits.list_commits, []

    def behind(lake, run_id):
        asked.append(run_id)
        is_last = asked.count("old") == 3  # the snapshot before, the survey, the snapshot after
        return (one for one in real(lake, run_id) if not (is_last and one[1]))

    monkeypatch.setattr(snapshot_commits, "list_commits", behind)
    account = sweep(replaced, superseded=True)
    assert asked.count("old") == 3
    assert (account.superseded.collected, account.swept["unit"].objects, account.waiting.objects) == (1, 0, 3)
    check_promises(replaced)
    monkeypatch.undo()
    assert sweep(replaced).swept["unit"].objects == 3
    check_promises(replaced)


def test_a_snapshot_holds_the_generation_that_its_maker_knows_of_and_no_listing_shows(replaced, monkeypatch):
    take_snapshot(replaced)
    (unit,) = [(c.run_id, c.unit_id) for n, c in units(replaced, "old").items() if n == 0]
    list(gc_superseded.collect(replaced, [unit], later()))
    real = snapshot_commits.list_commits
    monkeypatch.setattr(snapshot_commits, "list_commits", lambda *at: (one for one in real(*at) if not one[1]))
    snapshot(replaced, {unit: 1})
    held = [commit for _, commit in LakeReader(replaced).commits if (commit.run_id, commit.unit_id) == unit]
    assert [(commit.generation, commit.objects) for commit in held] == [(1, ())]
    assert snapshot(replaced).commits_folded == 0, "a later one does not go back"


def test_a_store_that_fails_is_said_in_one_line(replaced, monkeypatch):
    def fails(*_):
        raise LakeError("the bucket is gone")

    monkeypatch.setattr(Root, "delete", fails)
    with pytest.raises(LakeError, match="the bucket is gone"):
        sweep(replaced, superseded=True)


# --- laws -------------------------------------------------------------------------------------------------------------


class Swept(History):
    """A history in which gc collects now and then."""

    def gc(self):
        before = counted(self.lake)
        current = self.done_and_current()
        sweep(self.lake, superseded=True)
        assert counted(self.lake) == before
        assert self.done_and_current() == current
        check_promises(self.lake)
        # What was collected cannot be erased once more.
        self.erasable = [
            (run, index) for run, index in self.erasable
            if next(c for c in read_commits(self.lake, run.run_id) if int(c.unit_id[:7]) == index).generation == 0
        ]  # fmt: skip

    def done_and_current(self):
        """Of each recipe, what a new plan leaves out among the current rows of that recipe."""
        return {recipe: self._done(recipe) for recipe in "ab"}

    def _done(self, recipe):
        ids = {run.run_id for run in list_runs(self.lake) if run.recipe_sha256 == recipe * 64}
        said = [dict(eval(row, {"datetime": datetime})) for row in answers(self.lake)["recordings"]]
        current = {row["recording_id"] for row in said if row["run_id"] in ids}
        return [pair for pair in done_by_both(self.lake, recipe) if pair[0] in current]


@pytest.mark.long
@settings(max_examples=20)
@given(steps=STEPS, after=st.sets(st.integers(0, 8), min_size=1))
def test_no_history_loses_what_counts_when_it_is_collected(steps, after, tmp_path_factory):
    history = Swept(tmp_path_factory.mktemp("history"))
    for n, (step, *values) in enumerate(steps):
        getattr(history, step)(*values)
        if n in after:
            history.gc()
            same(history.lake)
    history.gc()
    assert answers(history.lake) == answers(history.lake, FromCommits(history.lake))
    assert all(commit.counts.is_conserved for _, commit in LakeReader(history.lake).commits)
