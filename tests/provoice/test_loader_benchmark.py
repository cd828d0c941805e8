"""The benchmark compares the same thing: what provoice hands out is what webdataset finds in the same shards."""

from __future__ import annotations

import json

import pytest

from benchmarks import loader, loader_lake

pytest.importorskip("webdataset")
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
"""webdataset leaves tars open."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(loader_lake, "CACHE", tmp_path)
    return loader_lake.shards_lake(45, 10)


def test_both_hand_out_the_same_samples(folder):
    ours = {sample["__key__"]: sample for sample in loader.provoice(folder)}
    theirs = {sample["__key__"]: sample for sample in loader.webdataset(folder)}
    assert len(ours) == 45
    assert ours.keys() == theirs.keys()
    for key, sample in theirs.items():
        said = {"flac": sample["flac"], "json": json.loads(sample["json"]), "txt": sample["txt"].decode()}
        assert ours[key] == {"__key__": key, **said}


def test_every_contender_takes_every_sample(folder):
    for name, opened in loader.contenders(folder).items():
        assert loader.read_through(opened).samples == 45, name


def test_opening_sees_what_it_measures(tmp_path, monkeypatch):
    monkeypatch.setattr(loader_lake, "CACHE", tmp_path)
    text = loader.opening(loader_lake.index_lake(3000, per_unit=100), repeats=1)
    assert "3,000 rows, 151 events" in text
