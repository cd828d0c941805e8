"""Which row speaks of which source, and what is refused."""

from __future__ import annotations

import tempfile
import unicodedata
from datetime import UTC, datetime

import pytest

from pipelines.catalogue import load_catalogue
from schemas.catalogue import CatalogueRow, Role, Span, Subject
from schemas.errors import ConfigError
from tests.pipelines.tables import catalogue_of, csv_file, jsonl_file, parquet_file


def speaker_of(catalogue, path, root="r", root_uri=""):
    row = catalogue.row_for(root, path, root_uri)
    return row and [subject.subject_id for subject in row.subjects]


def test_a_row_says_who_speaks_and_what_else_is_known(tmp_path):
    catalogue = catalogue_of(
        tmp_path,
        "path,subjects,complete,language,accent,gender,age_group,grant_ids,collected_at,synthetic,speakers,extra.show\n"
        "a/one.wav,anna@0;ben:background@1,true,en-GB,Scottish,f;m,;40-49,g1;g2,2026-03-01T12:00:00+02:00,no,2,Morning\n",
    )
    assert catalogue.row_for("r", "a/one.wav") == CatalogueRow(
        subjects=(
            Subject(subject_id="anna", channel=0, gender="f"),
            Subject(subject_id="ben", role=Role.BACKGROUND, channel=1, gender="m", age_group="40-49"),
        ),
        complete=True,
        language="en-GB",
        accent="Scottish",
        grant_ids=("g1", "g2"),
        collected_at=datetime(2026, 3, 1, 10, tzinfo=UTC),
        synthetic=False,
        speakers=2,
        extra={"show": "Morning"},
    )


def test_the_row_that_travels_is_its_canonical_json_and_its_digest(tmp_path):
    catalogue = catalogue_of(tmp_path, "path,subject,complete,extra.b,extra.a\nx.wav,anna,true,2,1\n")
    entry = catalogue.entry_for("r", "x.wav")
    assert (entry.json, entry.sha256, entry.people) == (entry.row.to_json(), entry.row.sha256, "anna")
    assert entry.json == '{"subjects":[{"subject_id":"anna"}],"complete":true,"extra":{"a":"1","b":"2"}}'


def test_an_exact_path_beats_the_longest_prefix_and_rows_never_merge(tmp_path):
    catalogue = catalogue_of(
        tmp_path,
        "path,prefix,subject,language\n,*,everyone,en\n,a,anna,en\n,a/b/,ben,en\na/b/c.wav,,carl,\n",
    )
    assert speaker_of(catalogue, "z.wav") == ["everyone"]
    assert speaker_of(catalogue, "a/z.wav") == ["anna"]
    assert speaker_of(catalogue, "a/b/z.wav") == ["ben"]
    assert catalogue.row_for("r", "a/b/c.wav") == CatalogueRow(subjects=(Subject(subject_id="carl"),))


def test_a_prefix_is_a_folder_unless_it_ends_with_a_star(tmp_path):
    catalogue = catalogue_of(tmp_path, "prefix,subject\nanna,anna\np225_*,p225\n")
    assert speaker_of(catalogue, "anna/x.wav") == ["anna"]
    assert speaker_of(catalogue, "annabel/x.wav") is None
    assert speaker_of(catalogue, "p225_001.wav") == ["p225"]
    assert speaker_of(catalogue, "p226_001.wav") is None


def test_a_row_with_a_root_speaks_of_that_root_only(tmp_path):
    catalogue = catalogue_of(tmp_path, "root,path,subject\none,x.wav,anna\ntwo,x.wav,ben\n,y.wav,carl\n")
    assert speaker_of(catalogue, "x.wav", "one") == ["anna"]
    assert speaker_of(catalogue, "x.wav", "two") == ["ben"]
    assert speaker_of(catalogue, "x.wav", "three") is None
    assert speaker_of(catalogue, "y.wav", "three") == ["carl"]


def test_rows_may_name_whole_uris(tmp_path):
    catalogue = catalogue_of(
        tmp_path, "path,prefix,subject\ngs://bucket/shows/a/x.wav,,anna\n,gs://bucket/shows/b,ben\n/data/y.wav,,carl\n"
    )
    assert speaker_of(catalogue, "a/x.wav", "r", "gs://bucket/shows") == ["anna"]
    assert speaker_of(catalogue, "b/z.wav", "r", "gs://bucket/shows") == ["ben"]
    assert speaker_of(catalogue, "y.wav", "r", "/data") == ["carl"]
    assert speaker_of(catalogue, "a/x.wav", "r", "gs://other/shows") is None


def test_the_longest_prefix_is_the_longest_within_the_root_however_it_is_written(tmp_path):
    catalogue = catalogue_of(tmp_path, "prefix,subject\ngs://a-long-bucket-name/shows/,anna\nyear/day,ben\n")
    assert speaker_of(catalogue, "year/day/x.wav", "r", "gs://a-long-bucket-name/shows") == ["ben"]
    assert speaker_of(catalogue, "x.wav", "r", "gs://a-long-bucket-name/shows") == ["anna"]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("other", ["NFC", "NFD"])
def test_a_path_is_the_same_in_either_unicode_form(tmp_path, form, other):
    written, listed = unicodedata.normalize(form, "café/trñ00.wav"), unicodedata.normalize(other, "café/trñ00.wav")
    catalogue = catalogue_of(tmp_path, f"path,subject\n{written},anna\n")
    assert speaker_of(catalogue, listed) == ["anna"]


def test_rows_that_match_no_source_are_counted_and_named(tmp_path):
    catalogue = catalogue_of(tmp_path, "path,prefix,subject\na.wav,,anna\nb.wav,,ben\n,c,carl\n")
    catalogue.row_for("r", "a.wav")
    assert catalogue.rows == 3
    assert catalogue.unmatched == 2
    assert catalogue.unmatched_examples() == (f"{catalogue.uri}, line 3: b.wav", f"{catalogue.uri}, line 4: c/*")
    catalogue.row_for("r", "c/x.wav")
    assert catalogue.unmatched == 1


def test_lists_of_objects_come_from_json_lines_and_parquet_alike(tmp_path):
    rows = [
        {
            "path": "x.wav",
            "subjects": [
                {"subject_id": "urn:a", "role": "speaker", "channel": 0, "gender": None},
                {"subject_id": "b", "role": None, "channel": 1, "gender": "m"},
            ],
            "complete": True,
            "spans": [{"subject_id": "urn:a", "start_s": 0.5, "end_s": 2.0, "channel": 0}],
            "text_spans": [{"start_s": 0.5, "end_s": 2.0, "text": "Guten Tag"}],
            "grant_ids": ["g1"],
            "extra": {"show": "Morning", "episode": "7"},
        }
    ]
    from_json = load_catalogue(jsonl_file(tmp_path, rows)).row_for("r", "x.wav")
    from_parquet = load_catalogue(parquet_file(tmp_path, rows)).row_for("r", "x.wav")
    assert from_json == from_parquet
    assert from_json.subjects[0] == Subject(subject_id="urn:a", channel=0)
    assert from_json.spans == (Span(subject_id="urn:a", start_s=0.5, end_s=2.0, channel=0),)
    assert from_json.extra == {"episode": "7", "show": "Morning"}


def test_lists_of_objects_are_json_in_a_csv(tmp_path):
    spans = '"[{""subject_id"": ""anna"", ""start_s"": 1, ""end_s"": 2}]"'
    catalogue = catalogue_of(tmp_path, f"path,subject,spans\nx.wav,anna,{spans}\n")
    assert catalogue.row_for("r", "x.wav").spans == (Span(subject_id="anna", start_s=1, end_s=2),)


def test_rows_that_say_the_same_are_read_once_and_stay_apart_by_type(tmp_path):
    rows = [{"path": f"{n}.wav", "subject": "anna", "extra.x": value} for n, value in enumerate([1, True, 1.0, "1"])]
    catalogue = load_catalogue(jsonl_file(tmp_path, rows))
    assert [catalogue.row_for("r", f"{n}.wav").extra["x"] for n in range(4)] == ["1", "true", "1.0", "1"]


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T23:30:00-05:00", datetime(2026, 3, 2, 4, 30, tzinfo=UTC)),
        ("2026-03-01 12:00:00.123456Z", datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)),
    ],
)
def test_instants_are_utc_and_a_date_is_its_first(tmp_path, text, instant):
    catalogue = catalogue_of(tmp_path, f"path,subject,collected_at\nx.wav,anna,{text}\n")
    assert catalogue.row_for("r", "x.wav").collected_at == instant


def test_dates_and_instants_of_parquet_are_taken_as_they_are(tmp_path):
    day, moment = datetime(2026, 3, 1, tzinfo=UTC).date(), datetime(2026, 3, 1, 9, tzinfo=UTC)
    of_day = load_catalogue(parquet_file(tmp_path, [{"path": "x.wav", "subject": "anna", "collected_at": day}]))
    of_moment = load_catalogue(parquet_file(tmp_path, [{"path": "x.wav", "subject": "anna", "collected_at": moment}]))
    assert of_day.row_for("r", "x.wav").collected_at == datetime(2026, 3, 1, tzinfo=UTC)
    assert of_moment.row_for("r", "x.wav").collected_at == moment


REFUSED = {
    "unknown column": ("path,subjcet\nx.wav,anna\n", "line 2: unknown column `subjcet` (did you mean `subject`?)"),
    "no place": ("path,subject\n,anna\n", "line 2: a row has a `path` or a `prefix`"),
    "two places": ("path,prefix,subject\nx.wav,a/,anna\n", "line 2: a row has a `path` or a `prefix`"),
    "same path twice": ("path,subject\nx.wav,anna\ny.wav,anna\nx.wav,anna\n", "line 4: 'x.wav' is named twice"),
    "same path in two forms": ("path,subject\ncafé.wav,a\ncafe\u0301.wav,a\n", "line 3: 'café.wav' is named twice"),
    "same prefix twice": ("prefix,subject\na,anna\na/,ben\n", "line 3: 'a/' is named twice"),
    "subject and subjects": (
        "path,subject,subjects\nx.wav,a,b\n",
        "line 2, column `subjects`: `subject` says this already",
    ),
    "subject listed twice": ("path,subjects\nx.wav,a;a\n", "a subject is listed twice"),
    "unknown role": ("path,subjects\nx.wav,a:speker\n", "unknown role `speker` (did you mean `speaker`?)"),
    "bad subject": ("path,subjects\nx.wav,a b\n", "'a b' is not id[:role][@channel]"),
    "empty subject": ("path,subjects\nx.wav,a;;b\n", "nothing stands between two semicolons"),
    "complete": ("path,complete\nx.wav,ja\n", "line 2, column `complete`: 'ja' is neither true nor false"),
    "channel of two": ("path,subjects,channel\nx.wav,a;b,0\n", "column `channel`: belongs to one person"),
    "channel of nobody": ("path,channel\nx.wav,0\n", "column `channel`: belongs to one person"),
    "channel below zero": ("path,subject,channel\nx.wav,a,-1\n", "'-1' is no whole number"),
    "gender of another number": ("path,subjects,gender\nx.wav,a;b,f\n", "column `gender`: 1 values for 2 people"),
    "instant without zone": ("path,collected_at\nx.wav,2026-03-01T12:00:00\n", "has no time zone"),
    "no instant": ("path,collected_at\nx.wav,1767225600\n", "'1767225600' is no instant"),
    "no date": ("path,collected_at\nx.wav,2026-02-30\n", "is no instant"),
    "too few voices": ("path,subjects,speakers\nx.wav,a;b,1\n", "1 voices, but 2 people are said to speak"),
    "too many voices": ("path,subjects,complete,speakers\nx.wav,a,true,2\n", "says that only 1 people are heard"),
    "text of a folder": ("prefix,text\na,hello\n", "column `text`: belongs to one source"),
    "leaving the root": ("path,subject\n../x.wav,a\n", "'../x.wav' leaves its root"),
    "whole URI and root": ("path,root,subject\ngs://b/x.wav,r,a\n", "column `root`: a place that is a whole URI"),
    "extra without a name": ("path,extra.\nx.wav,a\n", "unknown column `extra.`"),
    "strangers": (
        'path,subject,spans\nx.wav,anna,"[{""subject_id"": ""ben"", ""start_s"": 0, ""end_s"": 1}]"\n',
        "spans name people who are not among the subjects: ben",
    ),
    "another channel": (
        'path,subjects,spans\nx.wav,a@0,"[{""subject_id"":""a"",""start_s"":0,""end_s"":1,""channel"":1}]"\n',
        "a speaks on channel 1, but is said to be on 0",
    ),
    "backward span": (
        'path,subject,spans\nx.wav,anna,"[{""subject_id"": ""anna"", ""start_s"": 2, ""end_s"": 1}]"\n',
        "a span needs start < end",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_meant_is_refused_with_its_place(tmp_path, case):
    text, said = REFUSED[case]
    with pytest.raises(ConfigError) as caught:
        catalogue_of(tmp_path, text)
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "catalogue.csv"))
    assert "\n" not in str(caught.value)


def test_a_duplicate_names_both_lines(tmp_path):
    with pytest.raises(ConfigError, match=r"line 4: 'x.wav' is named twice, and in .*, line 2 before"):
        catalogue_of(tmp_path, "path,subject\nx.wav,anna\ny.wav,anna\nx.wav,ben\n")


def test_two_rows_with_equal_right_to_a_source_are_refused_when_it_is_looked_up(tmp_path):
    catalogue = catalogue_of(tmp_path, "root,path,subject\n,x.wav,anna\nr,x.wav,ben\n")
    with pytest.raises(ConfigError, match=r"line 3: speaks of 'x.wav' in root r, as line 2 does"):
        catalogue.row_for("r", "x.wav")
    assert speaker_of(catalogue, "x.wav", "other") == ["anna"]


@pytest.mark.parametrize(
    "line",
    [
        '{"path": "x\\ud800.wav", "subject": "a"}',
        '{"path": "x.wav", "subject": "a\\ud800"}',
        '{"path": "x.wav", "subjects": ["a\\ud800"]}',
        '{"path": "x.wav", "text": "a\\ud800"}',
        '{"path": "x.wav", "extra": {"show": "a\\ud800"}}',
        '{"path": "x.wav", "extra": {"a\\ud800": "show"}}',
        '{"path": "x.wav", "grant_ids": [{"id": 3}]}',
        '{"path": "x.wav", "spans": [{"subject_id": "a", "start_s": NaN, "end_s": 2}]}',
    ],
)
def test_what_no_table_can_hold_is_refused(tmp_path, line):
    path = tmp_path / "c.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(ConfigError, match=r"c.jsonl, line 1"):
        load_catalogue(str(path))


def test_a_catalogue_can_lie_in_a_store():
    import fsspec

    with fsspec.open("memory://steward/catalogue.csv", "wb") as file:
        file.write(b"path,subject\nx.wav,anna\n")
    assert speaker_of(load_catalogue("memory://steward/catalogue.csv"), "x.wav") == ["anna"]
    with pytest.raises(ConfigError, match=r"memory://steward/other.csv: no such file"):
        load_catalogue("memory://steward/other.csv")


def test_a_catalogue_leaves_no_name_behind_however_its_process_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    catalogue = catalogue_of(tmp_path, "path,subject\nx.wav,anna\n")
    assert speaker_of(catalogue, "x.wav") == ["anna"]
    assert [path.name for path in tmp_path.iterdir()] == ["catalogue.csv"]


def test_what_was_read_again_is_the_same_row(tmp_path):
    text = "path,subject,complete\nx.wav,anna,true\n"
    one, other = (load_catalogue(csv_file(tmp_path, text, name)).entry_for("r", "x.wav") for name in ("a.csv", "b.csv"))
    assert one == other
