"""An erasure on every engine: the same units are written anew, to the byte."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lake.lake import Lake
from pipelines.engines.contract import Settings
from pipelines.erase.erase import Wanted, erase
from tests.builders import small_lake
from tests.erasures import KEY, holding, withdrawn
from tests.runs import digests

# The engines' own: sockets and loops that they leave to the end of the interpreter.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """A lake from which anna has withdrawn."""
    lake = small_lake(tmp_path_factory.mktemp("before")).lake
    withdrawn(lake, "anna")
    return Path(lake.root.uri)


@pytest.fixture(scope="module")
def golden(before, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        return erased_on("local", before, tmp_path_factory.mktemp("local"), patch)


def erased_on(engine, before, folder, monkeypatch):
    monkeypatch.setenv("PROVOICE_SUPPRESSION_KEY", KEY)
    place = shutil.copytree(before, folder / "lake")
    lake = Lake.open(str(place))
    outcome = erase(lake, Wanted(("anna",), engine=engine, settings=Settings("provoice-erase", processes=2)))
    assert (outcome.is_finished, outcome.units) == (True, 4)
    assert holding(lake, "a/anna.wav") == []
    return digests(place)


@pytest.mark.parametrize("engine", [pytest.param("ray", marks=pytest.mark.long), "beam"])
def test_every_engine_leaves_the_same_bytes(engine, before, golden, tmp_path, monkeypatch):
    assert erased_on(engine, before, tmp_path, monkeypatch) == golden
