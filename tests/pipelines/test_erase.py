"""Erasure: what names a person goes from everything, and everything else stays as it was."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lake.commits import committed_units
from lake.lake import Lake
from lake.plans import plan_batches, read_plan_units
from lake.reader import LakeReader
from lake.releases import create_release, index_table, list_releases, read_release
from lake.runs import list_runs
from lake.snapshots import newest_snapshot
from pipelines.erase import looks as module
from pipelines.erase.closure import find
from pipelines.erase.erase import Wanted, erase, plan
from pipelines.erase.releases import affected
from pipelines.release.verify import verify
from pipelines.snapshot import take_snapshot
from provoice.loader.opening import open_release
from provoice.sql import connect, records
from schemas.errors import ConfigError, ConsentError
from tests.builders import ANNA, BEN, BOTH, LOOK, small_lake, write_run
from tests.collected import check_promises
from tests.erasures import BY_PSEUDONYM, KEY, erased, files_of, holding, members, rows, withdrawn
from tests.histories import FromCommits, answers, commit_unit
from tests.releases import ANY_USE, crowd

LASTING = ANY_USE.model_copy(update={"until": datetime(2099, 1, 1, tzinfo=UTC)})


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("PROVOICE_SUPPRESSION_KEY", KEY)


@pytest.fixture
def small(tmp_path):
    return small_lake(tmp_path).lake


def test_what_names_her_is_found_whatever_became_of_it(small):
    found = find(small, ["anna"])
    assert {(row["run_id"], row["source_path"]) for row in found.touched.to_pylist()} == {
        *(("first", f) for f in ("a/anna.wav", "b/both.flac", "c/broken.wav", "c/silent.wav", "c/flaky.wav",
                                 "d/stranger.wav")),
        *(("second", f) for f in ("a/anna.wav", "b/both.flac", "c/flaky.wav")),
        ("look", "a/anna.wav"),
    }  # fmt: skip
    whole = {row["run_id"]: row["is_whole"] for row in found.touched.to_pylist()}
    assert whole == {"first": False, "second": False, "look": True}  # the look did not know that it was anna
    assert (found.utterances, found.others) == (10, 1)


@pytest.mark.parametrize("with_snapshot", [False, True])
def test_nothing_of_her_is_left_and_everything_else_is_as_it_was(small, with_snapshot):
    if with_snapshot:
        take_snapshot(small)
    paths = ["a/anna.wav", "b/both.flac", "c/broken.wav", "c/silent.wav", "c/flaky.wav", "d/stranger.wav"]
    hers = find(small, ["anna"]).recordings()
    before = {kind: rows(small, kind) for kind in ("utterances", "recordings")}
    heard = members(small)
    outcome = erased(small, "anna")
    assert holding(small, *paths, *hers) == []
    assert set(holding(small, "anna")) == BY_PSEUDONYM
    for kind, old in before.items():
        left = {name: row for name, row in old.items() if row["recording_id"] not in hers}
        assert rows(small, kind) == left
    assert members(small) == {name: data for name, data in heard.items() if not any(one in name for one in hers)}
    assert outcome.looks == 2
    check_promises(small)


def test_every_source_is_accounted_for(small):
    before = {commit.unit_id: commit.counts for _, commit in LakeReader(small).commits}
    erased(small, "anna")
    for _, commit in FromCommits(small).commits:
        assert commit.counts.is_conserved
        assert commit.counts.sources == before[commit.unit_id].sources
    runs = {run.run_id: run for run in list_runs(small)}
    counts = {name: sum(c.counts.sources for r, c in LakeReader(small).commits if r.run_id == name) for name in runs}
    assert counts["first"] == runs["first"].sources
    erased_now = sum(commit.counts.erased for run, commit in LakeReader(small).commits if run.run_id == "first")
    assert erased_now == 6
    planned = {run.run_id: sum(unit.sources for unit in read_plan_units(small, run)) for run in runs.values()}
    assert planned == {name: run.sources for name, run in runs.items()}


def test_a_plan_keeps_units_and_counts(small):
    erased(small, "anna", "ben")
    first = next(run for run in list_runs(small) if run.run_id == "first")
    assert first.generation == 1
    assert {row["source_path"] for batch in plan_batches(small, first) for row in batch.to_pylist()} == {
        "d/carol.wav", "d/dora.wav"
    }  # fmt: skip
    with connect(small) as connection:
        found = records(connection, "from plans where erased is not null and run_id = 'first' order by unit_id")
    assert [row["erased"] for row in found] == [6, 1]
    assert {key for row in found for key, value in row.items() if value is not None} == {
        "run_number", "run_id", "unit_index", "unit_id", "estimated_s", "deadline_s", "erased"
    }  # fmt: skip


def test_a_snapshot_and_the_commits_say_the_same(small):
    take_snapshot(small)
    erased(small, "ben")
    assert answers(small) == answers(small, FromCommits(small))
    assert newest_snapshot(small).number > 1


def test_the_second_time_there_is_nothing_to_do(small):
    erased(small, "anna")
    before = files_of(small)
    again = erase(small, Wanted(("anna",)))
    assert again.is_finished
    assert (again.units, again.removed, again.looks) == (0, 0, 0)
    assert files_of(small) == before


def test_who_has_not_withdrawn_is_not_erased(small):
    with pytest.raises(ConfigError, match=r"g-anna of anna still stands.*consent withdraw"):
        erase(small, Wanted(("anna",)))
    with pytest.raises(ConfigError, match="nobody has not withdrawn"):
        plan(small, ["nobody"])


def test_without_a_key_nothing_is_begun(small, monkeypatch):
    withdrawn(small, "anna")
    monkeypatch.delenv("PROVOICE_SUPPRESSION_KEY")
    before = files_of(small)
    with pytest.raises(ConsentError, match="PROVOICE_SUPPRESSION_KEY"):
        erase(small, Wanted(("anna",)))
    assert files_of(small) == before


def test_what_would_happen_is_said_and_nothing_is_written(small):
    withdrawn(small, "anna")
    before = files_of(small)
    said = plan(small, ["anna"])
    assert files_of(small) == before
    assert (said.closure.utterances, said.units, said.plans, said.closure.others) == (10, 4, 3, 1)


def test_a_release_is_replaced_by_one_without_them(tmp_path):
    made = crowd(tmp_path, people=4, lasting=True)
    old = made.release(use=LASTING)
    untouched = made.release("snr_db >= 2", use=LASTING)
    erased(made.lake, "p001")
    gone, same, new = list_releases(made.lake)
    assert (gone.replaced.by, gone.index) == (3, ())
    assert same.replaced is None
    assert (
        index_table(made.lake, same, ["key"])["key"].to_pylist()
        == index_table(made.lake, untouched, ["key"])["key"].to_pylist()
    )
    assert set(index_table(made.lake, new, ["key"])["key"].to_pylist()) == made.keys("p000", "p002", "p003")
    assert (new.replaces.version, new.replaces.sha256) == (1, old.sha256)
    assert (new.chosen.utterances, new.denied["erasure"].utterances) == (12, 4)
    assert read_release(made.lake, "gold", 1).sha256 == old.sha256
    with pytest.raises(ConsentError, match=r"gold@1 was replaced.*open gold@3"):
        open_release(made.uri, "gold", 1, owner="o", purpose="p")
    for version, people in ((2, ("p002", "p003")), (3, ("p000", "p002", "p003"))):
        opened = open_release(made.uri, "gold", version, owner="o", purpose="p", verify=True)
        assert {sample["__key__"] for sample in opened} == made.keys(*people)
    assert verify(made.lake, new).is_sound


def test_a_release_of_which_nothing_is_left(tmp_path):
    made = crowd(tmp_path, people=2, lasting=True)
    made.release("snr_db >= 1")
    erased(made.lake, "p001")
    (gone,) = list_releases(made.lake)
    assert gone.replaced.by is None


def test_units_that_wait_lose_what_was_planned(tmp_path):
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    write_run(lake, tmp_path, [[ANNA, BEN], [BOTH, LOOK]], run_id="r", committed=1)
    withdrawn(lake, "anna")
    outcome = erase(lake, Wanted(("anna",)))
    assert not outcome.is_finished
    assert outcome.again_at is not None
    (run,) = list_runs(lake)
    assert committed_units(lake, "r").keys() == {read_plan_units(lake, run)[0].unit_id}
    assert [unit.sources for unit in read_plan_units(lake, run)] == [2, 2]
    later = erase(lake, Wanted(("anna",)), now=outcome.again_at)
    assert later.is_finished
    assert (set(holding(lake, "anna")), holding(lake, "b/both.flac")) == (BY_PSEUDONYM, [])


def test_another_erasure_waits_until_this_one_has_come_through(small, monkeypatch):
    """Killed after the units were written anew; others are told what to do first, and who goes on ends the same."""
    withdrawn(small, "anna", "ben")
    with monkeypatch.context() as patch:
        patch.setattr("pipelines.erase.looks.snapshot", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            erase(small, Wanted(("anna",)))
    with pytest.raises(ConfigError, match=r"erasure 1 is not finished: provoice erase LAKE --subject anna --yes first"):
        erase(small, Wanted(("ben",)))
    assert erase(small, Wanted(("anna",))).is_finished
    assert erase(small, Wanted(("ben",))).is_finished
    assert holding(small, "b/both.flac", "a/anna.wav", "a/ben.mp3") == []
    check_promises(small)


def test_a_release_that_was_made_meanwhile_is_found_by_the_next_look(tmp_path, monkeypatch):
    """Chosen before she withdrew, and finished when the look has passed the releases."""
    made = crowd(tmp_path, people=3, lasting=True)
    real = module.Sweep.run
    late = []

    def sweep_while_another_finishes(self):
        if not late:
            late.append(chosen())
        return real(self)

    def chosen():
        record = old.model_copy(update={"name": "late", "version": 1}).sealed()
        return create_release(made.lake, record)

    old = made.release(use=LASTING)
    monkeypatch.setattr(module.Sweep, "run", sweep_while_another_finishes)
    monkeypatch.setattr(module, "affected", lambda lake, gone: [] if not late else affected(lake, gone))
    erased(made.lake, "p001")
    assert {one.name: one.replaced is not None for one in list_releases(made.lake) if one.version == 1} == {
        "gold": True, "late": True
    }  # fmt: skip
    with connect(made.lake) as connection:
        found = records(connection, "select release, version, is_replaced, replaced_by from releases order by all")
    assert [tuple(row.values()) for row in found] == [
        ("gold", 1, True, 2), ("gold", 2, False, None), ("late", 1, True, 2), ("late", 2, False, None)
    ]  # fmt: skip


def test_what_is_left_is_what_a_unit_without_her_would_be(tmp_path):
    """To the byte: tars and parts do not remember that she was there."""
    lake, other = (Lake.create_or_open(str(tmp_path / name)) for name in ("lake", "other"))
    write_run(lake, tmp_path, [[ANNA, BEN, LOOK]], run_id="r")
    erased(lake, "anna")
    run = write_run(other, tmp_path / "lake", [[ANNA, BEN, LOOK]], run_id="r", committed=0)
    commit_unit(other, run, 0, [ANNA, BEN, LOOK], tmp_path / "other")
    expected = commit_unit(other, run, 0, [ANNA, BEN, LOOK], tmp_path / "other", kept=[BEN, LOOK])
    ((_, left),) = FromCommits(lake).commits
    assert sorted(left.objects, key=repr) == sorted(expected.objects, key=repr)
    assert (left.counts, left.generation) == (expected.counts, 1)
