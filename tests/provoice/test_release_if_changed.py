"""`release create --if-changed`: a schedule makes a version when there is something new to train on, and no other."""

from __future__ import annotations

import json

import pytest

from lake.lake import Lake
from lake.releases import list_releases
from pipelines.release import create as creating
from tests.builders import Made, write_run
from tests.consents import ended
from tests.releases import USE_YAML, crowd


@pytest.fixture
def made(tmp_path):
    return crowd(tmp_path, 4, lasting=True)


@pytest.fixture
def release(provoice, made, tmp_path):
    use = tmp_path / "use.yaml"
    use.write_text(USE_YAML)

    def create(*words: str) -> int:
        done = provoice("release", "create", made.uri, "gold", "--use", use, "--if-changed", "--json", *words)
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)["version"]

    return create


def stored(made):
    return sorted(info.path for info in Lake.open(made.uri).root.list("releases"))


def test_the_same_again_is_no_version_and_leaves_nothing(release, made):
    assert release("--where", "snr_db >= 1") == 1
    before = stored(made)
    assert release("--where", "snr_db >= 1") == 1
    assert stored(made) == before


def test_so_it_is_where_the_index_has_several_parts(release, made, monkeypatch):
    monkeypatch.setattr(creating, "PART_ROWS", 5)
    assert [release(), release()] == [1, 1]
    assert len(list_releases(made.lake)[0].index) > 1


def test_another_wording_is_another_version(release):
    assert [release(), release("--where", "snr_db >= 1"), release("--where", "snr_db >= 1")] == [1, 2, 2]
    assert release("--where", "snr_db >= 1", "--record-openings") == 3


def test_a_withdrawal_is_a_change(release, made):
    assert release() == 1
    made.record(ended("p002", "g-p002"))
    assert [release(), release()] == [2, 2]


def test_what_came_in_is_a_change(release, made, tmp_path):
    assert release() == 1
    more = [Made("p001/more.wav", {"p001": "g-p001"}, 2, measured={"snr_db": 1.0})]
    write_run(made.lake, tmp_path, [more], run_id="second", ledger_position=1)
    assert [release(), release()] == [2, 2]


def test_without_the_option_it_is_made_again(provoice, release, made, tmp_path):
    assert release() == 1
    done = provoice("release", "create", made.uri, "gold", "--use", tmp_path / "use.yaml", "--json")
    assert json.loads(done.stdout)["version"] == 2
