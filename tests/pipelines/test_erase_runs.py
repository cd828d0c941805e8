"""Erasure of what real runs made: others in the same recording keep their speech, and what was erased stays out."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from lake.lake import Lake
from pipelines.erase.erase import Wanted, erase
from pipelines.run import start
from schemas.errors import ConsentError
from tests.erasures import BY_PSEUDONYM, KEY, erased, holding, members, withdrawn
from tests.erasures import rows as rows_of
from tests.runs import QUICK, request_for, rows, run
from tests.speech import RATE_HZ, voice, write

SPANS = [("anna", 0.0, 6.0), ("ben", 6.0, 12.0), ("anna", 12.0, 16.0)]


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("PROVOICE_SUPPRESSION_KEY", KEY)


@pytest.fixture
def raw(tmp_path):
    """`talk.wav`: anna, then ben, then anna; `anna.wav` and `ben.wav`."""
    hers, his = voice("speaker90", 10.0), voice("speaker91", 8.0)
    write(tmp_path / "raw/talk.wav", np.concatenate([hers[: 6 * RATE_HZ], his[: 6 * RATE_HZ], hers[6 * RATE_HZ :]]))
    write(tmp_path / "raw/anna.wav", hers[: 5 * RATE_HZ])
    write(tmp_path / "raw/ben.wav", his)
    return tmp_path / "raw"


@pytest.fixture
def catalogue(tmp_path):
    spans = [{"subject_id": who, "start_s": start, "end_s": end} for who, start, end in SPANS]
    lines = [
        {"path": "talk.wav", "subjects": ["anna", "ben"], "spans": spans, "complete": True},
        {"path": "anna.wav", "subjects": ["anna"], "complete": True},
        {"path": "ben.wav", "subjects": ["ben"], "complete": True},
    ]
    path = tmp_path / "catalogue.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_others_keep_what_they_said_alone(tmp_path, raw, catalogue):
    run(raw, tmp_path / "lake", catalogue=catalogue)
    lake = Lake.open(str(tmp_path / "lake"))
    heard, said = members(lake), rows_of(lake, "utterances")
    his = {name for name, row in said.items() if [link["subject_id"] for link in row["consent"]] == ["ben"]}
    before = {row["source_path"]: row for row in rows_of(lake, "recordings").values()}
    outcome = erased(lake, "anna")
    assert rows_of(lake, "utterances") == {name: said[name] for name in his}
    assert members(lake) == {name: data for name, data in heard.items() if name.partition(".")[0] in his}
    after = {row["source_path"]: row for row in rows_of(lake, "recordings").values()}
    assert after.keys() == {"talk.wav", "ben.wav"}
    assert after["ben.wav"] == before["ben.wav"]
    talk = after["talk.wav"]
    assert [link["subject_id"] for link in talk["consent"]] == ["ben"]
    assert 0 < len(talk["turns"]) < len(before["talk.wav"]["turns"])
    assert all(turn["start_sample"] / RATE_HZ >= 6.0 and turn["end_sample"] / RATE_HZ <= 12.0 for turn in talk["turns"])
    assert 0 < talk["speech_s"] < before["talk.wav"]["speech_s"]
    assert set(holding(lake, "anna")) == BY_PSEUDONYM
    ((sources, emitted, gone),) = rows(lake.root.uri, "select sum(sources), sum(emitted), sum(erased) from commits")
    assert (sources, emitted, gone) == (3, 2, 1)
    assert outcome.raw_remaining == {"others are heard in them, or may be": 1, "their deletion was not asked for": 1}


def test_what_was_erased_stays_out_under_any_name(tmp_path, raw, catalogue, monkeypatch):
    lake_uri = tmp_path / "lake"
    run(raw, lake_uri, catalogue=catalogue)
    erased(Lake.open(str(lake_uri)), "anna")
    # Without a catalogue nothing names her, but her places are known; of ben nothing is said any more either.
    assert run(raw, lake_uri).counts.sources == 1
    assert run(raw, lake_uri) is None
    shutil.copy(raw / "anna.wav", raw / "somebody.wav")
    shutil.copy(raw / "talk.wav", raw / "chat.wav")
    request = request_for(raw, lake_uri)
    assert start(request).summary.ignored_by_cause == {"suppressed": 2}
    run(raw, lake_uri)
    found = rows(lake_uri, "select source_path, status, reason, source_sha256 from recordings where status = 'held'")
    assert sorted(found) == [("chat.wav", "held", "suppressed", None), ("somebody.wav", "held", "suppressed", None)]
    assert run(raw, lake_uri) is None  # and they are not tried again and again
    monkeypatch.delenv("PROVOICE_SUPPRESSION_KEY")
    write(raw / "new.wav", voice("speaker91", 4.0))
    with pytest.raises(ConsentError, match="its key is missing"):
        run(raw, lake_uri)
    monkeypatch.setenv("PROVOICE_SUPPRESSION_KEY", KEY + " another")
    with pytest.raises(ConsentError, match="another key"):
        run(raw, lake_uri)


def test_raw_sources_go_where_nobody_else_is_heard(tmp_path, raw, catalogue):
    run(raw, tmp_path / "lake", catalogue=catalogue)
    lake = Lake.open(str(tmp_path / "lake"))
    withdrawn(lake, "anna")
    outcome = erase(lake, Wanted(("anna",), raw=True))
    assert (outcome.is_finished, outcome.raw_deleted) == (True, 1)
    assert outcome.raw_remaining == {"others are heard in them, or may be": 1}
    assert sorted(path.name for path in raw.iterdir()) == ["ben.wav", "talk.wav"]


def test_a_run_goes_on_with_what_is_left_of_its_plan(tmp_path, raw, catalogue):
    """Planned, then she withdraws and is erased before a unit is committed."""
    request = request_for(raw, tmp_path / "lake", catalogue=catalogue, settings=(*QUICK, "plan.unit_max_sources=1"))
    start(request)
    withdrawn(request.lake, "anna")
    first = erase(request.lake, Wanted(("anna",)))
    assert (first.is_finished, first.units) == (False, 0)
    progress = run(raw, tmp_path / "lake", catalogue=catalogue, settings=(*QUICK, "plan.unit_max_sources=1"))
    assert (progress.counts.sources, progress.counts.emitted, progress.counts.erased) == (3, 1, 2)
    waiting = ["consent/erasures/000001/closure-1.parquet", "consent/erasures/000001/started.json"]
    assert sorted(holding(request.lake, "anna", "talk.wav")) == waiting
    assert erase(request.lake, Wanted(("anna",)), now=first.again_at).is_finished
