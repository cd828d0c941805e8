"""The main job from a folder to a committed lake: every source accounted for, the same bytes each time."""

from __future__ import annotations

import json
import os
import tarfile

import numpy as np
import pytest

from lake.lake import Lake
from pipelines.run import close_run, execute, start
from schemas.errors import ConfigError
from tests.consents import ended
from tests.runs import QUICK, catalogue_file, digests, request_for, rows, run, with_grants
from tests.speech import conversation, folder_of_clips, voice, write

UNITS_OF_TWO = (*QUICK, "plan.unit_max_sources=2")


def test_every_file_of_a_folder_is_accounted_for(tmp_path):
    raw = folder_of_clips(tmp_path / "raw", 3)
    write(raw / "silent.wav", np.zeros(16_000))
    (raw / "text.wav").write_text("not a sound")
    (raw / "empty.wav").write_bytes(b"")
    (raw / "notes.md").write_text("a side file")
    progress = run(raw, tmp_path / "lake")
    counts = progress.counts
    assert (counts.sources, counts.emitted, counts.held_total, counts.rejected_total) == (6, 3, 0, 3)
    assert counts.is_conserved
    found = dict(rows(tmp_path / "lake", "select source_path, reason from recordings where status = 'rejected'"))
    assert found["silent.wav"] == "silent"
    assert set(found) == {"silent.wav", "text.wav", "empty.wav"}
    assert rows(tmp_path / "lake", "select ignored from runs") == [(1,)]


def test_a_tar_member_carries_its_row_and_lies_where_the_row_says(tmp_path):
    import soundfile

    run(folder_of_clips(tmp_path / "raw", 2), tmp_path / "lake")
    lake = tmp_path / "lake"
    found = rows(
        lake, "select key, shard, audio_offset, audio_size, json_offset, json_size, duration_s from utterances"
    )
    assert found
    for key, shard, audio_offset, audio_size, json_offset, json_size, duration_s in found:
        data = (lake / shard).read_bytes()
        said = json.loads(data[json_offset : json_offset + json_size])
        assert said["key"] == key
        assert said["lineage"]["source_root"] == "raw"
        assert "consent" in said
        assert "shard" not in said
        (tmp_path / "u.flac").write_bytes(data[audio_offset : audio_offset + audio_size])
        assert soundfile.info(tmp_path / "u.flac").duration == pytest.approx(duration_s, abs=1e-4)
        with tarfile.open(lake / shard) as tar:
            assert {f"{key}.flac", f"{key}.json"} <= set(tar.getnames())


def test_the_audio_is_the_sources_own_samples(tmp_path):
    import io

    import soundfile

    samples = (conversation()[: 12 * 16_000] * 32767).astype(np.int16)
    write(tmp_path / "raw" / "a.wav", samples)
    run(tmp_path / "raw", tmp_path / "lake")
    for shard, offset, size, first, last in rows(
        tmp_path / "lake", "select shard, audio_offset, audio_size, start_sample, end_sample from utterances"
    ):
        data = (tmp_path / "lake" / shard).read_bytes()[offset : offset + size]
        assert np.array_equal(soundfile.read(io.BytesIO(data), dtype="int16")[0], samples[first:last])


def test_the_same_run_into_another_lake_is_the_same_bytes_with_any_number_of_workers(tmp_path):
    raw = folder_of_clips(tmp_path / "raw", 6)
    run(raw, tmp_path / "one", settings=(*UNITS_OF_TWO, "workers=1"))
    run(raw, tmp_path / "two", settings=(*UNITS_OF_TWO, "limits.batch_audio_s=1", "workers=2"))
    assert len(digests(tmp_path / "one")) == 9
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_the_same_command_again_has_nothing_to_do_until_something_comes(tmp_path):
    raw = folder_of_clips(tmp_path / "raw", 2)
    assert run(raw, tmp_path / "lake").counts.sources == 2
    assert run(raw, tmp_path / "lake") is None
    write(raw / "new.wav", conversation()[: 8 * 16_000])
    assert run(raw, tmp_path / "lake").counts.sources == 1
    assert rows(tmp_path / "lake", "select count(*) from recordings") == [(3,)]


def test_a_changed_file_is_a_new_version_that_supersedes_the_old(tmp_path):
    raw = folder_of_clips(tmp_path / "raw", 1)
    run(raw, tmp_path / "lake")
    write(raw / "clip000.wav", conversation()[10 * 16_000 : 20 * 16_000])
    run(raw, tmp_path / "lake")
    assert rows(tmp_path / "lake", "select count(*) from recordings_all") == [(2,)]
    assert rows(tmp_path / "lake", "select duration_s from recordings") == [(10.0,)]
    assert rows(tmp_path / "lake", "select count(distinct recording_id) from utterances") == [(1,)]


def test_another_recipe_is_a_new_run_over_the_same_sources(tmp_path):
    raw = folder_of_clips(tmp_path / "raw", 2)
    run(raw, tmp_path / "lake")
    run(raw, tmp_path / "lake", settings=(*QUICK, "cut.max_s=3"))
    assert rows(tmp_path / "lake", "select count(*) from runs") == [(2,)]
    assert rows(tmp_path / "lake", "select max(duration_s) <= 3 from utterances") == [(True,)]
    assert rows(tmp_path / "lake", "select max(duration_s) > 3 from utterances_all") == [(True,)]


def test_a_run_id_of_another_recipe_is_refused_with_the_keys_that_differ(tmp_path):
    raw = folder_of_clips(tmp_path / "raw", 1)
    run(raw, tmp_path / "lake", run_id="daily")
    with pytest.raises(ConfigError, match=r"daily was made with another recipe.*cut\.max_s"):
        run(raw, tmp_path / "lake", run_id="daily", settings=(*QUICK, "cut.max_s=3"))


def test_a_root_that_moved_must_be_said_to_have_moved(tmp_path):
    raw = folder_of_clips(tmp_path / "raw", 1)
    run(raw, tmp_path / "lake")
    os.rename(raw, tmp_path / "moved")
    with pytest.raises(ConfigError, match="--moved"):
        run(tmp_path / "moved", tmp_path / "lake")


def test_a_closed_run_lets_its_sources_go_and_refuses_its_name(tmp_path):
    raw = folder_of_clips(tmp_path / "raw", 2)
    request = request_for(raw, tmp_path / "lake", run_id="dead")
    start(request)
    assert run(raw, tmp_path / "lake", run_id="next") is None, "the dead run holds its sources"
    close_run(request.lake, "dead")
    with pytest.raises(ConfigError, match="was closed"):
        run(raw, tmp_path / "lake", run_id="dead")
    assert run(raw, tmp_path / "lake", run_id="next").counts.sources == 2


def test_a_source_that_changes_after_planning_is_rejected_and_planned_again(tmp_path):
    raw = folder_of_clips(tmp_path / "raw", 2)
    request = request_for(raw, tmp_path / "lake")
    started = start(request)
    write(raw / "clip000.wav", conversation()[: 8 * 16_000])
    (raw / "clip001.wav").unlink()
    counts = execute(request, started, lambda _: None).counts
    assert counts.rejected == {"source_changed": 1, "source_missing": 1}
    assert run(raw, tmp_path / "lake").counts.emitted == 1


# --- consent ----------------------------------------------------------------------------------------------------------

IN_EARNEST = {"config": "configs/default.yaml"}


def test_without_a_grant_nothing_is_processed(tmp_path):
    raw = folder_of_clips(tmp_path / "raw", 2)
    catalogue = catalogue_file(tmp_path / "who.jsonl", {"clip000.wav": ["anna"]})
    counts = run(raw, tmp_path / "lake", catalogue=catalogue, **IN_EARNEST).counts
    assert counts.held == {"no_grant": 1, "no_subject": 1}
    assert rows(tmp_path / "lake", "select count(*) from utterances") == [(0,)]
    assert rows(tmp_path / "lake", "select count(*) from recordings where duration_s is not null") == [(0,)]


def test_a_grant_lets_what_was_held_through_on_the_next_run(tmp_path):
    raw = folder_of_clips(tmp_path / "raw", 2)
    catalogue = catalogue_file(tmp_path / "who.jsonl", {"*": ["anna", "bert"]})
    with_grants(tmp_path / "lake", "anna")
    assert run(raw, tmp_path / "lake", catalogue=catalogue, **IN_EARNEST).counts.held == {"no_grant": 2}
    assert run(raw, tmp_path / "lake", catalogue=catalogue, **IN_EARNEST) is None, "nothing has changed"
    with_grants(tmp_path / "lake", "bert")
    assert run(raw, tmp_path / "lake", catalogue=catalogue, **IN_EARNEST).counts.emitted == 2
    links = rows(tmp_path / "lake", "select distinct consent from utterances")
    assert [(link["subject_id"], link["grant_id"]) for link in links[0][0]] == [("anna", "g-anna"), ("bert", "g-bert")]


def test_a_backend_that_does_not_listen_never_makes_a_row_complete(tmp_path):
    write(tmp_path / "raw" / "a.wav", voice())
    catalogue = catalogue_file(tmp_path / "who.jsonl", {"a.wav": ["anna"]})
    with_grants(tmp_path / "lake", "anna")
    run(tmp_path / "raw", tmp_path / "lake", catalogue=catalogue, **IN_EARNEST)
    assert set(rows(tmp_path / "lake", "select consent_complete from utterances")) == {(False,)}


def test_a_withdrawal_also_denies_where_no_grant_is_asked_for(tmp_path):
    raw = folder_of_clips(tmp_path / "raw", 2)
    catalogue = catalogue_file(tmp_path / "who.jsonl", {"clip000.wav": ["anna"], "clip001.wav": ["bert"]})
    with_grants(tmp_path / "lake", "anna").ledger().append([ended("anna")])
    counts = run(raw, tmp_path / "lake", catalogue=catalogue).counts
    assert (counts.emitted, counts.held) == (1, {"withdrawn": 1})


def test_a_withdrawal_between_reading_and_committing_is_obeyed(tmp_path, monkeypatch):
    """The worker asks again before it commits: what was denied since is rebuilt without it."""
    from pipelines import unit

    raw = folder_of_clips(tmp_path / "raw", 2)
    catalogue = catalogue_file(tmp_path / "who.jsonl", {"clip000.wav": ["anna"], "clip001.wav": ["bert"]})
    lake = with_grants(tmp_path / "lake", "anna", "bert")
    request = request_for(raw, tmp_path / "lake", catalogue=catalogue, **IN_EARNEST)
    started = start(request)
    job = unit.UnitJob(lake, started.run, request.config, tmp_path / "work")
    job.open()
    write_objects, built = unit.write_objects, []

    def withdrawn_meanwhile(outcomes, *args, **named):
        if not built:
            Lake.open(str(tmp_path / "lake")).ledger().append([ended("anna")])
        built.append([outcome.row["status"] for outcome in outcomes])
        return write_objects(outcomes, *args, **named)

    monkeypatch.setattr(unit, "write_objects", withdrawn_meanwhile)
    unit_id = next(iter(unit_ids(request, started)))
    commit = job(unit.Attempt(unit_id), unit.Calls(lambda *_: None, lambda _: None))
    assert sorted(map(sorted, built)) == [["emitted", "emitted"], ["emitted", "held"]]
    assert commit.counts.held == {"withdrawn": 1}
    assert commit.ledger_position == 3
    assert {who for (who,) in rows(tmp_path / "lake", "select consent[1].subject_id from utterances")} == {"bert"}


def unit_ids(request, started):
    from lake.runs import read_plan_units

    return [unit.unit_id for unit in read_plan_units(request.lake, started.run)]


def test_a_corrected_catalogue_plans_the_source_again_and_denies_the_old_row(tmp_path):
    raw = folder_of_clips(tmp_path / "raw", 1)
    with_grants(tmp_path / "lake", "anna", "bert")
    wrong = catalogue_file(tmp_path / "wrong.jsonl", {"clip000.wav": ["anna"]})
    right = catalogue_file(tmp_path / "right.jsonl", {"clip000.wav": ["bert"]})
    run(raw, tmp_path / "lake", catalogue=wrong, **IN_EARNEST)
    run(raw, tmp_path / "lake", catalogue=right, **IN_EARNEST)
    assert rows(tmp_path / "lake", "select distinct consent[1].subject_id from utterances") == [("bert",)]
    assert rows(tmp_path / "lake", "select type from events where type = 'catalogue_changed'") == [
        ("catalogue_changed",)
    ]
