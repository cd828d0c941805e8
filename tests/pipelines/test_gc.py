"""gc: what nobody names goes, and only that; whoever is at work finds what it relies on."""

from __future__ import annotations

import hashlib
import shutil
from datetime import timedelta
from itertools import combinations_with_replacement

import pytest

from lake import commits, layout
from lake.commits import create_commit, read_commit
from lake.lake import Lake
from lake.runs import list_runs, revise_run
from lake.storage import Root
from pipelines import gc as gc_module
from pipelines.gc import gc
from pipelines.gc_account import Wanted
from pipelines.snapshot import snapshot, take_snapshot
from schemas.errors import AlreadyExists, ConfigError, LakeError
from schemas.records import Commit, Counts, StoredObject
from tests.builders import ANNA, BEN, BOTH, DORA, small_lake, write_run
from tests.collected import HEX, check_promises, later, orphans, paths, sweep
from tests.histories import answers, commit_unit
from tests.releases import crowd


@pytest.fixture
def done(tmp_path):
    """A lake of one complete run of two units, with a snapshot."""
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    write_run(lake, tmp_path, [[ANNA], [BEN]], run_id="r")
    take_snapshot(lake)
    return lake


def unit_of(lake, run_id="r", index=0):
    return sorted(commits.committed_units(lake, run_id))[index]


# --- what goes --------------------------------------------------------------------------------------------------------


def test_without_yes_nothing_is_written_or_deleted(done):
    orphans(done, "r", 1, unit_of(done))
    before = paths(done)
    account = sweep(done, is_sure=False)
    assert paths(done) == before
    assert account.objects == 9
    assert {kind: amount.objects for kind, amount in account.swept.items()} == {
        "unit": 3, "plan": 1, "report": 1, "snapshot": 1, "unfinished": 3,
    }  # fmt: skip


def test_orphans_of_every_kind_go_and_nothing_else(done):
    before, said = paths(done), answers(done)
    planted = orphans(done, "r", 1, unit_of(done))
    account = sweep(done)
    assert (account.objects, account.size_bytes) == (len(planted), 9 * len(planted))
    assert paths(done) == before
    assert answers(done) == said
    assert sweep(done).objects == 0


def test_what_is_younger_than_the_grace_stays(done):
    planted = orphans(done, "r", 1, unit_of(done))
    account = sweep(done, days=0.9)  # the default is a day
    assert (account.objects, account.young.objects) == (0, len(planted))
    assert planted <= paths(done)
    assert sweep(done, days=0.9, grace_s=7200.0).objects == len(planted)


def test_names_that_are_not_ours_stay(done):
    mine = ("shards/r/notes.txt", "utterances/mine.parquet", "runs/000001/notes", "private.txt", "releases/x")
    for path in mine:
        done.root.create(path, b"mine")
    account = sweep(done)
    assert set(mine) <= paths(done)
    assert account.foreign.objects == 4  # of the one outside our folders nothing is said
    assert account.objects == 0


def test_parts_of_an_index_and_shards_of_a_release_stay(tmp_path):
    made = crowd(tmp_path)
    made.release()
    take_snapshot(made.lake)
    before = paths(made.lake)
    (run,) = list_runs(made.lake)
    planted = orphans(made.lake, run.run_id, 1, unit_of(made.lake, run.run_id))
    assert sweep(made.lake).objects == len(planted)
    assert paths(made.lake) == before
    check_promises(made.lake)


# --- what may still be named ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        layout.plan_path(2, HEX),
        layout.snapshot_file_path(2, "utterances", HEX),
        layout.snapshot_manifest_path(2, "utterances"),
        layout.release_index_path("gold", 1, 0, HEX),
        layout.projection_file_path("subject", 1, 99, HEX).join(["consent/", ""]),
    ],
)
def test_what_the_next_run_snapshot_release_or_projection_may_find_there_stays(done, path):
    """Whoever died left it; whoever goes on puts it again, is told that it exists, and names it."""
    done.root.create(path, b"left over")
    account = sweep(done)
    assert (account.objects, account.waiting.objects) == (0, 1)
    assert done.root.exists(path)


def test_the_grace_is_more_than_twice_the_longest_deadline_of_what_is_open(tmp_path):
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    run = write_run(lake, tmp_path, [[ANNA], [BEN]], run_id="r", committed=1)  # deadlines of 3,600 s
    for grace_s in (7200.0, 60.0):
        with pytest.raises(ConfigError, match=r"7201 s is the least, more than twice the 3600 s .* of r may take"):
            gc(lake, Wanted(grace_s=grace_s))
    assert gc(lake, Wanted(grace_s=7201.0)).grace.open_runs == ("r",)
    revise_run(lake, run.model_copy(update={"is_closed": True}))
    with pytest.raises(ConfigError, match=r"3600 s is the least, for releases and snapshots"):
        gc(lake, Wanted(grace_s=60.0))
    assert gc(lake, Wanted(grace_s=3600.0)).grace.open_runs == ()


def test_a_long_deadline_makes_the_default_longer(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.gc_grace.DEFAULT_S", 100.0)
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    write_run(lake, tmp_path, [[ANNA], [BEN]], run_id="r", committed=1)
    assert gc(lake, Wanted()).grace.grace_s == 7201.0


def test_of_an_open_run_only_committed_units_are_swept(tmp_path):
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    run = write_run(lake, tmp_path, [[ANNA], [BEN]], run_id="r", committed=1)
    committed, other = unit_of(lake), "0000001-cccccccccccc"
    mine, theirs = layout.shard_path("r", committed, HEX), layout.shard_path("r", other, HEX)
    lake.root.create(mine, b"left over")
    lake.root.create(theirs, b"left over")
    account = sweep(lake)
    assert (account.objects, account.waiting.objects) == (1, 1)
    assert not lake.root.exists(mine)
    revise_run(lake, run.model_copy(update={"is_closed": True}))
    assert sweep(lake, is_sure=False).objects == 1
    assert read_commit(lake, "r", other) is None
    assert sweep(lake).objects == 1
    seal = read_commit(lake, "r", other)
    assert (seal.objects, seal.counts, seal.generation) == ((), Counts(), 0)
    assert seal.collected_at is not None
    check_promises(lake)


# --- a late worker ----------------------------------------------------------------------------------------------------

SHA = hashlib.sha256(b"left over").hexdigest()
POINTS = ("list_lake", "read_records", "_add_up", "_each", "end")


class LateWorker:
    """Its three steps, one at each of `points` of a gc: it puts its object (which lies there already), looks whether it
    is there, and creates the commit."""

    def __init__(self, lake, unit_id, points):
        self.lake, self.waiting = lake, list(zip(points, ("put", "look", "create"), strict=True))
        self.path = layout.shard_path("r", unit_id, HEX)
        self.data = b"left over"
        stored = StoredObject(kind="shard", path=self.path, size_bytes=len(self.data), sha256=SHA)
        at = later()
        self.commit = Commit(
            run_id="r", unit_id=unit_id, writer="late", recipe_sha256="a" * 64, objects=(stored,),
            counts=Counts(sources=1, emitted=1), ledger_position=0, decided_at=at, committed_at=at,
        )  # fmt: skip
        self.is_refused = False

    def reach(self, point):
        while self.waiting and self.waiting[0][0] == point and not self.is_refused:
            getattr(self, self.waiting.pop(0)[1])()

    def put(self):
        self.lake.root.put(self.path, self.data, SHA)

    def look(self):
        self.is_refused = commits._fault(self.lake, self.commit) is not None

    def create(self):
        try:
            path = layout.commit_path("r", self.commit.unit_id, 0)
            self.lake.root.create(path, self.commit.model_dump_json().encode())
        except AlreadyExists:
            self.is_refused = True


@pytest.mark.parametrize("state", ["open", "closed"])
def test_however_a_late_worker_and_gc_meet_a_commit_never_names_what_is_gone(state, tmp_path, monkeypatch):
    """Every interleaving of the worker's three steps with gc's five, beside an orphan of the worker's very name."""
    reached = 0
    first = Lake.create_or_open(str(tmp_path / "first"))
    run = write_run(first, tmp_path, [[ANNA], [BEN]], run_id="r", committed=1)
    if state == "closed":
        revise_run(first, run.model_copy(update={"is_closed": True}))
    for n, points in enumerate(combinations_with_replacement(POINTS, 3)):
        shutil.copytree(tmp_path / "first", tmp_path / str(n))
        lake = Lake.open(str(tmp_path / str(n)))
        worker = LateWorker(lake, "0000001-cccccccccccc", points)
        lake.root.create(worker.path, worker.data)
        with monkeypatch.context() as patched:
            for point in POINTS[:-1]:
                _before(patched, point, worker)
            sweep(lake)
        worker.reach("end")
        check_promises(lake)
        held = read_commit(lake, "r", worker.commit.unit_id)
        assert worker.is_refused == (held is None or held.writer != "late")
        reached += not worker.is_refused
        if state == "open":
            assert not worker.is_refused
    assert reached > 0


def _before(patched, name, worker):
    owner = gc_module if hasattr(gc_module, name) else gc_module._Sweep
    real = getattr(owner, name)

    def hooked(*args, **named):
        worker.reach(name)
        return real(*args, **named)

    patched.setattr(owner, name, hooked)


def test_a_worker_that_wakes_up_after_its_unit_was_sealed_gets_the_seal(tmp_path):
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    run = write_run(lake, tmp_path, [[ANNA], [BEN]], run_id="r", committed=1)
    revise_run(lake, run.model_copy(update={"is_closed": True}))
    worker = LateWorker(lake, "0000001-cccccccccccc", ("end",) * 3)
    lake.root.create(worker.path, worker.data)
    sweep(lake)
    worker.put()
    assert create_commit(lake, worker.commit).collected_at is not None
    check_promises(lake)
    assert sweep(lake).objects == 1  # what it brought again


def test_a_release_that_is_made_meanwhile_keeps_what_it_names(tmp_path, monkeypatch):
    made = crowd(tmp_path)
    take_snapshot(made.lake)
    real = gc_module.read_records

    def release_first(*args):
        made.release()
        return real(*args)

    monkeypatch.setattr(gc_module, "read_records", release_first)
    sweep(made.lake)
    check_promises(made.lake)


@pytest.mark.parametrize("point", POINTS[:-1])
def test_snapshots_runs_and_commits_that_come_meanwhile_lose_nothing(point, tmp_path, monkeypatch):
    made = small_lake(tmp_path)
    work = tmp_path / "work"

    class Meanwhile:
        done = False

        def reach(self, _name):
            if not self.done:
                self.done = True
                write_run(made.lake, work, [[ANNA, BOTH], [DORA]], run_id="meanwhile", recipe="d")
                snapshot(made.lake)

    with monkeypatch.context() as patched:
        _before(patched, point, Meanwhile())
        sweep(made.lake, superseded=True)
    check_promises(made.lake)


def test_commits_are_read_after_objects_are_listed(tmp_path, monkeypatch):
    """An erasure as the listing begins: it shows the new generation's objects, so their commit must be seen, too."""
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    run = write_run(lake, tmp_path, [[ANNA, BEN]], run_id="r")
    real, listed = Root.list, []

    def erase_first(self, prefix="", unfinished=False):
        if unfinished and not listed:
            listed.append(self)
            commit_unit(lake, run, 0, [ANNA, BEN], tmp_path, kept=[BEN])
        return real(self, prefix, unfinished)

    monkeypatch.setattr(Root, "list", erase_first)
    assert sweep(lake).swept["unit"].objects == 3  # those of the generation before
    assert listed
    check_promises(lake)


# --- faults -----------------------------------------------------------------------------------------------------------


def test_what_cannot_be_read_stops_it_before_anything_is_deleted(done):
    planted = orphans(done, "r", 1, unit_of(done))
    done.root.create("releases/gold/1/release.json", b"{torn")
    with pytest.raises(LakeError, match=r"release\.json is not a release"):
        sweep(done)
    assert planted <= paths(done)


def test_a_gc_that_dies_is_finished_by_the_next(done, monkeypatch):
    before = paths(done)
    orphans(done, "r", 1, unit_of(done))
    real, left = Root.delete, [4]

    def dies(self, path):
        left[0] -= 1
        if left[0] < 0:
            raise LakeError("the store went away")
        real(self, path)

    monkeypatch.setattr(Root, "delete", dies)
    with pytest.raises(LakeError, match="went away"):
        sweep(done)
    assert paths(done) > before
    monkeypatch.undo()
    sweep(done)
    assert paths(done) == before


def test_a_lake_in_memory_is_swept_as_one_on_disk(tmp_path):
    lake = Lake.create_or_open(f"memory://{tmp_path.name}-gc")
    write_run(lake, tmp_path, [[ANNA], [BEN]], run_id="r")
    take_snapshot(lake)
    before = paths(lake)
    planted = orphans(lake, "r", 1, unit_of(lake))
    assert sweep(lake).objects == len(planted)
    assert paths(lake) == before
    check_promises(lake)


def test_a_clock_that_is_behind_deletes_nothing(done):
    orphans(done, "r", 1, unit_of(done))
    assert gc(done, Wanted(True), now=later(0) - timedelta(days=400)).objects == 0
