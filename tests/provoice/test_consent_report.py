"""`provoice consent report`: what a person is told of themselves, and that nobody else is in it."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lake.lake import Lake
from pipelines.person.report import report_on
from pipelines.release.create import Wanted, create
from pipelines.snapshot import take_snapshot
from provoice.pages import Page, Section, as_html, as_markdown, as_text
from provoice.release_use import register_use
from schemas.ledger import Event, EventType, ReleaseRef
from tests.builders import small_lake
from tests.erasures import KEY, erased
from tests.releases import ANY_USE

NOW = datetime(2026, 7, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The small lake with a release that `asr-v3` was trained on; nothing here changes it."""
    return made_in(tmp_path_factory.mktemp("report"))


def made_in(folder: Path) -> Lake:
    lake = small_lake(folder).lake
    _, record = create(lake, Wanted("gold", ANY_USE, at=NOW))
    assert record is not None
    register_use(lake.root.uri, "gold", 1, model="asr-v3", owner="asr-team")
    ref = ReleaseRef(lake=lake.root.uri, name="gold", version=1, sha256=record.sha256, ledger_position=5)
    opened = Event(event_id="o", type=EventType.OPENED, recorded_at=NOW, release=ref, owner="eve", purpose="a test")
    lake.ledger().append([opened])
    return lake


def test_it_says_what_is_held_on_what_and_used_for_what(small, provoice):
    said = provoice("consent", "report", small.root.uri, "--subject", "anna")
    assert said.exit_code == 0, said.stderr
    for words in (
        "g-anna      yes     2020-01-01 to 2120-01-01  all your recordings  allows anything",
        "forbids clone",
        "raw: b/both.flac     not known  prepared",
        "raw: c/broken.wav",
        "The model asr-v3 was trained on gold@1; asr-team answers for it. It is in use.",
        "eve opened gold@1 on 2026-07-02 for a test.",
        "gold@1     train asr  g-anna, rule 0  3 ",
        "Until 2120-01-01, when the last of your permissions ends",
    ):
        assert words in said.stdout
    assert "ben" not in said.stdout
    assert "dora" not in said.stdout


def test_as_json_it_is_the_same(small, provoice):
    said = json.loads(provoice("consent", "report", small.root.uri, "--subject", "ben", "--json").stdout)
    assert "anna" not in json.dumps(said)
    both = [one for one in said["recordings"] if one["source_path"] == "b/both.flac"]
    assert [(one["is_current"], one["others"], one["utterances"]) for one in both] == [(True, 1, 1), (False, 1, 2)]
    assert (said["permissions"][0]["grant_id"], said["permissions"][0]["standing"]) == ("g-ben", "valid")
    assert [(one["release"], one["utterances"]) for one in said["releases"]] == [("gold", 2)]
    assert [(one["model"], one["state"]) for one in said["models"]] == [("asr-v3", "in_use")]


def test_a_snapshot_changes_nothing_of_it(tmp_path):
    lake = small_lake(tmp_path).lake
    people = ("anna", "ben", "dora", "carol", "erik", "nobody")
    before = [report_on(lake, one, NOW) for one in people]
    take_snapshot(lake)
    assert [report_on(lake, one, NOW) for one in people] == before
    assert [one.utterances for one in before] == [7, 4, 1, 0, 0, 0]


def test_of_whom_nothing_is_known_nothing_is_said(small, provoice):
    said = provoice("consent", "report", small.root.uri, "--subject", "an")
    assert "Nothing is known under this name." in said.stdout
    assert "What is held" not in said.stdout


@pytest.mark.parametrize(
    ("ending", "begins"), [("html", "<!doctype html>"), ("md", "# What is known of anna"), ("txt", "W")]
)
def test_a_page_is_written_once_for_its_owner_only(small, provoice, tmp_path, ending, begins):
    out = tmp_path / f"anna.{ending}"
    said = provoice("consent", "report", small.root.uri, "--subject", "anna", "--out", out)
    assert said.exit_code == 0, said.stderr
    assert out.read_text(encoding="utf-8").startswith(begins)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    again = provoice("consent", "report", small.root.uri, "--subject", "anna", "--out", out)
    assert (again.exit_code, "nothing is overwritten" in again.stderr) == (2, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--subject", " "), "--subject is empty"),
        (("--subject", "anna", "--out", "anna.pdf"), "the file ends in .htm, .html, .md, .txt"),
        (("--subject", "anna", "--out", "/nowhere/anna.md"), "cannot be written"),
    ],
)
def test_what_is_asked_wrongly_is_told(small, provoice, words, said):
    done = provoice("consent", "report", small.root.uri, *words)
    assert done.exit_code == 2
    assert said in done.stderr


def test_after_an_erasure_it_says_what_is_left(tmp_path, provoice, monkeypatch):
    monkeypatch.setenv("PROVOICE_SUPPRESSION_KEY", KEY)
    lake = made_in(tmp_path)
    erased(lake, "anna")
    found = report_on(lake, "anna", NOW)
    assert (found.recordings, found.planned, found.utterances) == ((), (), 0)
    assert [(one.record.version, one.utterances) for one in found.releases] == [(1, 3)]
    said = provoice("consent", "report", lake.root.uri, "--subject", "anna").stdout
    for words in (
        "Everything that was made from your voice was erased; this was finished on",
        "Nothing: no recording, no transcript, no measurement of your voice.",
        "g-anna      no: withdrawn on",
        "replaced: cannot be opened any more",
        "certificate 1",
        "suppression list",
    ):
        assert words in said
    assert "a/anna.wav" not in said


def test_words_of_others_are_no_marks():
    page = Page("a *name*", (Section("t", ("<b>5 | 6</b>",), ("x",), (("a|b `c`",),)),))
    assert as_markdown(page) == "# a \\*name\\*\n\n## t\n\n&lt;b>5 | 6&lt;/b>\n\n| x |\n| --- |\n| a\\|b \\`c\\` |\n"
    assert "&lt;b&gt;5 | 6&lt;/b&gt;" in as_html(page)
    assert as_text(page) == "a *name*\n\nt\n  <b>5 | 6</b>\n  x\n  a|b `c`\n"
