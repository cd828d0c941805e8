"""`provoice erase` as it is typed and read."""

from __future__ import annotations

import json
import shlex

import pytest

from lake.lake import Lake
from pipelines.snapshot import take_snapshot
from tests.builders import ANNA, BEN, BOTH, small_lake, write_run
from tests.erasures import KEY, files_of, holding, withdrawn
from tests.releases import crowd


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("PROVOICE_SUPPRESSION_KEY", KEY)


@pytest.fixture
def lake(tmp_path):
    return small_lake(tmp_path, str(tmp_path / "my lake")).lake


def test_the_last_line_is_the_command_that_does_it(lake, provoice):
    withdrawn(lake, "anna")
    before = files_of(lake)
    said = provoice("erase", lake.root.uri, "--subject", "anna")
    assert said.exit_code == 0, said.stderr
    assert files_of(lake) == before
    for words in ("would erase anna", "10 utterances, 10.0 s, of 7 recordings", "4 units", "3 plans", "1 other person"):
        assert words in said.stdout
    *_, last = said.stdout.splitlines()
    assert shlex.split(last) == ["provoice", "erase", lake.root.uri, "--subject", "anna", "--yes"]
    done = provoice(*shlex.split(last)[1:])
    assert done.exit_code == 0, done.stderr
    assert "erased anna (erasure 1)" in done.stdout
    assert "certificates/000001.0.json (provisional" in done.stdout
    assert holding(lake, "a/anna.wav") == []
    again = provoice(*shlex.split(last)[1:], "--json")
    assert json.loads(again.stdout)["units"] == 0


def test_everybody_who_is_due_goes_together(tmp_path, provoice):
    made = crowd(tmp_path, people=4)
    nobody = provoice("erase", made.uri, "--due", "--yes")
    assert "nobody who has withdrawn has anything left" in nobody.stdout
    withdrawn(made.lake, "p000", "p002", "stranger")
    said = json.loads(provoice("erase", made.uri, "--due", "--json").stdout)
    assert (said["subjects"], said["utterances"], said["recordings"]) == (["p000", "p002"], 8, 4)
    done = json.loads(provoice("erase", made.uri, "--due", "--yes", "--json").stdout)
    assert (done["is_finished"], done["subjects"], done["replaced"]) == (True, ["p000", "p002"], {})
    assert provoice("erase", made.uri, "--due", "--json").stdout == "{}\n"


def test_what_was_begun_is_due_too(tmp_path, provoice):
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    write_run(lake, tmp_path, [[ANNA, BEN], [BOTH]], run_id="r", committed=1)
    withdrawn(lake, "anna")
    first = provoice("erase", lake.root.uri, "--subject", "anna", "--yes")
    assert first.exit_code == 0, first.stderr
    assert "erasing anna (erasure 1)" in first.stdout
    assert "not finished: a worker may still have some of it in hand" in first.stdout
    second = json.loads(provoice("erase", lake.root.uri, "--due", "--yes", "--json").stdout)
    assert (second["erasure"], second["is_finished"]) == (1, False)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "say whom to erase"),
        (("--subject", "anna", "--due"), 2, "not both"),
        (("--subject", "ben"), 2, "g-ben of ben still stands"),
        (("--subject", " "), 2, "--subject is empty"),
    ],
)
def test_what_is_asked_wrongly_is_told(lake, provoice, words, code, said):
    done = provoice("erase", lake.root.uri, *words, "--yes")
    assert done.exit_code == code
    assert said in done.stderr


def test_without_its_key_it_is_refused(lake, provoice, monkeypatch):
    withdrawn(lake, "anna")
    monkeypatch.setenv("PROVOICE_SUPPRESSION_KEY", "short")
    assert provoice("erase", lake.root.uri, "--subject", "anna", "--yes").exit_code == 2
    monkeypatch.delenv("PROVOICE_SUPPRESSION_KEY")
    refused = provoice("erase", lake.root.uri, "--subject", "anna", "--yes")
    assert refused.exit_code == 4
    assert "PROVOICE_SUPPRESSION_KEY" in refused.stderr


def test_the_key_may_lie_in_a_file(lake, provoice, tmp_path, monkeypatch):
    (tmp_path / "secret").write_text(KEY + "\n")
    monkeypatch.delenv("PROVOICE_SUPPRESSION_KEY")
    monkeypatch.setenv("PROVOICE_SUPPRESSION_KEY_URI", str(tmp_path / "secret"))
    withdrawn(lake, "anna")
    assert provoice("erase", lake.root.uri, "--subject", "anna", "--yes").exit_code == 0
    monkeypatch.delenv("PROVOICE_SUPPRESSION_KEY_URI")
    monkeypatch.setenv("PROVOICE_SUPPRESSION_KEY", KEY)
    withdrawn(lake, "ben")
    assert provoice("erase", lake.root.uri, "--subject", "ben", "--yes").exit_code == 0


def test_a_scan_that_trusts_nobody_finds_nothing(lake, provoice, tmp_path):
    """It has sealed before what it looks for, and knows nothing of how it was erased."""
    take_snapshot(lake)
    withdrawn(lake, "anna")
    sealed = provoice("audit", "seal", lake.root.uri, "--subject", "anna", "--out", tmp_path / "seal")
    assert sealed.exit_code == 0, sealed.stderr
    scan = ("audit", "scan", lake.root.uri, "--seal", tmp_path / "seal", "--workers", "1")
    assert provoice(*scan).exit_code == 4
    assert provoice("erase", lake.root.uri, "--subject", "anna", "--yes").exit_code == 0
    found = provoice(*scan)
    assert found.exit_code == 0, found.stdout
