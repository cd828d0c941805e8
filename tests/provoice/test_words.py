"""Figures as a person reads them, and the account of a run."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime

import pytest

from provoice import words
from schemas.records import Counts, RunRecord, StoredObject


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0.0 s"), (41.23, "41.2 s"), (200, "3 min 20 s"), (3600, "1 h 00 min"), (7530, "2 h 05 min")],
)
def test_durations_are_in_the_unit_that_reads_well(seconds, said):
    assert words.hours(seconds) == said


@pytest.mark.parametrize(
    ("size_bytes", "said"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3 << 29, "1.5 GiB"), (1 << 52, "4096.0 TiB")],
)
def test_sizes_are_in_powers_of_1024(size_bytes, said):
    assert words.size(size_bytes) == said


def test_one_is_singular_and_many_have_thousands_apart():
    assert words.several(1, "source") == "1 source"
    assert words.several(0, "source") == "0 sources"
    assert words.several(12_345, "person", "people") == "12,345 people"


def test_reasons_come_most_frequent_first_and_then_by_name():
    assert words.reasons({"silent": 1, "empty": 1, "no_speech": 1200}) == "1,200 no_speech, 1 empty, 1 silent"
    assert words.reasons({}) == ""


RUN = RunRecord(
    number=1, run_id="first", recipe_sha256="a" * 64, roots={"raw": "/data"}, units=1, sources=9, ignored=2,
    estimated_s=1.0, created_at=datetime(2026, 6, 1, tzinfo=UTC),
    plan=StoredObject(kind="plan", path="p", size_bytes=1, sha256="a" * 64),
)  # fmt: skip
COUNTS = Counts(
    sources=9, emitted=4, rejected={"silent": 2, "unreadable": 1}, held={"no_grant": 1}, erased=1, utterances=6,
    source_s=3700.0, utterance_s=65.0, utterances_rejected={"too_short": 3},
)  # fmt: skip


def test_the_account_adds_up_in_its_last_line():
    told = words.account(RUN, COUNTS, 61.0).splitlines()
    assert told[0] == "run first: 9 sources, 1 h 01 min of audio, in 1 min 01 s"
    assert told[1].split() == ["emitted", "4", "6", "utterances,", "1", "min", "05", "s"]
    assert told[2].split() == ["rejected", "3", "2", "silent,", "1", "unreadable"]
    assert "cuts put aside: 3 too_short" in told[4]
    assert told[5].split()[:2] == ["ignored", "2"]
    assert told[-1] == "  9 sources = 4 emitted + 3 rejected + 1 held + 1 erased"


def test_nothing_put_aside_takes_no_line():
    told = words.account(RUN.model_copy(update={"ignored": 0}), Counts(sources=1, emitted=1), 1.0)
    assert "cuts put aside" not in told
    assert "ignored" not in told
    assert not any(line.endswith(" ") for line in told.splitlines())


def test_the_next_commands_can_be_pasted_into_a_shell():
    told = words.where_to_look("/my lakes/it's one", COUNTS)
    lines = [shlex.split(line) for line in told.splitlines() if line.strip()]
    assert [line[:3] for line in lines] == [
        ["provoice", "sql", "/my lakes/it's one"],
        ["provoice", "sql", "/my lakes/it's one"],
        ["provoice", "report", "/my lakes/it's one"],
    ]
    assert "status <> 'emitted'" in lines[1][3]
    assert "status <>" not in words.where_to_look("lake", Counts(sources=1, emitted=1))


def test_the_next_questions_are_questions_that_can_be_asked(provoice, lake):
    for line in words.where_to_look(lake.uri, COUNTS).splitlines():
        command = shlex.split(line)
        if command[1:2] == ["sql"]:
            done = provoice(*command[1:])
            assert done.exit_code == 0, done.stderr
