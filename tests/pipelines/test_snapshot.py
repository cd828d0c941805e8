"""Snapshots: the same answers with and without, whatever happened before, in between, or while one was made."""

from __future__ import annotations

import json
import multiprocessing

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.counted_store import CountedStore
from lake import merging
from lake.lake import Lake
from lake.reader import LakeReader
from lake.runs import list_runs, revise_run
from lake.snapshots import newest_snapshot
from lake.storage import Root
from pipelines import snapshot as taking
from pipelines.config import load_config
from pipelines.done import announce_changes, done_sources
from pipelines.snapshot import snapshot, take_snapshot
from provoice.sql import connect, records
from schemas.consent import DenyReason
from schemas.errors import LakeError, Reason
from schemas.tables import RECORDINGS_SCHEMA, SCHEMA_VERSION, utterances_schema
from tests.builders import ANNA, BEN, BOTH, CAROL, Made, small_lake, write_run
from tests.histories import FromCommits, answers, as_version, commit_unit
from tests.runs import run as run_config
from tests.speech import folder_of_clips

PEOPLE = st.sampled_from(["anna", "ben", "carol"])


def same(lake):
    """Both readers agree; what they say."""
    with_snapshot, without = answers(lake), answers(lake, FromCommits(lake))
    assert with_snapshot == without
    return with_snapshot


def opened(lake, file):
    return pq.ParquetFile(pa.BufferReader(lake.root.read(file.path)))


# --- the same answers -------------------------------------------------------------------------------------------------


def test_answers_stay_when_a_snapshot_comes(tmp_path):
    """Of the small lake, whose orphans nobody may see."""
    lake = small_lake(tmp_path).lake
    before = answers(lake)
    assert snapshot(lake).commits_folded == 4
    assert same(lake) == before
    write_run(lake, tmp_path, [[ANNA, BEN], [BOTH]], run_id="later", recipe="d", committed=1)
    between = same(lake)
    assert between["utterances"] != before["utterances"]
    assert snapshot(lake).commits_folded == 1
    assert same(lake) == between
    assert snapshot(lake).number is None


MADE = st.builds(
    lambda path, person, version, outcome: Made(
        f"{path}.wav", {person: f"g-{person}"}, version=version, **(outcome or {"utterances": 2})
    ),
    st.sampled_from("abcde"),
    PEOPLE,
    st.sampled_from(["v1", "v2"]),
    st.sampled_from([None, None, {"reason": Reason.SILENT}, {"reason": Reason.STAGE_FAILED},
                     {"reason": DenyReason.NO_GRANT}]),
)  # fmt: skip
UNITS = st.lists(MADE, min_size=1, max_size=6, unique_by=lambda made: made.path).map(
    lambda made: [made[n : n + 2] for n in range(0, len(made), 2)]
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("run"), UNITS, st.sampled_from("ab"), st.booleans(), st.integers(0, 3)),
        st.tuples(st.just("commit"), st.integers(0, 9)),
        st.tuples(st.just("erase"), st.integers(0, 9)),
        st.just(("snapshot",)),
        st.tuples(st.just("close"), st.integers(0, 9)),
    ),
    min_size=3,
    max_size=9,
)


class History:
    """A lake to which things happen, one after the other."""

    def __init__(self, folder):
        self.folder, self.lake = folder, Lake.create_or_open(str(folder / "lake"))
        self.units = {}
        self.open = []
        self.erasable = []

    def run(self, units, recipe, explores, committed):
        number = len(self.units) + 1
        run = write_run(self.lake, self.folder, units, run_id=f"r{number}", recipe=recipe, is_explore=explores,
                        committed=committed)  # fmt: skip
        self.units[run.run_id] = units
        self.open += [(run, index) for index in range(committed, len(units))]
        self.erasable += [(run, index) for index in range(min(committed, len(units)))]

    def commit(self, which):
        if self.open:
            run, index = self.open.pop(which % len(self.open))
            commit_unit(self.lake, run, index, self.units[run.run_id][index], self.folder)
            self.erasable.append((run, index))

    def erase(self, which):
        """As erasure does it: the generation, then a snapshot."""
        if self.erasable:
            run, index = self.erasable.pop(which % len(self.erasable))
            unit = self.units[run.run_id][index]
            commit_unit(self.lake, run, index, unit, self.folder, kept=unit[1:])
            self.snapshot()

    def close(self, which):
        runs = list_runs(self.lake)
        if runs:
            run = runs[which % len(runs)]
            if not run.is_closed:
                revise_run(self.lake, run.model_copy(update={"is_closed": True}))
                self.open = [pair for pair in self.open if pair[0].run_id != run.run_id]

    def snapshot(self):
        take_snapshot(self.lake)


@settings(max_examples=15)
@given(steps=STEPS, merges_small=st.booleans())
def test_every_history_gives_the_same_answers_with_snapshots_and_without(steps, merges_small, tmp_path_factory):
    history = History(tmp_path_factory.mktemp("history"))
    with pytest.MonkeyPatch.context() as patched:
        if not merges_small:
            patched.setattr(taking, "SMALL_BYTES", 0)  # each snapshot keeps its files, but for rows that move
        for step, *values in steps:
            getattr(history, step)(*values)
            same(history.lake)
            assert done_by_both(history.lake, "a") == done_by_both(history.lake, "a", FromCommits)


def done_by_both(lake, recipe, reader=LakeReader):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("pipelines.done.LakeReader", reader)
        consent = load_config("configs/explore.yaml", ["diarize.backend=single"]).consent
        done = done_sources(lake, list_runs(lake), recipe * 64, consent)
    return sorted(zip(*done.to_pydict().values(), strict=True))


def test_what_superseded_is_erased_and_what_it_superseded_is_current_again(tmp_path):
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    write_run(lake, tmp_path, [[ANNA, BEN]], run_id="old")
    new = write_run(lake, tmp_path, [[ANNA, BOTH]], run_id="new", recipe="b")
    head = take_snapshot(lake)
    assert [file.rows for file in head.merged("recordings_superseded")] == [1]
    commit_unit(lake, new, 0, [ANNA, BOTH], tmp_path, kept=[BOTH])
    taken = snapshot(lake)
    assert (taken.commits_folded, taken.rows["recordings_superseded"], taken.rows["recordings"]) == (1, 0, 3)
    same(lake)
    rows = [row for f in newest_snapshot(lake).merged("recordings") for row in opened(lake, f).read().to_pylist()]
    runs = {row["run_id"] for row in rows if row["source_path"] == ANNA.path}
    assert runs == {"old"}


@pytest.mark.parametrize(("version", "column"), [("1.0", "grant_ids"), ("1.1", "f0_median_hz")])
def test_a_lake_of_an_earlier_version_opens_and_is_merged(tmp_path, version, column):
    """A column that its rows lack is null in what is merged, and the version is that of today."""
    with as_version(version):
        lake = small_lake(tmp_path).lake
    part = next(LakeReader(lake).parts("utterances"))
    assert column not in pq.ParquetFile(part.uri).schema_arrow.names
    before = answers(lake)
    take_snapshot(lake)
    assert same(lake) == before
    for file in LakeReader(lake).merged("utterances"):
        assert file.schema_version == SCHEMA_VERSION
        assert opened(lake, file).read([column])[column].null_count == file.rows
    write_run(lake, tmp_path, [[BEN], [BOTH]], run_id="today", recipe="d", committed=1)
    same(lake)
    take_snapshot(lake)
    same(lake)


def test_columns_of_ones_own_are_united_by_name(tmp_path):
    lake = small_lake(tmp_path).lake
    take_snapshot(lake)

    def with_own(rows, kind):
        if kind == "recordings":
            return rows
        own = pa.field("words_per_s", pa.float64(), metadata={"description": "column of a stage of one's own"})
        return rows.append_column(own, pa.array([3.5] * rows.num_rows))

    run = write_run(lake, tmp_path, [[BEN], [CAROL]], run_id="own", recipe="e")
    read_parts = taking.read_parts

    def parts(lake, objects):
        for rows in read_parts(lake, objects):
            yield with_own(rows, "utterances" if "key" in rows.column_names else "recordings")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(taking, "read_parts", parts)
        head = take_snapshot(lake)
    files = head.merged("utterances")
    assert sorted(file.own.items() for file in files) == [{}.items(), {"words_per_s": "double"}.items()]
    field = opened(lake, next(file for file in files if file.own)).schema_arrow.field("words_per_s")
    assert field.metadata[b"description"] == b"column of a stage of one's own"
    with connect(lake) as connection:
        found = records(
            connection, "select run_number, count(words_per_s) as own from utterances group by 1 order by 1"
        )
    assert {row["run_number"]: row["own"] for row in found}[run.number] == 1
    assert sum(row["own"] for row in found) == 1


# --- files ------------------------------------------------------------------------------------------------------------


def test_merged_files_are_sorted_and_described(tmp_path):
    lake = small_lake(tmp_path).lake
    head = take_snapshot(lake)
    for file in head.files:
        parquet = opened(lake, file)
        schema = RECORDINGS_SCHEMA if file.kind.startswith("recordings") else utterances_schema()
        found = parquet.schema_arrow
        assert found.equals(schema)
        assert found.metadata == schema.metadata
        assert [f.metadata[b"description"] for f in found] == [f.metadata[b"description"] for f in schema]
        rows = parquet.read().to_pylist()
        assert len(rows) == file.rows
        keys = [
            (row["consent"][0]["subject_id"] if row["consent"] else "~", row.get("key") or row["source_path"])
            for row in rows
        ]
        assert keys == sorted(keys)


def test_the_same_lake_gives_the_same_files(tmp_path):
    heads = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        heads.append(take_snapshot(small_lake(tmp_path / name).lake))
    assert heads[0].files == heads[1].files
    assert heads[0].commits == heads[1].commits


def test_files_that_still_hold_are_listed_again(tmp_path, monkeypatch):
    monkeypatch.setattr(taking, "SMALL_BYTES", 0)
    lake = small_lake(tmp_path).lake
    first = take_snapshot(lake)
    write_run(lake, tmp_path, [[Made("new.wav", {"zoe": "g"}, 1)]], run_id="more")
    taken = snapshot(lake)
    assert (taken.files_kept, taken.files_made, taken.files_replaced) == (4, 2, 0)
    write_run(lake, tmp_path, [[BEN]], run_id="again", recipe="f")
    moved = snapshot(lake)  # one row of each kind becomes superseded
    assert (moved.files_kept, moved.files_replaced) == (4, 2)
    assert {file.path for file in first.merged("utterances_superseded")} < {f.path for f in newest_snapshot(lake).files}
    same(lake)


def test_small_files_are_merged_again_and_large_ones_are_not(tmp_path, monkeypatch):
    monkeypatch.setattr(merging, "TARGET_BYTES", 1)
    monkeypatch.setattr(merging, "_HELD_BYTES", 1)
    monkeypatch.setattr("pipelines.snapshot_rows._PARTS_AT_ONCE", 1)
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    units = [[Made(f"{n}.wav", {f"s{n}": "g"}, 1)] for n in range(3)]
    write_run(lake, tmp_path, units, run_id="r")
    assert snapshot(lake).files_made == 6  # a file for each part: none may grow
    same(lake)
    monkeypatch.undo()
    write_run(lake, tmp_path, [[Made("x.wav", {"x": "g"}, 1)]], run_id="s")
    taken = snapshot(lake)
    assert (taken.files_made, taken.files_kept, taken.files_replaced) == (2, 0, 6)
    same(lake)


def test_a_run_that_was_closed_makes_a_new_head_of_the_same_files(tmp_path):
    small = small_lake(tmp_path)
    first = take_snapshot(small.lake)
    revise_run(small.lake, small.runs[2].model_copy(update={"is_closed": True}))
    second = take_snapshot(small.lake)
    assert [run.is_closed for run in first.runs] == [True, True, False]
    assert [run.is_closed for run in second.runs] == [True, True, True]
    assert (second.number, second.files, second.commits.sha256) == (2, first.files, first.commits.sha256)


def test_a_late_commit_of_a_closed_run_comes_with_the_next_snapshot(tmp_path):
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    units = [[ANNA], [BEN]]
    run = write_run(lake, tmp_path, units, run_id="r", committed=1)
    closed = revise_run(lake, run.model_copy(update={"is_closed": True}))
    take_snapshot(lake)
    commit_unit(lake, closed, 1, units[1], tmp_path)
    assert len(LakeReader(lake).commits) == 1
    assert snapshot(lake).commits_folded == 1
    same(lake)


def test_a_lake_without_a_commit_gets_no_snapshot(tmp_path):
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    assert take_snapshot(lake) is None
    write_run(lake, tmp_path, [[ANNA]], run_id="r", committed=0)
    assert take_snapshot(lake) is None
    assert list(lake.root.list("snapshots")) == []


def test_a_lake_in_memory_or_in_a_bucket_is_written_through_its_own_store(tmp_path):
    lake = small_lake(tmp_path, uri=f"memory://snapshot-test/{tmp_path.name}").lake
    before = answers(lake)
    head = take_snapshot(lake)
    assert same(lake) == before
    text = lake.root.read("snapshots/00000001/utterances.manifest").decode()
    assert text.startswith("memory://") and len(text.splitlines()) == len(head.merged("utterances"))  # noqa: PT018


def test_opening_reads_few_objects_however_many_files_there_are(tmp_path, monkeypatch):
    """The head, the run, and of merged files one: a lake of a thousand files must not open them all to bind a view."""
    monkeypatch.setattr(merging, "TARGET_BYTES", 1)
    monkeypatch.setattr(merging, "_HELD_BYTES", 1)
    monkeypatch.setattr("pipelines.snapshot_rows._PARTS_AT_ONCE", 1)
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    write_run(lake, tmp_path, [[Made(f"{n}.wav", {f"s{n}": "g"}, 1)] for n in range(12)], run_id="r")
    assert len(take_snapshot(lake).merged("utterances")) == 12
    before = set(CountedStore.objects)
    with connect(Lake.open(f"counted://{lake.root.uri}"), "from utterances") as connection:
        opened = CountedStore.objects - before
        assert len([path for path in opened if "utterances-" in path]) == 1
        assert len(opened) == 4  # and those of the lake, the snapshot and the run
        assert records(connection, "select count(*) as n from utterances") == [{"n": 12}]
    assert len(CountedStore.objects - before) == 15


# --- crashes and races ------------------------------------------------------------------------------------------------


def test_whoever_dies_leaves_the_earlier_snapshot_in_force(tmp_path, monkeypatch):
    """Killed before each object that it would create, one after the other."""
    lake = small_lake(tmp_path).lake
    first = take_snapshot(lake)
    write_run(lake, tmp_path, [[ANNA], [BEN]], run_id="later", recipe="d", committed=1)
    expected = answers(lake)
    create, died = Root._create, 0
    while True:
        left = died

        def until(self, *args, **named):
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            return create(self, *args, **named)

        monkeypatch.setattr(Root, "_create", until)
        try:
            take_snapshot(lake)
            break
        except KeyboardInterrupt:
            monkeypatch.undo()
            assert newest_snapshot(lake) == first
            assert same(lake) == expected
            died += 1
    monkeypatch.undo()
    assert died > 5  # commits, files of four kinds, manifests, head
    assert newest_snapshot(lake).number > 1
    assert same(lake) == expected


def test_who_loses_the_number_starts_over(tmp_path, monkeypatch):
    lake = small_lake(tmp_path).lake
    create = taking.create_snapshot

    def late(lake, head):
        monkeypatch.undo()
        snapshot(lake)  # another one, which began later and was quicker
        write_run(lake, tmp_path, [[ANNA]], run_id="meanwhile", recipe="d")
        create(lake, head)

    monkeypatch.setattr(taking, "create_snapshot", late)
    taken = snapshot(lake)
    assert (taken.number, taken.commits_folded) == (2, 1)
    same(lake)


def _take(uri, barrier, said):
    barrier.wait()
    said.put(snapshot(Lake.open(uri)).number)


def test_of_many_at_once_each_number_has_one_head(tmp_path):
    small = small_lake(tmp_path)
    before = answers(small.lake)
    context = multiprocessing.get_context("spawn")
    barrier, said = context.Barrier(3), context.SimpleQueue()
    takers = [context.Process(target=_take, args=(small.uri, barrier, said)) for _ in range(3)]
    for taker in takers:
        taker.start()
    numbers = [said.get() for _ in takers]
    for taker in takers:
        taker.join()
    taken = [number for number in numbers if number is not None]
    assert taken
    assert len(set(taken)) == len(taken)
    assert same(small.lake) == before


def test_a_part_that_is_gone_is_named_and_nothing_is_made(tmp_path):
    lake = small_lake(tmp_path).lake
    part = next(LakeReader(lake).parts("utterances"))
    lake.root.delete(part.path)
    with pytest.raises(LakeError, match=part.path):
        snapshot(lake)
    assert newest_snapshot(lake) is None


# --- runs and plans ---------------------------------------------------------------------------------------------------


def test_each_complete_run_ends_with_a_snapshot(tmp_path):
    run_config(folder_of_clips(tmp_path / "raw", 2), tmp_path / "lake")
    lake = Lake.open(str(tmp_path / "lake"))
    assert [run.is_closed for run in newest_snapshot(lake).runs] == [True]
    assert LakeReader(lake).tail == []
    same(lake)


def test_a_snapshot_that_fails_does_not_fail_the_run(tmp_path, monkeypatch, caplog):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(taking, "snapshot", full)
    assert run_config(folder_of_clips(tmp_path / "raw", 1), tmp_path / "lake").counts.emitted == 1
    said = [record.message for record in caplog.records if record.levelname == "WARNING"]
    failed = "the run is complete, but no snapshot was taken: [Errno 28] No space left on device"
    assert said == [f"{failed}; try `provoice snapshot {tmp_path / 'lake'}`"]


def test_what_is_done_is_the_same_with_a_snapshot_and_without(tmp_path):
    """Emitted, finally rejected, or waiting in a run that is open; not what may be tried again."""
    lake = small_lake(tmp_path).lake
    again = [Made(BEN.path, BEN.people, 2), Made(ANNA.path, ANNA.people, reason=Reason.STAGE_FAILED)]
    write_run(lake, tmp_path, [again, [Made("new.wav", {"x": "g"})]], run_id="again", committed=1)
    before = done_by_both(lake, "a")
    names = {name for name, _ in before}
    assert {made.source.recording_id for made in (BEN, BOTH, Made("new.wav", {}))} < names
    assert ANNA.source.recording_id not in names
    assert done_by_both(lake, "a", FromCommits) == before
    take_snapshot(lake)
    assert done_by_both(lake, "a") == before
    write_run(lake, tmp_path, [[Made(ANNA.path, ANNA.people, 1)]], run_id="third")
    assert {name for name, _ in done_by_both(lake, "a")} == names | {ANNA.source.recording_id}


@pytest.mark.parametrize("is_merged", [False, True])
def test_a_catalogue_row_that_changed_is_announced_once(is_merged, tmp_path):
    lake = small_lake(tmp_path).lake
    if is_merged:
        take_snapshot(lake)
    told = [Made(ANNA.path, {"anna": "g-anna", "zoe": "g"}, 1), CAROL, Made("new.wav", {"zoe": "g"})]
    run = write_run(lake, tmp_path, [told], run_id="next", committed=0)
    plan = tmp_path / "plan.parquet"
    plan.write_bytes(lake.root.read(run.plan.path))
    assert announce_changes(lake, list_runs(lake), plan) == 1
    event = [event for _, event in lake.ledger().events()][-1]
    assert (event.type, event.source_path) == ("catalogue_changed", ANNA.path)
    assert announce_changes(lake, list_runs(lake), plan) == 0


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_says_what_it_did(tmp_path):
    from click.testing import CliRunner

    from provoice.cli.snapshot import command

    made = small_lake(tmp_path)
    said = CliRunner().invoke(command, [made.uri])
    assert said.exit_code == 0
    assert f"snapshot 1 of {made.uri}\n  commits  4 folded, 4 in all\n  files    4 made (" in said.stdout
    assert "rows     5 utterances of 10 sources; 14 superseded rows apart" in said.stdout
    again = json.loads(CliRunner().invoke(command, [made.uri, "--json"]).stdout)
    assert (again["number"], again["commits"], again["files_kept"]) == (None, 4, 4)
    assert "holds all of its 4 commits" in CliRunner().invoke(command, [made.uri]).stdout
    empty = Lake.create_or_open(str(tmp_path / "empty"))
    assert "has no commit yet" in CliRunner().invoke(command, [empty.root.uri]).stdout
