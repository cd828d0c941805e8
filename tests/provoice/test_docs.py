"""The documents say what the code does: made parts are up to date, nothing is left out, links lead somewhere."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime

import pytest

from pipelines.grants import read_events
from provoice.sql import VIEWS
from schemas.catalogue import Role
from schemas.consent import TERMS, Action, Binding, DenyReason, Grant
from schemas.errors import Reason
from schemas.ledger import EventType
from schemas.tables import PLAN_FIELDS, RECORDING_FIELDS, UTTERANCE_FIELDS
from tests.doc_tables import DOCS, commands, made_parts, remade, tables
from transforms.reverberation import Reverberation, trust_flags

PACKAGES = ("schemas", "transforms", "lake", "pipelines", "provoice")
INNER_VARIABLES = {"PYTHONPATH", "PYTHONSAFEPATH"}
"""Set for our own worker processes, and no business of a user's."""

PAGES = sorted(DOCS.glob("*.md"))
EACH_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def read(name):
    return (DOCS / name).read_text(encoding="utf-8")


def section(text, heading):
    """The text below `heading`, up to the next heading of its level."""
    mark = heading.split(" ")[0]
    _, found, after = text.partition(f"\n{heading}\n")
    assert found, f"there is no section {heading!r}"
    return re.split(rf"\n{mark} ", after)[0]


@EACH_PAGE
def test_made_parts_are_what_the_code_says_today(page):
    text = page.read_text(encoding="utf-8")
    assert remade(text) == text, "run: python -m tests.doc_tables"


def test_every_made_part_stands_on_some_page():
    assert {part for page in PAGES for part in made_parts(page.read_text(encoding="utf-8"))} == set(tables())


@pytest.mark.parametrize(("words", "command"), list(commands()))
def test_every_command_has_its_section_with_all_its_options(words, command):
    said = section(read("cli.md"), f"### `provoice {words}`")
    for option in (name for parameter in command.params for name in parameter.opts if name.startswith("-")):
        assert f"`{option}" in said or f", {option}" in said


@pytest.mark.parametrize(
    ("heading", "fields"),
    [
        ("## `utterances`", UTTERANCE_FIELDS),
        ("## `recordings`", RECORDING_FIELDS),
        ("## `plans`, `runs`, `commits`, `grants`, `events`", PLAN_FIELDS),
    ],
)
def test_every_column_is_described(heading, fields):
    said = section(read("manifests.md"), heading)
    for field in fields:
        assert f"| `{field.name}` |" in said


@pytest.mark.parametrize(
    ("heading", "reasons"),
    [("## Why a source or a cut is rejected", Reason), ("## Why a source is held", DenyReason)],
)
def test_every_reason_is_explained(heading, reasons):
    said = section(read("manifests.md"), heading)
    for reason in reasons:
        assert f"| `{reason.value}` |" in said


def test_every_view_word_and_event_is_named():
    for name in VIEWS:
        assert f"`{name}`" in read("cli.md")
    for word in (*Binding, *Role):
        assert f"`{word.value}`" in read("manifests.md")
    for word in (*Action, *EventType, *TERMS, *Grant.model_fields):
        assert f"`{word}`" in read("consent.md")


def test_every_environment_variable_that_we_read_or_set_is_named():
    read_or_set = re.compile(r"environ(?:\.get|\.setdefault)?[\[(]\"([A-Z_]+)\"")
    sources = [path for package in PACKAGES for path in (DOCS.parent / package).rglob("*.py")]
    named = {name for path in sources for name in read_or_set.findall(path.read_text(encoding="utf-8"))}
    assert {"PROVOICE_DEBUG", "PROVOICE_CACHE"} <= named
    for name in named - INNER_VARIABLES:
        assert f"`{name}`" in read("cli.md") or f"`${name}" in read("cli.md")


def test_every_quality_flag_is_named():
    bounds = [Reverberation(c50_db=c, rt60_s=r) for c in (-99.0, 0.0, 99.0) for r in (0.0, 0.5, 99.0)]
    flags = {flag for found in bounds for flag in trust_flags(found, snr_db=10.0)}
    assert len(flags) == 5
    for flag in flags:
        assert f"`{flag}`" in read("manifests.md")


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_the_grants_on_the_page_are_grants(ending, tmp_path):
    text = re.search(rf"```{ending}\n(.*?)```", read("consent.md"), re.DOTALL)
    written = tmp_path / f"grants.{ending}"
    written.write_text(text[1])
    events = list(read_events(written, datetime(2026, 6, 1, tzinfo=UTC)))
    assert events[0].grant.grant_id == "g-1041-a"
    assert [rule.effect for rule in events[0].grant.rules] == ["permit", "prohibit"]
    assert events[0].grant.valid_from == datetime(2026, 2, 1, tzinfo=UTC)
    assert events[0].grant.valid_until == datetime(2028, 1, 31, tzinfo=UTC)


QUESTIONS = re.findall(r"^provoice sql LAKE (\".*\")$", read("cli.md"), re.MULTILINE)


@pytest.mark.parametrize("question", QUESTIONS, ids=range(len(QUESTIONS)))
def test_the_questions_on_the_page_can_be_asked(question, provoice, lake):
    done = provoice("sql", lake.uri, *shlex.split(question))
    assert done.exit_code == 0, done.stderr
    assert len(done.stdout.splitlines()) >= 2


def anchors(text):
    """What headings of a page are called in links to it."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@EACH_PAGE
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = page.parent / path if path else page
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found.read_text(encoding="utf-8")), target
