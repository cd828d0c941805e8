"""One person in a hundred withdraws: of their 1,000 utterances among 100,000, none is in any export."""

from __future__ import annotations

import gzip
import json
import tarfile
from glob import glob

import pytest

from pipelines.export.record import Form
from provoice.release_export import export_release
from tests.consents import ended
from tests.provoice.loader_lakes import NAME, Clock, voices_lake

PERSON = "p37"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """100 people with 1,000 utterances each, and a release of them all; then one withdraws."""
    lake = voices_lake(
        tmp_path_factory.mktemp("hundred"), people=100, units=10, sources=100, utterances=100, part_rows=20_000
    )
    lake.lake.ledger().append([ended(PERSON)])
    return lake


def webdataset_keys(out):
    for path in glob(f"{out}/shards/*.tar"):
        with tarfile.open(path) as tar:
            yield from {name.partition(".")[0] for name in tar.getnames()}


def lhotse_keys(out):
    with gzip.open(f"{out}/cuts.jsonl.gz", "rt") as file:
        yield from (json.loads(line)["id"] for line in file)


def nemo_keys(out):
    with open(f"{out}/manifest.jsonl") as file:
        yield from (json.loads(line)["key"] for line in file)


def huggingface_keys(out):
    import pyarrow.parquet

    for path in glob(f"{out}/data/*.parquet"):
        yield from pyarrow.parquet.read_table(path, columns=["key"]).column("key").to_pylist()


KEYS = {
    Form.WEBDATASET: webdataset_keys,
    Form.LHOTSE: lhotse_keys,
    Form.NEMO: nemo_keys,
    Form.HUGGINGFACE: huggingface_keys,
}


@pytest.mark.long
@pytest.mark.parametrize("form", Form)
def test_none_of_a_thousand_denied_among_a_hundred_thousand_leaks(made, tmp_path, form):
    record = export_release(
        made.uri, NAME, None, str(tmp_path / "out"), form, owner="o", skip_denied=True, clock=Clock()
    )
    gone = made.keys_of[PERSON]
    assert len(gone) == 1000
    assert record.skipped == {"withdrawn": 1000}
    found = list(KEYS[form](tmp_path / "out"))
    assert len(found) == record.utterances == 99_000
    assert set(found) == made.keys - gone
    names = {path.name.partition(".")[0] for path in (tmp_path / "out").rglob("audio/*/*")}
    assert not names & gone
    for path in (*glob(f"{tmp_path}/out/*.json*"), *glob(f"{tmp_path}/out/*.md")):
        with open(path, "rb") as file:
            content = file.read()
        assert PERSON.encode() + b'"' not in content
