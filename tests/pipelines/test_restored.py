"""A run that restores: both utterances are there, the child names its parent, and consent and counts hold."""

from __future__ import annotations

import io
import json
import tarfile

import numpy as np
import pytest
import soundfile

from lake.lake import Lake
from lake.reader import LakeReader
from tests import runs
from tests.shared_audio import shared_audio

STEPS = "restore={steps: [dc, equalise, loudness]}"


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    folder = tmp_path_factory.mktemp("restored")
    sources = folder / "sources"
    sources.mkdir()
    clips = sorted(shared_audio("speakers").glob("librispeech_train-clean-100/*.flac"))[:2]
    for n, clip in enumerate(clips):
        sound, rate = soundfile.read(clip)
        soundfile.write(sources / f"{n}.wav", 0.5 * sound + 0.02, rate)
    runs.with_grants(folder / "lake", "p0", "p1")
    catalogue = runs.catalogue_file(folder / "who.jsonl", {"0.wav": ["p0"], "1.wav": ["p1"]})
    request = {"config": "configs/default.yaml", "settings": (*runs.QUICK, STEPS), "catalogue": catalogue}
    runs.run(sources, folder / "lake", **request)
    return folder / "lake"


def test_each_utterance_has_a_child_that_names_it(lake):
    found = runs.rows(
        lake,
        "select key, lineage.parents, recording_id, restored, dc_offset, loudness_lufs from utterances order by key",
    )
    keys = {key for key, *_ in found}
    children = [row for row in found if row[3] is not None]
    assert len(children) == len(found) - len(children) >= 2
    for key, parents, recording_id, restored, dc_offset, loudness_lufs in children:
        assert key.endswith("-restored")
        assert parents == [key.removesuffix("-restored"), recording_id]
        assert parents[0] in keys
        assert [change["step"] for change in restored] == ["dc", "equalise", "loudness"]
        assert restored[0]["before"] == pytest.approx(0.02, abs=0.003)
        assert dc_offset == 0
        assert loudness_lufs == pytest.approx(restored[2]["after"], abs=0.05)
        assert restored[2]["after"] == pytest.approx(-23, abs=0.1) or "true peak" in restored[2]["detail"]
    assert all(parents == [recording_id] for _, parents, recording_id, restored, *_ in found if restored is None)


def test_consent_comes_from_the_parent_and_the_counts_hold(lake):
    assert runs.rows(
        lake,
        "select count(*) from utterances c join utterances p on p.key = c.lineage.parents[1] "
        "where c.consent <> p.consent or c.consent_complete <> p.consent_complete or c.speaker <> p.speaker "
        "or c.start_sample <> p.start_sample or c.duration_s <> p.duration_s",
    ) == [(0,)]
    (counted,) = runs.rows(lake, "select sum(utterances) from recordings")
    assert counted == runs.rows(lake, "select count(*) from utterances")[0]


def test_the_tar_holds_both_and_the_childs_json_says_what_was_done(lake):
    stored = [o for _, commit in LakeReader(Lake.open(str(lake))).commits for o in commit.objects if o.kind == "shard"]
    members = {}
    for shard in stored:
        with tarfile.open(lake / shard.path) as tar:
            members |= {member.name: tar.extractfile(member).read() for member in tar}
    children = [name for name in members if name.endswith("-restored.json")]
    assert children
    for name in children:
        told = json.loads(members[name])
        assert told["restored"][0]["step"] == "dc"
        child, _ = soundfile.read(io.BytesIO(members[name.replace(".json", ".flac")]))
        parent, _ = soundfile.read(io.BytesIO(members[told["lineage"]["parents"][0] + ".flac"]))
        assert len(child) == len(parent)
        assert abs(child.mean()) < 1e-3 < 0.015 < parent.mean()
        assert np.corrcoef(child, parent)[0, 1] > 0.9


def test_the_same_run_gives_the_same_bytes_and_alone_means_no_original(lake, tmp_path):
    sources = lake.parent / "sources"
    again, alone = tmp_path / "again", tmp_path / "alone"
    for place, settings in ((again, STEPS), (alone, STEPS.replace("]}", "], keep_original: false}"))):
        runs.with_grants(place, "p0", "p1")
        runs.run(
            sources, place, config="configs/default.yaml", settings=(*runs.QUICK, settings),
            catalogue=lake.parent / "who.jsonl",
        )  # fmt: skip
    assert runs.rows(again, "select key, audio_sha256 from utterances order by key") == runs.rows(
        lake, "select key, audio_sha256 from utterances order by key"
    )
    assert runs.rows(alone, "select count(*) from utterances where restored is null") == [(0,)]
    assert runs.rows(alone, "select count(*) from utterances")[0][0] * 2 == len(
        runs.rows(lake, "select key from utterances")
    )
