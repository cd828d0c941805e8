"""Commits and runs: who comes first holds, and a lost answer is recognised."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lake import layout
from lake.commits import committed_units, create_commit, read_commit, read_commits
from lake.lake import Lake
from lake.reader import LakeReader
from lake.runs import create_run, find_run, list_runs, put_plan, read_plan_units, read_unit, reread_run, revise_run
from schemas.errors import AlreadyExists, ConfigError, LakeError
from schemas.records import Commit, Counts, RunRecord, StoredObject
from schemas.tables import PLAN_SCHEMA

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
    def away(path, data):
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


def test_a_plan_is_read_unit_by_unit(lake, tmp_path):
    rows = [
        {"unit_index": u, "unit_id": f"{u:07d}-aa", "recording_id": f"{u}{s}", "source_root": "a", "source_path": f"{s}.wav",
         "source_version": "1", "source_size_bytes": 1, "estimated_s": 1.5, "deadline_s": 60.0}
        for u in range(4) for s in range(2)
    ]  # fmt: skip
    path = tmp_path / "plan.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=PLAN_SCHEMA), path, row_group_size=4)
    run = run_record(plan=put_plan(lake, path, 1), units=4)
    units = read_plan_units(lake, run)
    assert [(unit.unit_id, unit.estimated_s, unit.sources) for unit in units] == [(f"{u:07d}-aa", 3.0, 2) for u in range(4)]
    assert read_unit(lake, run, "0000002-aa")["recording_id"].to_pylist() == ["20", "21"]
    with pytest.raises(LakeError, match="no unit 0000009-zz"):
        read_unit(lake, run, "0000009-zz")


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
    with pytest.raises(ConfigError, match="is not a lake.*provoice run"):
        Lake.open(str(tmp_path))


def test_a_lake_keeps_the_ledger_that_its_first_writer_named(tmp_path):
    Lake.create_or_open(str(tmp_path / "lake"), str(tmp_path / "one"))
    assert Lake.open(str(tmp_path / "lake")).ledger().root.uri == str(tmp_path / "one")
    with pytest.raises(ConfigError, match="keeps its consent ledger at"):
        Lake.create_or_open(str(tmp_path / "lake"), str(tmp_path / "two"))


def test_a_file_in_a_lakes_place_is_a_wrong_request(tmp_path):
    place = tmp_path / "file"
    place.write_text("x")
    with pytest.raises(ConfigError, match="cannot be made a lake"):
        Lake.create_or_open(str(place))


def test_a_commit_that_is_no_commit_is_named(lake):
    lake.root.create(layout.commit_path("r", "0000000-aa", 0), b"{")
    with pytest.raises(LakeError, match="0000000-aa.0.json is not a commit"):
        read_commit(lake, "r", "0000000-aa")


def test_layout_is_what_the_design_says(tmp_path: Path):
    digest = "ab" * 32
    assert layout.shard_path("r", "0000001-bb", digest) == "shards/r/0000001-bb-abababababababab.tar"
    assert layout.commit_path("r", "0000001-bb", 2) == "commits/r/0000001-bb.2.json"
    assert layout.run_path(7, 0) == "runs/000007/run.0.json"
    assert layout.segment_path(3) == "log/000000000003.jsonl"
