"""What the protocol promises, one promise each: a scenario raises AssertionError where the promise is not kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from unittest.mock import patch

from lake import layout, snapshots
from lake.commits import create_commit, read_commit
from lake.lake import Lake
from lake.ledger import Ledger
from lake.reader import LakeReader
from lake.runs import create_run, list_runs, read_plan_units, read_unit
from lake.storage import Root
from pipelines import gc as gc_module
from pipelines import gc_superseded, unit
from pipelines import snapshot as snapshot_module
from pipelines.run import close_run
from schemas.errors import AlreadyExists, ConsentError, LakeError, RunStopped
from schemas.records import Commit, Counts, RunRecord, StoredObject
from tests.builders import ANNA, BEGAN, BEN, key_of, write_run
from tests.collected import check_promises, sweep
from tests.consents import given, grant
from tests.faults.disk import Disk
from tests.faults.effects import Fault, Injection, Injector
from tests.faults.harness import in_child
from tests.faults.onlooker import rows_of
from tests.faults.store import FaultyStore
from tests.histories import commit_unit

HEX = "0123456789abcdef" * 4


def lake_of(folder: Path, committed: int | None = None) -> tuple[Lake, RunRecord]:
    lake = Lake.create_or_open(str(folder / "lake"))
    return lake, write_run(lake, folder, [[ANNA], [BEN]], run_id="r", committed=committed)


def commit_by(writer: str, unit_id: str = "0000000-aa", objects: tuple[StoredObject, ...] = ()) -> Commit:
    return Commit(
        run_id="r", unit_id=unit_id, writer=writer, recipe_sha256="a" * 64, objects=objects, counts=Counts(),
        ledger_position=0, decided_at=BEGAN, committed_at=BEGAN,
    )  # fmt: skip


def raised(call: Callable[[], object]) -> type[Exception] | None:
    try:
        call()
    except (LakeError, ConsentError, RunStopped) as error:
        return type(error)
    return None


# --- creates and commits ----------------------------------------------------------------------------------------------


def the_first_commit_holds(folder: Path) -> None:
    lake, _ = lake_of(folder, committed=0)
    assert create_commit(lake, commit_by("first")).writer == "first"
    assert create_commit(lake, commit_by("second")).writer == "first"
    stored = read_commit(lake, "r", "0000000-aa")
    assert stored is not None
    assert stored.writer == "first"


def a_commit_whose_answer_was_lost_is_ours(folder: Path) -> None:
    """The store has it, says so to nobody, is asked again, and refuses."""
    lake_of(folder, committed=0)
    FaultyStore.use(folder, injector := Injector(Injection(1, Fault.DONE_BUT_412)))
    lake = Lake.open("faulty://lake")
    injector.is_on = True
    assert raised(lambda: create_commit(lake, commit_by("mine"))) is None, "it was ours, and was given up"


def a_commit_names_what_is_there(folder: Path) -> None:
    lake, _ = lake_of(folder, committed=0)
    missing = StoredObject(kind="shard", path=layout.shard_path("r", "0000000-aa", HEX), size_bytes=9, sha256=HEX)
    assert raised(lambda: create_commit(lake, commit_by("mine", objects=(missing,)))) is LakeError
    assert read_commit(lake, "r", "0000000-aa") is None


def other_bytes_under_a_name_are_told(folder: Path) -> None:
    root = Root(str(folder / "root"))
    root.create("shards/x", b"other bytes")
    assert raised(lambda: root.put("shards/x", b"these bytes", HEX)) is LakeError


def a_seal_knows_a_worker(folder: Path) -> None:
    """gc that comes after a worker must not take the worker's commit for its own, and delete what it names."""
    lake, run = lake_of(folder, committed=0)
    create_commit(lake, commit_by("a worker"))
    assert gc_superseded.seal(lake, run, "0000000-aa", run.created_at) is False


def power_that_fails_leaves_whole_files_or_none(folder: Path) -> None:
    """At every effect of a create and of a put from a file, with both extremes of what a disk forgets."""
    data = b"a line of bytes\n" * 64
    for n, fault in ((n, fault) for n in range(1, 40) for fault in (Fault.POWER, Fault.POWER_TORN)):
        world = folder / f"{n}-{fault.name}"
        (world / "in").mkdir(parents=True)
        said = in_child(partial(_stored, world, Injection(n, fault), data), otherwise="died")
        for name in ("a/b/created", "a/b/moved"):
            path = world / "in" / name
            assert not path.exists() or path.read_bytes() == data, f"{name} is torn"
        assert said != "done" or (world / "in/a/b/moved").exists()
        for name in (world / "acknowledged").read_text().split() if (world / "acknowledged").exists() else ():
            assert (world / "in" / name).exists(), f"{name} was acknowledged, and is gone"


def _stored(world: Path, injection: Injection, data: bytes) -> str:
    disk = Disk(world / "in", injector := Injector(injection))
    disk.install()
    root = Root(str(world / "in"))
    (world / "source").write_bytes(data)
    (world / "source").chmod(0o644)
    injector.is_on = True
    with (world / "acknowledged").open("a") as told:
        root.create("a/b/created", data)
        told.write("a/b/created\n")
        told.flush()
        root.put("a/b/moved", world / "source", HEX)
        told.write("a/b/moved\n")
    injector.finish()
    return "done"


# --- runs -------------------------------------------------------------------------------------------------------------


def a_number_is_taken_once(folder: Path) -> None:
    lake, run = lake_of(folder, committed=0)
    other = run.model_copy(update={"run_id": "other"})
    assert raised(lambda: create_run(lake, other)) is AlreadyExists
    assert [one.run_id for one in list_runs(lake)] == ["r"]


def who_is_late_does_not_commit(folder: Path) -> None:
    lake, run = lake_of(folder, committed=0)
    job = _job(lake, run)
    assert raised(lambda: job._check_may_commit(_planned(job), -1e9)) is RunStopped


def who_works_for_a_closed_run_does_not_commit(folder: Path) -> None:
    lake, run = lake_of(folder, committed=0)
    job = _job(lake, run)
    close_run(lake, "r")
    assert raised(lambda: job._check_may_commit(_planned(job), time.monotonic())) is RunStopped


def _job(lake: Lake, run: RunRecord) -> unit.UnitJob:
    job = object.__new__(unit.UnitJob)
    job.lake, job.run = lake, run
    return job


def _planned(job: unit.UnitJob) -> unit.Unit:
    first = read_plan_units(job.lake, job.run)[0]
    return unit.Unit.from_table(read_unit(job.lake, job.run, first.unit_id))


# --- readers and snapshots --------------------------------------------------------------------------------------------


def readers_follow_commits_only(folder: Path) -> None:
    """A worker has put everything of a unit, and not committed it."""
    lake, run = lake_of(folder, committed=1)
    with patch("tests.histories.create_commit", lambda _, commit: commit):
        commit_unit(lake, run, 1, [BEN], folder)
    assert {key for key, _ in rows_of(LakeReader(lake), "utterances")} == {key_of(ANNA, 0), key_of(ANNA, 1)}


def of_two_snapshots_the_later_has_looked_later(folder: Path) -> None:
    """One has read the commits of a closed run; a worker that was late commits; another takes a snapshot; the first
    goes on. Readers do not list the commits of a run that a snapshot closes."""
    lake, run = lake_of(folder, committed=1)
    close_run(lake, "r")
    real, calls = snapshot_module.fold, [0]

    def fold_and_wait(*args: object) -> object:
        folded = real(*args)  # type: ignore[arg-type]
        calls[0] += 1
        if calls[0] == 1:
            commit_unit(lake, run, 1, [BEN], folder)
            snapshot_module.snapshot(lake)
        return folded

    with patch.object(snapshot_module, "fold", fold_and_wait):
        snapshot_module.snapshot(lake)
    assert key_of(BEN) in {key for key, _ in rows_of(LakeReader(lake), "utterances")}, "a committed row is gone"


def a_snapshot_is_there_when_all_of_it_is(folder: Path) -> None:
    lake, _ = lake_of(folder)
    seen: list[str] = []
    real = Root.create

    def look_and_create(self: Root, path: str, data: bytes) -> None:
        real(self, path, data)
        head = snapshots.newest_snapshot(lake)
        for kind in {file.kind for file in head.files} if head else ():
            manifest = layout.snapshot_manifest_path(head.number, kind) if head else ""
            seen.extend([] if lake.root.exists(manifest) else [manifest])

    with patch.object(Root, "create", look_and_create):
        snapshot_module.snapshot(lake)
    assert not seen, "a reader saw half a snapshot"


# --- the ledger -------------------------------------------------------------------------------------------------------


def both_of_two_who_append_at_once_are_heard(folder: Path) -> None:
    root = Root(str(folder / "ledger"))
    mine, others = Ledger(root), Ledger(root)
    mine.ensure()
    real, calls = Root.create, [0]

    def create(self: Root, path: str, data: bytes) -> None:
        calls[0] += 1
        if calls[0] == 1:
            others.append([given(grant("ben"))])
        real(self, path, data)

    with patch.object(Root, "create", create):
        assert raised(lambda: mine.append([given(grant("anna"))])) is None
    assert [event.subject_id for _, event in Ledger(root).events()] == ["ben", "anna"]


def an_append_whose_answer_was_lost_is_not_made_twice(folder: Path) -> None:
    Ledger(Root(str(folder / "ledger"))).ensure()
    FaultyStore.use(folder, injector := Injector())
    ledger = Ledger(Root("faulty://ledger"))
    ledger.head()
    with patch.object(FaultyStore, "_created", _unheard(FaultyStore._created)):
        ledger.append_lines([given(grant("anna")).model_dump_json(exclude_none=True).encode()])
    assert len(list(Ledger(Root(str(folder / "ledger"))).events())) == 1, injector.effects


def _unheard(real: Callable[..., None]) -> Callable[..., None]:
    """The first create is done, and answered as if the name had been taken."""
    from tests.lake.fake_store import as_s3fs_says_it

    calls = [0]

    def created(self: FaultyStore, name: str, data: bytes) -> None:
        real(self, name, data)
        calls[0] += 1
        if calls[0] == 1:
            raise as_s3fs_says_it(412)

    return created


def a_ledger_that_has_lost_its_end_is_refused(folder: Path) -> None:
    ledger = Ledger(Root(str(folder / "ledger")))
    ledger.ensure()
    ledger.append([given(grant("anna"))])
    assert raised(lambda: ledger.expect(2)) is ConsentError


# --- gc ---------------------------------------------------------------------------------------------------------------


def gc_spares_who_commits_while_it_looks(folder: Path) -> None:
    """A worker commits its unit between gc's two looks: at the objects, and at what names them."""
    lake, run = lake_of(folder, committed=1)
    close_run(lake, "r")
    real = gc_module.list_lake

    def list_then_commit(*args: object) -> object:
        listing = real(*args)  # type: ignore[arg-type]
        commit_unit(lake, run, 1, [BEN], folder)
        return listing

    with patch("tests.histories.create_commit", lambda _, commit: commit):
        commit_unit(lake, run, 1, [BEN], folder / "first")
    with patch.object(gc_module, "list_lake", list_then_commit):
        sweep(lake)
    check_promises(lake)


def gc_spares_what_is_young(folder: Path) -> None:
    """A snapshot's manifest of a number that is taken: old ones go, and those of today stay."""
    lake, run = lake_of(folder)
    path = layout.plan_path(run.number, HEX)
    lake.root.create(path, b"a planner that has lost the number, and is about to find out")
    gc_module.gc(lake, gc_module.Wanted(is_sure=True), now=datetime.now(UTC) + timedelta(minutes=30))
    assert lake.root.exists(path)
