"""A scan on every engine finds what it finds in one process, and says the same of what it could not open."""

from __future__ import annotations

import gzip

import pytest

from pipelines.engines import engine_named
from pipelines.engines.contract import Settings
from pipelines.verify.listings import scan_on
from pipelines.verify.scan import scan, surroundings
from pipelines.verify.seal import keyed, read_seal, write_seal
from pipelines.verify.work import ScanWork
from provoice.sealing import seal
from tests.builders import small_lake

# The engines' own: sockets and loops that they leave to the end of the interpreter.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)
KEY = "a key of thirty-two bytes, or so"


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """One in which much is to be found, and something cannot be opened."""
    lake = small_lake(tmp_path_factory.mktemp("small")).lake
    lake.root.create("logs/packed.gz", gzip.compress(b"a/anna.wav " * 1000))
    lake.root.create("logs/sealed.zip", b"PK\x03\x04\x14\0\x01\0\x08\0" + bytes(16) + b"\x01\0\0\0" + b"aXXXX")
    return lake


@pytest.mark.long
@pytest.mark.parametrize("engine", ["local", "ray", "beam"])
def test_every_engine_finds_the_same(engine, lake, tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.verify.work._BATCH_OBJECTS", 20)
    monkeypatch.setenv("PROVOICE_AUDIT_KEY", KEY)
    path = tmp_path / "anna.seal"
    write_seal(path, keyed(seal(lake, ["anna"]), KEY.encode()))
    needles = read_seal(str(path), KEY.encode())
    roots, expected = surroundings(lake.root)
    work = ScanWork(str(path), str(tmp_path / "work"), tuple(expected))
    settings = Settings("provoice-scan", processes=2)
    there = scan_on(engine_named(engine), settings, roots, needles, work, {"of": "a test"})
    here = scan(lake.root, needles)
    different = {"listed_at", "wall_s"}
    assert there.model_dump(exclude=different) == here.model_dump(exclude=different)
    assert len(here.unexpected) > 20
    assert [one.object.rpartition("/")[2] for one in here.not_opened] == ["sealed.zip"]
