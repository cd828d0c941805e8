"""Manifests of Lhotse and NeMo as catalogues."""

from __future__ import annotations

import gzip
import json

import pytest

from pipelines.catalogue import load_catalogue
from schemas.catalogue import CatalogueRow, Role, Span, Subject, TextSpan
from schemas.errors import ConfigError
from tests.pipelines.tables import jsonl_file


def row(folder, uri, path):
    """The row of a file that lies below `folder`, which is the root."""
    return load_catalogue(uri).row_for("r", path, str(folder))


# --- NeMo ---


def nemo(folder, *lines):
    return jsonl_file(folder, lines, "manifest.json")


def test_a_nemo_line_without_offset_speaks_of_the_whole_file(tmp_path):
    line = {
        "audio_filepath": "a/x.wav", "duration": 4.2, "text": "good morning", "speaker": 7, "lang": "en",
        "complete": True, "collected_at": "2026-03-01", "pnc": "yes", "extra.show": "s",
    }  # fmt: skip
    found = row(tmp_path, nemo(tmp_path, line), "a/x.wav")
    assert found.subjects == (Subject(subject_id="7"),)
    assert (found.text, found.text_spans, found.spans, found.complete) == ("good morning", (), (), True)
    assert found.extra == {"pnc": "yes", "show": "s"}
    assert found.language == "en"


def test_nemo_lines_of_one_file_are_its_segments(tmp_path):
    a = {"audio_filepath": str(tmp_path / "x.wav"), "offset": 1.0, "duration": 2.0, "text": "one", "speaker": "anna"}
    b = {"audio_filepath": "x.wav", "offset": 4.5, "duration": 0.25, "text": "two", "speaker": "ben", "gender": "m"}
    c = {"audio_filepath": "y.wav", "duration": 1.0, "speaker": "carl"}
    uri = nemo(tmp_path, b, c, a)
    found = row(tmp_path, uri, "x.wav")
    assert [s.subject_id for s in found.subjects] == ["anna", "ben"]
    assert found.subjects[1].gender == "m"
    assert set(found.spans) == {
        Span(subject_id="anna", start_s=1.0, end_s=3.0),
        Span(subject_id="ben", start_s=4.5, end_s=4.75),
    }
    assert set(found.text_spans) == {
        TextSpan(start_s=1.0, end_s=3.0, text="one"),
        TextSpan(start_s=4.5, end_s=4.75, text="two"),
    }
    assert not found.complete
    assert load_catalogue(uri).rows == 2


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([{"duration": 1}], "names a file"),
        ([{"audio_filepath": "x", "offset": 0}], "`duration`: None is no number"),
        ([{"audio_filepath": "x", "offset": 0, "duration": -1}], "a duration below zero"),
        (
            [{"audio_filepath": "x", "speaker": "a"}, {"audio_filepath": "x", "speaker": "b"}],
            "speaks of the whole file",
        ),
    ],
)
def test_nemo_lines_that_cannot_be_meant_are_refused(tmp_path, lines, said):
    first = {"audio_filepath": "first.wav", "duration": 1.0}
    with pytest.raises(ConfigError) as caught:
        load_catalogue(nemo(tmp_path, first, *lines))
    assert said in str(caught.value)
    assert "manifest.json, line" in str(caught.value)


@pytest.mark.parametrize(
    ("one", "other", "column"),
    [
        ({"complete": True}, {}, "complete"),
        ({"complete": True}, {"complete": False}, "complete"),
        ({"collected_at": "2026-01-01"}, {"collected_at": "2026-01-02"}, "collected_at"),
        ({"grant_ids": ["g1"]}, {"grant_ids": ["g2"]}, "grant_ids"),
    ],
)
def test_what_consent_rests_on_must_agree_between_the_lines_of_a_recording(tmp_path, one, other, column):
    lines = [
        {"audio_filepath": "x.wav", "offset": n, "duration": 1.0, "speaker": "a", **more}
        for n, more in enumerate([one, other])
    ]
    with pytest.raises(ConfigError, match=rf"line 2: `{column}` differs between the lines of one recording"):
        load_catalogue(nemo(tmp_path, *lines))


def test_what_differs_between_segments_and_is_no_matter_of_consent_is_left_out(tmp_path):
    lines = [
        {"audio_filepath": "x.wav", "offset": n, "duration": 1.0, "lang": lang, "wer": n, "show": "s"}
        for n, lang in enumerate(["en", "de"])
    ]
    found = row(tmp_path, nemo(tmp_path, *lines), "x.wav")
    assert found == CatalogueRow(extra={"show": "s"})


# --- Lhotse ---


def recording(name="rec", path="x.wav", channels=(0,), duration=10.0, **more):
    source = {"type": "file", "channels": list(channels), "source": path}
    return {
        "id": name, "sources": [source], "sampling_rate": 16000, "num_samples": int(16000 * duration),
        "duration": duration, "channel_ids": list(channels), **more,
    }  # fmt: skip


def supervision(speaker, start=0.0, duration=1.0, channel=0, name="rec", **more):
    return {
        "id": f"{name}-{speaker}-{start}", "recording_id": name, "start": start, "duration": duration,
        "channel": channel, "speaker": speaker, **more,
    }  # fmt: skip


def lhotse(folder, recordings, supervisions):
    jsonl_file(folder, supervisions, "ami_supervisions_train.jsonl")
    return jsonl_file(folder, recordings, "ami_recordings_train.jsonl")


def test_recordings_find_their_supervisions(tmp_path):
    uri = lhotse(
        tmp_path,
        [recording(custom={"complete": True, "site": "Edinburgh"}), recording("other", "y.wav")],
        [
            supervision("ben", 4.0, 1.5, text="two", language="en", gender="m"),
            supervision("anna", 1.0, 2.0, text="one", language="en"),
        ],
    )
    found = row(tmp_path, uri, "x.wav")
    assert found.subjects == (Subject(subject_id="anna"), Subject(subject_id="ben", gender="m"))
    assert found.spans == (
        Span(subject_id="ben", start_s=4.0, end_s=5.5),
        Span(subject_id="anna", start_s=1.0, end_s=3.0),
    )
    assert found.text_spans[1] == TextSpan(start_s=1.0, end_s=3.0, text="one")
    assert (found.complete, found.language, found.extra) == (True, "en", {"site": "Edinburgh"})
    assert row(tmp_path, uri, "y.wav") == CatalogueRow()


def test_one_supervision_over_all_of_a_recording_needs_no_spans(tmp_path):
    uri = lhotse(tmp_path, [recording()], [supervision("anna", 0.0, 10.0, text="all of it")])
    assert row(tmp_path, uri, "x.wav") == CatalogueRow(subjects=(Subject(subject_id="anna"),), text="all of it")


def test_channels_of_one_file_go_to_their_people(tmp_path):
    uri = lhotse(
        tmp_path, [recording(channels=(0, 1))], [supervision("anna", channel=0), supervision("ben", channel=1)]
    )
    found = row(tmp_path, uri, "x.wav")
    assert {subject.subject_id: subject.channel for subject in found.subjects} == {"anna": 0, "ben": 1}
    assert {span.subject_id: span.channel for span in found.spans} == {"anna": 0, "ben": 1}


def test_a_person_on_another_microphone_may_be_heard_on_this_one(tmp_path):
    two = recording(channels=(0,))
    two["sources"].append({"type": "file", "channels": [1], "source": "y.wav"})
    uri = lhotse(tmp_path, [two], [supervision("anna", channel=0), supervision("ben", channel=1)])
    found = row(tmp_path, uri, "y.wav")
    assert found.subjects == (
        Subject(subject_id="anna", role=Role.BACKGROUND),
        Subject(subject_id="ben"),
    )
    assert [span.subject_id for span in found.spans] == ["ben"]


def test_cuts_are_gathered_by_their_recording(tmp_path):
    cuts = [
        {
            "id": f"cut{n}", "type": "MonoCut", "start": start, "duration": 3.0, "channel": 0, "recording": recording(),
            "supervisions": [supervision("anna", 0.5, 1.0, text=f"t{n}")],
        }
        for n, start in enumerate([0.0, 5.0])
    ]  # fmt: skip
    path = tmp_path / "cuts.jsonl.gz"
    path.write_bytes(gzip.compress("".join(json.dumps(cut) + "\n" for cut in cuts).encode()))
    found = row(tmp_path, str(path), "x.wav")
    assert [(span.start_s, span.end_s) for span in found.spans] == [(0.5, 1.5), (5.5, 6.5)]
    assert [piece.text for piece in found.text_spans] == ["t0", "t1"]


@pytest.mark.parametrize(
    ("recordings", "supervisions", "said"),
    [
        ([recording()], [supervision("anna", name="rce")], "line 1: recording 'rce' is not in"),
        ([recording(), recording()], [supervision("anna")], "line 2: recording 'rec' stands in line 1"),
        ([recording(transforms=[{"name": "Speed"}])], [supervision("anna")], "is augmented"),
        (
            [recording(sources=[{"type": "command", "channels": [0], "source": "cat x"}])],
            [supervision("a")],
            "'command'",
        ),
        ([recording(), recording("b")], [supervision("anna")], "x.wav' is named twice"),
        (
            [recording()],
            [supervision("a", gender="f"), supervision("a", 2.0, gender="m")],
            "a is gender 'm' here and 'f'",
        ),
        ([recording()], [supervision("a", duration="2")], "`duration`: '2' is no number of seconds"),
    ],
)
def test_lhotse_manifests_that_cannot_be_meant_are_refused(tmp_path, recordings, supervisions, said):
    with pytest.raises(ConfigError) as caught:
        load_catalogue(lhotse(tmp_path, recordings, supervisions))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_wrong_manifest_is_told_from_the_right_one(tmp_path):
    with pytest.raises(ConfigError, match=r"holds supervisions; give the recordings manifest"):
        load_catalogue(jsonl_file(tmp_path, [supervision("anna")]))
    with pytest.raises(ConfigError, match=r"supervisions_x.jsonl: no such file"):
        load_catalogue(jsonl_file(tmp_path, [recording()], "recordings_x.jsonl"))
    with pytest.raises(ConfigError, match=r"is called …recordings….jsonl"):
        load_catalogue(jsonl_file(tmp_path, [recording()], "files.jsonl"))
    with pytest.raises(ConfigError, match=r"line 1: a MixedCut: only cuts of one recording"):
        load_catalogue(jsonl_file(tmp_path, [{"id": "m", "type": "MixedCut", "tracks": []}]))


def test_paths_are_relative_to_the_manifest_and_not_to_where_the_command_is_given(tmp_path, monkeypatch):
    (tmp_path / "train").mkdir()
    nemo(tmp_path / "train", {"audio_filepath": "x.wav", "duration": 1.0, "speaker": "anna"})
    monkeypatch.chdir(tmp_path / "train")
    catalogue = load_catalogue("manifest.json")
    assert catalogue.row_for("r", "train/x.wav", str(tmp_path)).subjects == (Subject(subject_id="anna"),)
    assert catalogue.row_for("r", "x.wav", str(tmp_path / "test")) is None
