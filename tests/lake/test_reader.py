"""What a reader sees with a snapshot is what it would see without."""

from __future__ import annotations

import pyarrow as pa
import pytest

from lake.lake import Lake
from lake.reader import LakeReader
from lake.snapshots import create_snapshot, newest_snapshot, next_number, read_snapshot
from pipelines.snapshot import snapshot, take_snapshot
from schemas.errors import AlreadyExists, ConfigError, LakeError
from schemas.snapshots import CURRENT
from tests.builders import ANNA, BEN, BOTH, CAROL, Made, small_lake, write_run
from tests.histories import FromCommits, commit_unit


@pytest.fixture
def lake(tmp_path):
    return small_lake(tmp_path).lake


def rows(lake, paths):
    tables = [pa.parquet.read_table(pa.BufferReader(lake.root.read(path))) for path in paths]
    found = [row for table in tables for row in table.to_pylist()]
    return sorted((row["recording_id"], row.get("run_id") or row["lineage"]["run_id"], row.get("key")) for row in found)


def current(reader, kind):
    """Rows by the contract: merged files and parts since, minus what is stale."""
    stale = {(row["recording_id"], row["run_id"]) for row in reader.stale().to_pylist()}
    paths = [file.path for file in reader.merged(kind)] + [part.path for part in reader.parts(kind)]
    return [row for row in rows(reader.lake, paths) if row[:2] not in stale]


def test_without_a_snapshot_everything_is_tail(lake):
    reader = LakeReader(lake)
    assert reader.snapshot is None
    assert reader.tail == reader.commits
    assert len(reader.tail) == 4
    assert reader.merged("utterances") == []
    assert len(reader.stale()) == 6  # of 16 rows of recordings 10 are current


def test_with_a_snapshot_only_what_came_since_is_tail(lake, tmp_path):
    before = LakeReader(lake)
    take_snapshot(lake)
    reader = LakeReader(lake)
    assert reader.tail == []
    assert reader.commits == before.commits
    assert list(reader.parts("recordings")) == []
    assert reader.stale_sql() is None
    assert reader.stale().num_rows == 0
    run = write_run(lake, tmp_path, [[ANNA], [BEN]], run_id="later", committed=1)
    later = LakeReader(lake)
    assert [(run.run_id, commit.unit_id[:7]) for run, commit in later.tail] == [("later", "0000000")]
    assert later.commits == FromCommits(lake).commits
    assert later.committed_units(run) == {later.tail[0][1].unit_id}
    assert later.stale().to_pylist() == [{"recording_id": ANNA.source.recording_id, "run_id": "second"}]


@pytest.mark.parametrize("kind", CURRENT)
def test_current_rows_are_merged_ones_and_parts_minus_stale(kind, lake, tmp_path):
    assert current(LakeReader(lake), kind)
    for later in (None, [[ANNA, BOTH], [CAROL]], [[BEN]]):
        if later is not None:
            write_run(lake, tmp_path, later, run_id=f"r{len(later)}")
        expected = current(FromCommits(lake), kind)
        assert current(LakeReader(lake), kind) == expected
        take_snapshot(lake)
        assert current(LakeReader(lake), kind) == expected
        assert rows(lake, [file.path for file in LakeReader(lake).merged(kind)]) == expected


def test_a_run_that_goes_on_is_read_from_where_the_snapshot_stands(tmp_path):
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    units = [[Made(f"{n}.wav", {"anna": "g"}, 1)] for n in range(3)]
    run = write_run(lake, tmp_path, units, run_id="r", committed=1)
    head = take_snapshot(lake)
    assert [(held.commits, held.is_closed) for held in head.runs] == [(1, False)]
    commit_unit(lake, run, 1, units[1], tmp_path)
    assert [commit.unit_id[:7] for _, commit in LakeReader(lake).tail] == ["0000001"]
    commit_unit(lake, run, 2, units[2], tmp_path)
    assert [held.is_closed for held in take_snapshot(lake).runs] == [True]
    listed = []
    lake.root.list = lambda prefix="", list_=lake.root.list: listed.append(prefix) or list_(prefix)
    assert LakeReader(lake).tail == []
    assert listed == ["snapshots", "runs"]  # no folder of commits


def test_a_reader_of_one_run_reads_its_own_parts(lake):
    before = LakeReader(lake, "first")
    expected = [part.path for part in before.parts("utterances")]
    take_snapshot(lake)
    reader = LakeReader(lake, "first")
    assert [run.run_id for run in reader.runs] == ["first"]
    assert (reader.snapshot, reader.merged("utterances")) == (None, [])
    assert [part.path for part in reader.parts("utterances")] == expected


def test_a_unit_is_found_by_its_name(lake):
    run, commit = LakeReader(lake).tail[0]
    take_snapshot(lake)
    assert LakeReader(lake).unit_objects(run.run_id, commit.unit_id) == commit
    with pytest.raises(LakeError, match="unit 0000009-no of run first is not committed"):
        LakeReader(lake).unit_objects("first", "0000009-no")


def test_a_unit_stays_as_it_was_folded_until_the_next_snapshot(tmp_path):
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    units = [[ANNA, BEN], [BOTH]]
    run = write_run(lake, tmp_path, units, run_id="r", committed=1)
    take_snapshot(lake)
    erased = commit_unit(lake, run, 0, units[0], tmp_path, kept=[BEN])
    assert LakeReader(lake).tail == []
    assert [commit.generation for _, commit in LakeReader(lake).commits] == [0]
    assert LakeReader(lake).unit_objects("r", erased.unit_id) == erased
    take_snapshot(lake)
    assert [commit for _, commit in LakeReader(lake).commits] == [erased]
    assert {row[0] for row in current(LakeReader(lake), "recordings")} == {BEN.source.recording_id}


# --- heads ------------------------------------------------------------------------------------------------------------


def test_the_newest_head_counts_and_a_number_is_taken_once(lake):
    assert newest_snapshot(lake) is None
    assert next_number(lake) == 1
    first = take_snapshot(lake)
    assert (first.number, first.previous, next_number(lake)) == (1, None, 2)
    create_snapshot(lake, first)  # the same bytes: an answer was lost
    with pytest.raises(AlreadyExists):
        create_snapshot(lake, first.model_copy(update={"previous": 7}))
    tenth = first.model_copy(update={"number": 10})
    create_snapshot(lake, tenth)
    assert newest_snapshot(lake) == tenth
    assert read_snapshot(lake, 1) == first


def test_a_manifest_without_a_head_takes_its_number(lake):
    """Whoever died between the two must not be in the way of everybody after."""
    lake.root.create("snapshots/00000001/utterances.manifest", b"elsewhere\n")
    assert next_number(lake) == 2
    assert newest_snapshot(lake) is None
    assert snapshot(lake).number == 2


def test_manifests_name_every_file_by_its_uri(lake):
    head = take_snapshot(lake)
    for kind in (*CURRENT, *CURRENT.values()):
        text = lake.root.read(f"snapshots/00000001/{kind}.manifest").decode()
        assert text.splitlines() == [lake.root.uri_of(file.path) for file in head.merged(kind)]
        assert all(lake.root.exists(line.removeprefix(lake.root.uri + "/")) for line in text.splitlines())


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        (b"{", LakeError, "is not a snapshot"),
        (b'{"number": 1}', LakeError, "is not a snapshot"),
        (b'{"format_version": 9, "other": 1}', ConfigError, "has format 9"),
    ],
)
def test_a_head_that_is_none_is_named(text, error, said, lake):
    lake.root.create("snapshots/00000001/snapshot.json", text)
    with pytest.raises(error, match=rf"00000001/snapshot\.json.*{said}"):
        LakeReader(lake).tail  # noqa: B018  (asking is the test)
