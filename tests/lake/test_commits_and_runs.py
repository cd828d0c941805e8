"""Commits and runs: who comes first holds, and a lost answer is recognised."""

from __future__ import annotations

import multiprocessing
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lake import layout, plans
from lake.commits import committed_units, create_commit, read_commit, read_commits
from lake.lake import Lake
from lake.reader import LakeReader
from lake.runs import (
    PlannedUnit,
    create_run,
    find_run,
    list_runs,
    plan_batches,
    put_plan,
    read_plan_units,
    read_unit,
    reread_run,
    revise_run,
)
from lake.storage import Missing
from schemas.errors import AlreadyExists, ConfigError, ConsentError, LakeError
from schemas.records import Commit, Counts, RunRecord, StoredObject
from schemas.tables import PLAN_SCHEMA

FORK = multiprocessing.get_context("fork")
AT = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path):
    return Lake.create_or_open(str(tmp_path / "lake"))


def commit(unit: str = "0000000-aa", writer: str = "w1", generation: int = 0, **fields) -> Commit:
    return Commit(
        run_id="r", unit_id=unit, generation=generation, writer=writer, recipe_sha256="0" * 64, objects=(),
        counts=Counts(), ledger_position=0, decided_at=AT, committed_at=AT, **fields,
    )  # fmt: skip


def run_record(number: int = 1, run_id: str = "r", plan: StoredObject | None = None, units: int = 2) -> RunRecord:
    plan = plan or StoredObject(kind="plan", path="p", size_bytes=1, sha256="0" * 64)
    return RunRecord(
        number=number, run_id=run_id, recipe_sha256="0" * 64, roots={"a": "/a"}, plan=plan, units=units, sources=3,
        created_at=AT,
    )  # fmt: skip


def test_the_first_commit_holds_and_a_later_writer_gets_it(lake):
    first = create_commit(lake, commit(writer="w1"))
    assert create_commit(lake, commit(writer="w2")) == first
    assert read_commit(lake, "r", "0000000-aa") == first
    assert read_commit(lake, "r", "0000001-bb") is None


def test_whoever_is_refused_and_finds_its_own_token_has_succeeded(lake, monkeypatch):
    plain = lake.root.create

    def answer_lost(path, data):
        plain(path, data)
        plain(path, data)

    monkeypatch.setattr(lake.root, "create", answer_lost)
    assert create_commit(lake, commit(writer="mine")).writer == "mine"


def test_another_error_is_never_taken_for_success(lake, monkeypatch):
    def away(*_):
        raise LakeError("the store is away")

    monkeypatch.setattr(lake.root, "create", away)
    with pytest.raises(LakeError, match="away"):
        create_commit(lake, commit())
    assert read_commit(lake, "r", "0000000-aa") is None


def test_the_highest_generation_is_read(lake):
    create_commit(lake, commit())
    create_commit(lake, commit(generation=1, writer="erasure"))
    assert read_commit(lake, "r", "0000000-aa").writer == "erasure"
    assert committed_units(lake, "r") == {"0000000-aa": 1}
    assert [c.generation for c in read_commits(lake, "r")] == [1]


def test_a_run_number_goes_to_the_first_planner(lake):
    create_run(lake, run_record(run_id="one"))
    with pytest.raises(AlreadyExists):
        create_run(lake, run_record(run_id="two"))
    assert [run.run_id for run in list_runs(lake)] == ["one"]


def test_a_revision_is_a_new_generation(lake):
    first = create_run(lake, run_record())
    closed = revise_run(lake, first.model_copy(update={"is_closed": True}))
    assert closed.generation == 1
    assert find_run(lake, "r").is_closed
    assert reread_run(lake, first).is_closed
    with pytest.raises(AlreadyExists):
        revise_run(lake, first)


def plan(lake, folder, units: int, sources: int, path: str = "a.wav", **options) -> RunRecord:
    """A run whose stored plan has `units` units of `sources` sources each."""
    rows = [
        {"unit_index": u, "unit_id": f"{u:07d}-aa", "recording_id": f"{u}{s}", "source_root": "a", "source_path": path,
         "source_version": "1", "source_size_bytes": 1, "estimated_s": 1.5, "deadline_s": 60.0}
        for u in range(units) for s in range(sources)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows, schema=PLAN_SCHEMA), folder / "plan.parquet", **options)
    return run_record(plan=put_plan(lake, folder / "plan.parquet", 1), units=units)


def test_a_plan_is_read_unit_by_unit(lake, tmp_path):
    run = plan(lake, tmp_path, 4, 2, row_group_size=4)
    assert run.plan.size_bytes == lake.root.size(run.plan.path)
    assert read_plan_units(lake, run) == [PlannedUnit(f"{u:07d}-aa", 3.0, 60.0, 2) for u in range(4)]
    assert sum(batch.num_rows for batch in plan_batches(lake, run)) == 8
    assert read_unit(lake, run, "0000002-aa")["recording_id"].to_pylist() == ["20", "21"]
    with pytest.raises(LakeError, match="no unit 0000009-zz"):
        read_unit(lake, run, "0000009-zz")


def test_a_unit_that_lies_across_batches_is_counted_whole(lake, tmp_path, monkeypatch):
    monkeypatch.setattr(plans, "_BATCH_ROWS", 3)
    run = plan(lake, tmp_path, 3, 5)
    assert read_plan_units(lake, run) == [PlannedUnit(f"{u:07d}-aa", 7.5, 60.0, 5) for u in range(3)]


def test_a_unit_is_read_from_its_row_groups_alone(lake, tmp_path):
    run = plan(lake, tmp_path, 20, 1, path="x" * 50_000, row_group_size=1, compression="none", use_dictionary=False)
    stored = tmp_path / "lake" / run.plan.path
    broken = bytearray(stored.read_bytes())
    first = pq.ParquetFile(stored).metadata.row_group(3).column(0).data_page_offset
    broken[4:first] = bytes(first - 4)
    stored.write_bytes(broken)
    assert read_unit(lake, run, "0000005-aa").num_rows == 1
    with pytest.raises(LakeError, match="cannot be read as a plan"):
        read_unit(lake, run, "0000001-aa")


def test_a_plan_that_is_none_is_named(lake):
    lake.root.create("p", b"not Parquet")
    for ask in (lambda: read_unit(lake, run_record(), "0000000-aa"), lambda: read_plan_units(lake, run_record())):
        with pytest.raises(LakeError, match="cannot be read as a plan"):
            ask()
    with pytest.raises(Missing):
        read_plan_units(lake, run_record(plan=StoredObject(kind="plan", path="q", size_bytes=1, sha256="0")))


def test_a_commit_never_promises_what_is_not_there(lake):
    stored = StoredObject(kind="shard", path="shards/r/x.tar", size_bytes=3, sha256="11" * 32)
    late = commit().model_copy(update={"objects": (stored,)})
    with pytest.raises(LakeError, match=r"shards/r/x.tar, which it names, does not exist"):
        create_commit(lake, late)
    lake.root.create(stored.path, b"other bytes")
    with pytest.raises(LakeError, match="has 11 bytes instead of 3"):
        create_commit(lake, late)
    assert read_commit(lake, "r", "0000000-aa") is None
    lake.root.delete(stored.path)
    first = create_commit(lake, commit(writer="in time"))
    assert create_commit(lake, late) == first, "swept since: somebody else had committed"


def _commit(uri: str, writer: str, barrier, held) -> None:
    lake = Lake.open(uri)
    barrier.wait()
    for unit in range(10):
        held.put((unit, create_commit(lake, commit(f"{unit:07d}-aa", writer)).writer))


def test_of_many_processes_that_commit_a_unit_all_get_the_same_commit(lake):
    barrier, held = FORK.Barrier(6), FORK.SimpleQueue()
    writers = [FORK.Process(target=_commit, args=(lake.root.uri, f"w{n}", barrier, held)) for n in range(6)]
    for writer in writers:
        writer.start()
    got = [held.get() for _ in range(60)]
    for writer in writers:
        writer.join()
    assert len(set(got)) == 10
    assert set(got) == {(int(c.unit_id[:7]), c.writer) for c in read_commits(lake, "r")}


def test_what_lies_beside_commits_and_runs_and_is_not_ours_is_passed_over(lake):
    create_run(lake, run_record())
    create_commit(lake, commit())
    for path in ("commits/r/.DS_Store", "commits/r/0000000-aa.1.json.bak", "runs/notes.txt", "runs/x/run.0.json",
                 "runs/000001/plan-1.parquet", "runs/000001/run.one.json"):  # fmt: skip
        lake.root.create(path, b"?")
    assert committed_units(lake, "r") == {"0000000-aa": 0}
    assert [run.run_id for run in list_runs(lake)] == ["r"]


def test_ten_generations_are_numbers_and_not_texts(lake):
    record = create_run(lake, run_record())
    for generation in range(1, 12):
        create_commit(lake, commit(generation=generation - 1, writer=f"g{generation - 1}"))
        record = revise_run(lake, record)
    assert committed_units(lake, "r") == {"0000000-aa": 10}
    assert [c.writer for c in read_commits(lake, "r")] == ["g10"]
    assert find_run(lake, "r").generation == 11


def test_a_planner_that_lost_the_answer_has_its_number(lake, monkeypatch):
    plain = lake.root.create

    def answer_lost(path, data):
        plain(path, data)
        plain(path, data)

    monkeypatch.setattr(lake.root, "create", answer_lost)
    assert create_run(lake, run_record(run_id="mine")).run_id == "mine"
    monkeypatch.undo()
    with pytest.raises(AlreadyExists):
        create_run(lake, run_record(run_id="other"))


def test_commits_come_in_order_and_a_choice_of_them_too(lake):
    names = [f"{n:07d}-aa" for n in range(150)]
    for name in reversed(names):
        create_commit(lake, commit(name))
    assert [c.unit_id for c in read_commits(lake, "r")] == names
    assert [c.unit_id for c in read_commits(lake, "r", [names[7], names[3], "9999999-zz"])] == [names[3], names[7]]
    following = read_commits(lake, "r")
    assert next(following).unit_id == names[0]
    following.close()


def test_readers_see_only_what_commits_name(lake):
    create_run(lake, run_record())
    named = layout.utterances_path("r", "0000000-aa", "11" * 32)
    lake.root.create(named, b"named")
    lake.root.create(layout.utterances_path("r", "0000001-bb", "22" * 32), b"an orphan")
    lake.root.create(layout.shard_path("r", "0000001-bb", "22" * 32), b"an orphan")
    stored = StoredObject(kind="utterances", path=named, size_bytes=5, sha256="11" * 32, rows=7)
    create_commit(lake, commit().model_copy(update={"objects": (stored,)}))
    assert [(part.path, part.rows) for part in LakeReader(lake).parts("utterances")] == [(named, 7)]


def test_what_is_not_a_lake_is_told_with_the_next_step(tmp_path):
    with pytest.raises(ConfigError, match=r"is not a lake.*provoice run"):
        Lake.open(str(tmp_path))


def test_a_lake_keeps_the_ledger_that_its_first_writer_named(tmp_path):
    Lake.create_or_open(str(tmp_path / "lake"), str(tmp_path / "one"))
    assert Lake.open(str(tmp_path / "lake")).ledger().root.uri == str(tmp_path / "one")
    assert Lake.open(str(tmp_path / "lake")).ledger().head() == 0
    Lake.create_or_open(str(tmp_path / "lake"), f"file://{tmp_path}/one/")
    Lake.create_or_open(str(tmp_path / "lake"))
    with pytest.raises(ConfigError, match="keeps its consent ledger at"):
        Lake.create_or_open(str(tmp_path / "lake"), str(tmp_path / "two"))


def test_a_ledger_within_the_lake_moves_with_it(tmp_path):
    Lake.create_or_open(str(tmp_path / "lake"), str(tmp_path / "lake" / "grants"))
    assert Lake.open(str(tmp_path / "lake")).head.ledger == "grants"
    (tmp_path / "lake").rename(tmp_path / "moved")
    assert Lake.open(str(tmp_path / "moved")).ledger().head() == 0


def test_a_lake_whose_ledger_has_gone_does_not_get_an_empty_one(tmp_path):
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    (tmp_path / "lake" / "consent").rename(tmp_path / "elsewhere")
    again = Lake.create_or_open(str(tmp_path / "lake"))
    for each in (lake, again):
        with pytest.raises(ConsentError, match="never taken for an empty one"):
            each.ledger().head()


def _make(uri: str, ledger: str, barrier, said) -> None:
    barrier.wait()
    try:
        said.put(Lake.create_or_open(uri, ledger).head.ledger)
    except ConfigError:
        said.put(None)


def test_of_many_first_writers_one_names_the_ledger(tmp_path):
    barrier, said = FORK.Barrier(4), FORK.SimpleQueue()
    makers = [
        FORK.Process(target=_make, args=(str(tmp_path / "lake"), str(tmp_path / f"ledger{n}"), barrier, said))
        for n in range(4)
    ]
    for maker in makers:
        maker.start()
    got = [said.get() for _ in makers]
    for maker in makers:
        maker.join()
    holder = Lake.open(str(tmp_path / "lake"))
    assert [name for name in got if name] == [holder.head.ledger]
    assert holder.ledger().head() == 0


def test_a_lake_of_a_later_version_is_told_before_its_new_keys(tmp_path):
    (tmp_path / "lake.0.json").write_text('{"format_version": 2, "shape": "round"}')
    with pytest.raises(ConfigError, match="has format 2; this provoice reads up to 1"):
        Lake.open(str(tmp_path))


@pytest.mark.parametrize(("text", "error"), [("{", LakeError), ('{"ledgr": "x"}', ConfigError), ("[]", ConfigError)])
def test_a_head_that_is_none_is_named(tmp_path, text, error):
    (tmp_path / "lake.0.json").write_text(text)
    with pytest.raises(error, match=r"lake\.0\.json"):
        Lake.open(str(tmp_path))


def test_a_lake_that_may_not_be_read_is_a_wrong_request(tmp_path, monkeypatch):
    def forbidden(*_, **__):
        raise PermissionError(13, "Permission denied", "lake.0.json")

    monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.cat_file", forbidden)
    with pytest.raises(ConfigError, match=r"may not be read: .*lake\.0\.json: Permission denied"):
        Lake.open(str(tmp_path))


def test_a_file_in_a_lakes_place_is_a_wrong_request(tmp_path):
    place = tmp_path / "file"
    place.write_text("x")
    with pytest.raises(ConfigError, match="cannot be made a lake"):
        Lake.create_or_open(str(place))


def test_a_commit_that_is_no_commit_is_named(lake):
    lake.root.create(layout.commit_path("r", "0000000-aa", 0), b"{")
    with pytest.raises(LakeError, match=r"0000000-aa.0.json is not a commit"):
        read_commit(lake, "r", "0000000-aa")


def test_layout_is_what_the_design_says():
    digest = "ab" * 32
    assert layout.shard_path("r", "0000001-bb", digest) == "shards/r/0000001-bb-abababababababab.tar"
    assert layout.commit_path("r", "0000001-bb", 2) == "commits/r/0000001-bb.2.json"
    assert layout.run_path(7, 0) == "runs/000007/run.0.json"
    assert layout.segment_path(3) == "log/000000000003.jsonl"


@pytest.mark.parametrize("hidden", [1, 2, 3])
def test_a_run_that_a_listing_leaves_out_is_found(lake, monkeypatch, hidden):
    for number in (1, 2, 3):
        create_run(lake, run_record(number, f"r{number}"))
    listed = lake.root.list
    behind = f"runs/{hidden:06d}/"
    monkeypatch.setattr(lake.root, "list", lambda *at: [one for one in listed(*at) if not one.path.startswith(behind)])
    assert [found.run_id for found in list_runs(lake)] == ["r1", "r2", "r3"]
