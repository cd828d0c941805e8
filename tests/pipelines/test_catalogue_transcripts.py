"""Who speaks when, and what is said, from the files that lie beside recordings."""

from __future__ import annotations

import unicodedata

import pytest

from pipelines.catalogue import load_catalogue
from schemas.catalogue import Span, TextSpan
from schemas.errors import ConfigError
from tests.pipelines.tables import catalogue_of, csv_file
from tests.shared_audio import shared_audio

RTTM = """;; a comment
SPKR-INFO show 1 <NA> <NA> <NA> unknown anna <NA>
SPEAKER show 1 3.00 1.50 <NA> <NA> ben <NA> <NA>
SPEAKER show 1 0.10 0.20 <NA> <NA> anna <NA> <NA>
SPEAKER other 1 0.00 1.00 <NA> <NA> carl <NA> <NA>
"""


def row_of(tmp_path, columns, cells, **files):
    for name, content in files.items():
        (tmp_path / name.replace("__", ".")).write_text(content, encoding="utf-8")
    return catalogue_of(tmp_path, f"path,{columns}\na/show.wav,{cells}\n").row_for("r", "a/show.wav")


def test_rttm_says_who_speaks_when(tmp_path):
    row = row_of(tmp_path, "subjects,rttm", "anna;ben,spans.rttm", spans__rttm=RTTM)
    assert row.spans == (
        Span(subject_id="anna", start_s=0.1, end_s=0.3),
        Span(subject_id="ben", start_s=3.0, end_s=4.5),
    )


def test_without_subjects_the_people_of_the_rttm_are_meant_and_the_list_is_not_complete(tmp_path):
    row = row_of(tmp_path, "rttm", "spans.rttm", spans__rttm=RTTM)
    assert [subject.subject_id for subject in row.subjects] == ["anna", "ben"]
    assert not row.complete


def test_a_person_of_the_rttm_who_is_not_a_subject_is_a_contradiction(tmp_path):
    with pytest.raises(ConfigError, match=r"line 2.*not among the subjects: ben"):
        row_of(tmp_path, "subjects,rttm", "anna,spans.rttm", spans__rttm=RTTM)


def test_the_file_id_can_be_named(tmp_path):
    row = row_of(tmp_path, "rttm", "spans.rttm#other", spans__rttm=RTTM)
    assert [span.subject_id for span in row.spans] == ["carl"]
    with pytest.raises(ConfigError, match=r"holds no file `shwo` \(did you mean `show`\?\); name it as `FILE.rttm#ID`"):
        row_of(tmp_path, "rttm", "spans.rttm#shwo", spans__rttm=RTTM)


def test_the_only_file_of_an_rttm_needs_no_name(tmp_path):
    row = row_of(tmp_path, "rttm", "one.rttm", one__rttm="SPEAKER xyz 1 0 1 <NA> <NA> anna <NA> <NA>\n")
    assert [span.subject_id for span in row.spans] == ["anna"]


@pytest.mark.parametrize(
    ("names", "channels"),
    [(("1", "1"), (None, None)), (("1", "2"), (0, 1)), (("0", "1"), (0, 1)), (("A", "B"), (0, 1))],
)
def test_channels_count_only_where_there_are_several(tmp_path, names, channels):
    lines = [f"SPEAKER show {name} {n} 1 <NA> <NA> p{n} <NA> <NA>\n" for n, name in enumerate(names)]
    row = row_of(tmp_path, "rttm", "s.rttm", s__rttm="".join(lines))
    assert tuple(span.channel for span in row.spans) == channels


@pytest.mark.parametrize(
    "line", ["SPEAKER show 1 x 1 <NA> <NA> a", "SPEAKER show 1", "SPEAKER show 1 1 -1 <NA> <NA> a"]
)
def test_a_broken_rttm_is_refused_with_its_line(tmp_path, line):
    with pytest.raises(ConfigError, match=r"s.rttm, line 2: "):
        row_of(tmp_path, "rttm", "s.rttm", s__rttm=f";;\n{line}\n")


def test_a_plain_transcript_is_the_whole_text(tmp_path):
    assert row_of(tmp_path, "transcript", "t.txt", t__txt="\ufeffGood\r\n  morning. \n").text == "Good morning."


def test_a_transcript_that_is_empty_is_no_text(tmp_path):
    assert row_of(tmp_path, "transcript", "t.txt", t__txt="\n").text is None


PIECES = (TextSpan(start_s=1.5, end_s=2.25, text="Good morning"), TextSpan(start_s=3661.0, end_s=3662.5, text="all."))


SRT = """1
00:00:01,500 --> 00:00:02,250
<i>Good</i>
morning

2
01:01:01,000 --> 01:01:02,500
all.
"""
VTT = """WEBVTT

NOTE a note

00:01.500 --> 00:02.250 align:start
<v Anna>Good morning

x
01:01:01.000 --> 01:01:02.500
all."""
WHISPER = (
    '{"segments": [{"id": 0, "start": 1.5, "end": 2.25, "text": " Good morning"}, '
    '{"start": 3661, "end": 3662.5, "text": "all."}]}'
)
BARE = '[{"start_s": 1.5, "end_s": 2.25, "text": "Good morning"}, {"start_s": 3661, "end_s": 3662.5, "text": "all."}]'


@pytest.mark.parametrize(
    ("name", "content"),
    [("t.srt", SRT), ("t.srt", SRT.replace("\n", "\r\n")), ("t.vtt", VTT), ("t.json", WHISPER), ("t.json", BARE)],
)
def test_timed_transcripts_are_pieces_with_their_places(tmp_path, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    row = row_of(tmp_path, "transcript", name)
    assert row.text_spans == PIECES
    assert row.text is None


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.srt", "1\n00:00:03,000 --> 00:00:02,000\nx\n", "a piece of text needs start < end"),
        ("t.json", '{"text": "x"}', "needs a list `segments`"),
        ("t.json", "{", "not JSON"),
        ("t.json", '[{"start": 1, "text": "x"}]', "t.json, segment 0: `end_s`"),
        ("t.json", "[3]", "t.json, segment 0: not an object"),
        ("t.docx", "x", "is no transcript that can be read"),
    ],
)
def test_what_is_no_transcript_is_refused(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError) as caught:
        row_of(tmp_path, "transcript", name)
    assert said in str(caught.value)


def test_a_transcript_that_is_missing_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"gone.txt: no such file"):
        row_of(tmp_path, "transcript", "gone.txt")


def test_the_meetings_of_ami_get_their_people(tmp_path):
    folder = shared_audio("meetings")
    listed = [path.name for path in sorted(folder.glob("tr*.wav"))]
    # The RTTM knows `trñ00.wav` as trn00.
    ids = {name: "trn00" for name in listed if not name.isascii()}
    lines = [f"{name},{folder}/train.rttm#{ids.get(name, name[:-4])}\n" for name in listed]
    catalogue = load_catalogue(csv_file(tmp_path, "path,rttm\n" + "".join(lines)))
    people = {name: catalogue.row_for("ami", unicodedata.normalize("NFD", name)).subjects for name in listed}
    assert "MÉO069" in [subject.subject_id for subject in people[next(iter(ids))]]
    assert catalogue.unmatched == 0
    assert sum(len(catalogue.row_for("ami", name).spans) for name in listed) == sum(
        line.startswith("SPEAKER") for line in (folder / "train.rttm").read_text(encoding="utf-8").splitlines()
    )


def test_an_rttm_that_was_edited_is_read_again(tmp_path):
    assert len(row_of(tmp_path, "rttm", "s.rttm", s__rttm="SPEAKER show 1 0 1 <NA> <NA> a\n").spans) == 1
    assert len(row_of(tmp_path, "rttm", "s.rttm", s__rttm="SPEAKER show 1 0 1 <NA> <NA> a\n" * 2).spans) == 2
