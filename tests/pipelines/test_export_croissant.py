"""Croissant files say what is there, to the digest, and mlcroissant finds no fault and reads the records."""

from __future__ import annotations

import hashlib
import json
import logging

import pyarrow as pa
import pyarrow.parquet
import pytest

from pipelines.export.croissant import croissant_of_release
from pipelines.export.record import Form
from schemas.consent_tables import RELEASE_INDEX_SCHEMA
from schemas.records import StoredObject
from tests.exports import ENDS, export_to, release, sample, samples

# What rdflib and pandas say of the way mlcroissant calls them.
pytestmark = [
    pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning"),
]
SAMPLES = samples()


@pytest.fixture
def opened(tmp_path, monkeypatch, caplog):
    """A Croissant file as mlcroissant opens it, without a fault, and with what it unpacks in a folder of this test."""
    import mlcroissant
    from etils import epath
    from mlcroissant._src.operation_graph.operations import extract

    monkeypatch.setattr(extract, "EXTRACT_PATH", epath.Path(tmp_path / "unpacked"))

    def open_it(path):
        with caplog.at_level(logging.WARNING):
            found = mlcroissant.Dataset(jsonld=str(path))
        assert found.metadata.ctx.issues.errors == set()
        assert found.metadata.ctx.issues.warnings == set()
        assert [one.message for one in caplog.records] == []
        return found

    return open_it


@pytest.mark.parametrize("form", Form)
def test_every_file_is_named_with_its_digest(tmp_path, opened, form):
    record = export_to(tmp_path / "out", form, SAMPLES)
    named = {one.content_url: one for one in opened(tmp_path / "out/croissant.json").metadata.file_objects}
    data = [one for one in record.files if one.kind != "croissant"]
    assert set(named) == {one.path for one in data}
    for path, one in named.items():
        content = (tmp_path / "out" / path).read_bytes()
        assert one.sha256 == hashlib.sha256(content).hexdigest()
        assert one.content_size == f"{len(content)} B"


def test_records_of_hugging_face_are_read_by_column(tmp_path, opened):
    export_to(tmp_path / "out", Form.HUGGINGFACE, SAMPLES)
    records = list(opened(tmp_path / "out/croissant.json").records("utterances"))
    assert [one["utterances/key"].decode() for one in records] == [one.key for one in SAMPLES]
    for one, expected in zip(records, SAMPLES, strict=True):
        assert one["utterances/audio"] == expected.audio
        text = one["utterances/text"]
        assert (text if text is None else text.decode()) == expected.text
        assert [s.decode() for s in one["utterances/subject_ids"]] == [j.subject_id for j in expected.justifications]
        assert [s.decode() for s in one["utterances/grant_ids"]] == [j.grant_id for j in expected.justifications]
        assert one["utterances/allowed_until"] == ENDS


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # mlcroissant leaves its files open
def test_records_of_webdataset_are_read_out_of_several_tars(tmp_path, opened):
    record = export_to(tmp_path / "out", Form.WEBDATASET, SAMPLES, shard_bytes=20_000)
    assert sum(one.kind == "shard" for one in record.files) > 1
    found = opened(tmp_path / "out/croissant.json")
    rows = {one["utterances/key"].decode(): json.loads(one["utterances/json"]) for one in found.records("utterances")}
    audio = {one["audio/key"].decode(): one["audio/audio"] for one in found.records("audio")}
    assert audio == {one.key: one.audio for one in SAMPLES}
    assert {key: row["text"] for key, row in rows.items()} == {one.key: one.text for one in SAMPLES}
    assert all(row["consent_lineage"]["release"] == "gold" for row in rows.values())


@pytest.mark.parametrize("form", [Form.NEMO, Form.LHOTSE])
def test_records_of_a_manifest_are_read_line_by_line(tmp_path, opened, form):
    export_to(tmp_path / "out", form, SAMPLES)
    records = list(opened(tmp_path / "out/croissant.json").records("utterances"))
    for one, expected in zip(records, SAMPLES, strict=True):
        assert one["utterances/key"].decode() == expected.key
        path = one["utterances/audio_filepath" if form is Form.NEMO else "utterances/recording"].decode()
        assert (tmp_path / "out" / path).read_bytes() == expected.audio
        assert [s.decode() for s in one["utterances/subject_ids"]] == [j.subject_id for j in expected.justifications]
        assert one["utterances/allowed_until"].decode() == "2026-09-01T00:00:00Z"


def test_a_release_is_described_by_its_index(tmp_path, opened):
    """As `release create` writes it: beside the index, with paths relative to itself."""
    (tmp_path / "index").mkdir()
    rows = [
        {
            "key": one.key, "recording_id": one.row["recording_id"], "run_id": "first", "unit_id": "u",
            "audio_sha256": one.row["audio_sha256"], "duration_s": one.row["duration_s"], "allowed_until": ENDS,
            "subject_ids": [j.subject_id for j in one.justifications],
        }
        for one in SAMPLES
    ]  # fmt: skip
    part = tmp_path / "index/part-00000.parquet"
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows, RELEASE_INDEX_SCHEMA), part)
    digest = hashlib.sha256(part.read_bytes()).hexdigest()
    stored = StoredObject(
        kind="index", path="releases/gold/2/index/part-00000.parquet", size_bytes=part.stat().st_size, sha256=digest
    )
    made = release(SAMPLES, index=(stored,))
    (tmp_path / "croissant.json").write_bytes(croissant_of_release(made))
    assert croissant_of_release(made) == (tmp_path / "croissant.json").read_bytes()
    found = opened(tmp_path / "croissant.json")
    assert [(one.content_url, one.sha256) for one in found.metadata.file_objects] == [
        ("index/part-00000.parquet", digest)
    ]
    records = list(found.records("utterances"))
    assert [one["utterances/key"].decode() for one in records] == [one.key for one in SAMPLES]
    assert [len(one["utterances/subject_ids"]) for one in records] == [1, 1, 1, 1, 300]
    assert all(one["utterances/allowed_until"] == ENDS for one in records)


def test_a_release_without_rows_is_described_too(tmp_path, opened):
    (tmp_path / "croissant.json").write_bytes(croissant_of_release(release()))
    assert opened(tmp_path / "croissant.json").metadata.record_sets == []


def test_what_is_allowed_stands_there_as_the_use_says(tmp_path, opened):
    export_to(tmp_path / "out", Form.WEBDATASET, [sample(0)])
    metadata = opened(tmp_path / "out/croissant.json").metadata
    assert metadata.name == "gold"
    assert metadata.version == "2.0.0"
    assert metadata.creators[0].name == "speech team"
    assert "train_asr" in metadata.data_use_cases[0]
    assert "personal data" in metadata.personal_sensitive_information[0]
    assert "2026-12-31" in metadata.data_release_maintenance_plan
    assert metadata.data_preprocessing_protocol[0].count("snr_db > 15") == 1
    offer = json.loads((tmp_path / "out/croissant.json").read_text())["usageInfo"]["odrl:permission"]
    assert offer["odrl:action"]["name"] == "train_asr"
    constraints = {
        one["name"]: (one["odrl:leftOperand"]["@id"], one["odrl:rightOperand"]) for one in offer["odrl:constraint"]
    }
    assert constraints == {
        "until": ("odrl:dateTime", "2026-12-31T00:00:00Z"),
        "genre": ("provoice:genre", "FB"),
        "recipient": ("odrl:recipient", "own"),
        "territory": ("odrl:spatial", "DE"),
    }
