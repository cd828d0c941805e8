"""What became of a recording or an utterance: every outcome is told, with what a person can do about it."""

from __future__ import annotations

import json

import pytest

from provoice.reasons import HELD_HELP, help_for
from schemas.consent import DenyReason
from schemas.errors import REASON_HELP, Reason
from tests.builders import ANNA, BEN, BOTH, BOTH_NEWER, BROKEN, DORA, WAITING, Made, flac, key_of, write_run
from tests.builders import small_lake as build
from transforms.diarize.rttm import parse_rttm


@pytest.mark.parametrize(
    "name",
    [
        "a/anna.wav",
        "/data/raw/a/anna.wav",
        "file:///data/raw/a/anna.wav",
        ANNA.source.recording_id,
    ],
)
def test_a_source_is_found_by_path_uri_and_id(name, provoice, lake):
    told = provoice("why", lake.uri, name)
    assert told.exit_code == 0
    assert "source a/anna.wav  (root raw, version v1)" in told.stdout
    assert "run second, unit" in told.stdout


def test_an_emitted_source_says_whose_voice_it_is_and_where_the_grant_stands(provoice, lake):
    told = provoice("why", lake.uri, "b/both.flac").stdout
    assert "emitted: 1 utterance, 1.0 s, from 1.0 s of speech of 2 voices" in told
    assert "consent: 2 people; everybody heard is listed" in told
    assert "anna (speaker): taken in on grant g-anna, now valid until 2120-01-01" in told
    assert "ben (speaker" in told
    assert key_of(BOTH_NEWER) in told
    assert "decided at ledger position 5, 2026-06-03 12:01 UTC" in told


def test_the_history_over_runs_says_why_each_does_not_count(provoice, lake):
    told = provoice("why", lake.uri, "a/anna.wav").stdout
    assert "run look: emitted, 3 utterances; supersedes nothing, for it only explored" in told
    assert "run first: emitted, 2 utterances; superseded" in told
    ben = provoice("why", lake.uri, "a/ben.mp3").stdout
    assert "run second: rejected (source_missing); supersedes nothing, for it is tried again" in ben
    both = provoice("why", lake.uri, "b/both.flac").stdout
    assert "run first, version v1: emitted, 2 utterances; superseded" in both


def test_a_rejected_source_says_why_and_what_to_do(provoice, lake):
    told = provoice("why", lake.uri, BROKEN.path).stdout
    assert "rejected at decode: unreadable: made for a test" in told
    assert REASON_HELP[Reason.UNREADABLE] in told


def test_a_held_source_says_why_and_that_it_is_planned_again(provoice, lake):
    told = provoice("why", lake.uri, "d/carol.wav").stdout
    assert "held at consent: no_grant: made for a test" in told
    assert HELD_HELP[DenyReason.NO_GRANT] in told
    assert "nothing of it is published" in told


def test_a_retriable_rejection_says_that_it_is_tried_again(provoice, tmp_path):
    made = build(tmp_path)
    write_run(
        made.lake, tmp_path, [[Made("f/gone.wav", {"anna": None}, reason=Reason.SOURCE_MISSING)]], run_id="fourth"
    )
    told = provoice("why", made.uri, "f/gone.wav").stdout
    assert "the next run plans it again" in told


def test_an_utterance_says_what_was_measured_and_where_its_bytes_are(provoice, lake):
    told = provoice("why", lake.uri, key_of(BEN)).stdout
    assert f"utterance {key_of(BEN)}\n" in told
    assert "0.000 s to 1.000 s of the recording: 1.00 s, 16000 Hz, channel 0, speaker spk00" in told
    assert "measured: c50_db 12, speech_ratio 1, loudness_lufs -23, peak_dbfs -17" in told
    assert "could not be measured: snr_db, rt60_s" in told
    assert "accent: Irish (predicted, label set made-1, score 0.80)" in told
    assert "source a/ben.mp3" in told
    place = next(line for line in told.splitlines() if "lies in shards/first/" in line)
    shard = place.split("lies in ")[1].split(":")[0]
    offset, size = (int(word) for word in place.split("audio at byte ")[1].split(" bytes")[0].split(", "))
    assert lake.lake.root.read(shard, offset, offset + size) == flac()


def test_an_utterance_says_how_it_came_to_its_people(provoice, lake):
    sole = provoice("why", lake.uri, key_of(BEN)).stdout
    assert "ben (speaker, bound as the only voice in it): taken in on grant g-ben, now valid" in sole
    both = provoice("why", lake.uri, key_of(BOTH_NEWER)).stdout
    assert "anna (speaker, bound as everybody in the recording is): taken in on grant g-anna" in both


def test_a_superseded_utterance_is_still_found_and_says_so(provoice, lake):
    told = provoice("why", lake.uri, key_of(BOTH, 1)).stdout
    assert f"utterance {key_of(BOTH, 1)}  (superseded)" in told
    assert "cuts put aside" not in told  # those were of the older version; its current one has none
    old = provoice("why", lake.uri, "--json", key_of(BOTH, 1))
    rows = json.loads(old.stdout)["sources"][0]["rows"]
    assert [(row["source_version"], row["is_current"]) for row in rows] == [("v2", True), ("v1", False)]
    assert rows[1]["utterances_rejected"] == [{"reason": "too_short", "count": 3}]


def test_a_withdrawal_is_told_at_once_of_what_is_still_there(provoice, tmp_path):
    made = build(tmp_path)
    assert provoice("consent", "withdraw", made.uri, "--subject", "ben").exit_code == 0
    told = provoice("why", made.uri, key_of(BEN)).stdout
    assert "taken in on grant g-ben, now withdrawn" in told


def test_a_source_that_waits_in_a_run_says_so(provoice, lake):
    told = provoice("why", lake.uri, WAITING.path)
    assert told.exit_code == 0
    assert "planned by run look, unit 0000001-" in told.stdout
    assert "has not committed it yet" in told.stdout


def test_one_path_under_two_roots_tells_both(provoice, tmp_path):
    made = build(tmp_path)

    class Elsewhere(Made):
        @property
        def source(self):
            return super().source.__class__("other", self.path, self.version, 1)

    roots = {"raw": "/data/raw", "other": "/data/other"}
    write_run(made.lake, tmp_path, [[Elsewhere(ANNA.path, {"ben": "g-ben"}, 1)]], run_id="fourth", roots=roots)
    told = provoice("why", made.uri, ANNA.path).stdout
    assert "source a/anna.wav  (root other, version v1)" in told
    assert "source a/anna.wav  (root raw, version v1)" in told
    only = provoice("why", made.uri, "/data/other/a/anna.wav").stdout
    assert "(root raw" not in only
    rttm = provoice("why", made.uri, ANNA.path, "--rttm")
    assert rttm.exit_code == 2
    assert "several roots (other, raw)" in rttm.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a/ana.wav", "near it: a/anna.wav"),
        ("/data/raw/e/wating.wav", "near it: e/waiting.wav"),
        ("zzzzzz", "knows no utterance, recording, path or URI zzzzzz"),
        (key_of(DORA).replace("000000016000", "000000016001"), "its recording is d/dora.wav"),
        ("it's; drop", "it's; drop"),
    ],
)
def test_what_is_unknown_names_what_is_near(name, said, provoice, lake):
    done = provoice("why", lake.uri, name)
    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_json_is_one_object_with_the_whole_story(provoice, lake):
    story = json.loads(provoice("why", lake.uri, key_of(BEN), "--json").stdout)
    assert story["name"] == key_of(BEN)
    assert story["utterance"]["key"] == key_of(BEN)
    assert story["standing"]["g-ben"]["standing"] == "valid"
    (source,) = story["sources"]
    assert (source["root"], source["path"]) == ("raw", "a/ben.mp3")
    assert [(row["run_id"], row["is_current"]) for row in source["rows"]] == [("second", False), ("first", True)]
    assert source["rows"][0]["help"] == REASON_HELP[Reason.SOURCE_MISSING]
    assert json.loads(provoice("why", lake.uri, "a/ben.mp3", "--json").stdout)["utterance"] is None


def test_rttm_says_who_spoke_when(provoice, lake):
    turns = parse_rttm(provoice("why", lake.uri, "b/both.flac", "--rttm").stdout)
    assert [(t.uri, t.start_s, t.end_s, t.speaker, t.channel) for t in turns] == [("both", 0.0, 1.0, "spk00", 0)]
    for name in (BROKEN.path, WAITING.path):
        none = provoice("why", lake.uri, name, "--rttm")
        assert none.exit_code == 2
        assert "has no turns" in none.stderr


def test_every_reason_has_its_help():
    assert set(HELD_HELP) == set(DenyReason)
    assert set(REASON_HELP) == set(Reason)
    assert help_for("held", "no_subject") == HELD_HELP[DenyReason.NO_SUBJECT]
    assert help_for("rejected", "no_subject") == REASON_HELP[Reason.NO_SUBJECT]
    assert help_for("emitted", None) == ""
