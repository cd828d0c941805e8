"""Views about uses: who used what on which permission, what leans on one that had ended, who has not answered."""

from __future__ import annotations

import socket
from datetime import UTC, datetime

import pytest

from lake.lake import Lake
from lake.releases import create_release, read_release
from pipelines.notices.tell import tell
from provoice.release_use import register_use
from provoice.sql import connect, records
from tests.consents import ended, given, grant, rule
from tests.erasures import KEY, erased, withdrawn
from tests.releases import ANY_USE, AT, crowd

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
LASTING = ANY_USE.model_copy(update={"until": datetime(2099, 1, 1, tzinfo=UTC)})


@pytest.fixture
def made(tmp_path):
    """Three people in `gold@1`, on which `asr-v1` was trained."""
    made = crowd(tmp_path, people=3, sources=1, lasting=True)
    made.release(use=LASTING)
    register_use(made.uri, "gold", 1, model="asr-v1", owner="asr-team", note="first try")
    return made


def sql(made, query):
    with connect(Lake.open(made.uri), query) as connection:
        return records(connection, query)


def test_who_used_what(made):
    (use,) = sql(made, "from uses")
    assert (use["type"], use["model"], use["owner"], use["action"], use["state"]) == (
        "used", "asr-v1", "asr-team", "train_asr", "in_use",
    )  # fmt: skip
    assert (use["utterances"], use["audio_s"], use["people"], use["permissions"]) == (6, 6.0, 3, 3)


def test_on_which_grant_and_rule(made):
    found = sql(made, "select subject_id, grant_id, rule, utterances, model from uses_by_grant order by 1")
    assert [tuple(row.values()) for row in found] == [(f"p00{n}", f"g-p00{n}", 0, 2, "asr-v1") for n in range(3)]
    (row,) = sql(made, "select count(*) as n, bool_and(is_stored) as stored from audit")
    assert row == {"n": 3, "stored": True}


def test_what_was_trained_before_a_withdrawal_does_not_come_after_it(made):
    withdrawn(made.lake, "p001")
    assert sql(made, "from uses_after_withdrawal") == []


def test_what_is_trained_after_a_withdrawal_is_found(made):
    withdrawn(made.lake, "p001")
    register_use(made.uri, "gold", 1, model="late", owner="late-team")
    (row,) = sql(made, "from uses_after_withdrawal")
    assert (row["what"], row["model"], row["subject_id"], row["grant_id"], row["ended"], row["utterances"]) == (
        "used", "late", "p001", "g-p001", "withdrawn", 2,
    )  # fmt: skip
    assert row["ended_position"] < row["position"]


def test_it_is_found_after_an_erasure_too(made, monkeypatch):
    monkeypatch.setenv("PROVOICE_SUPPRESSION_KEY", KEY)
    erased(made.lake, "p001")
    assert sql(made, "from uses_after_withdrawal") == []
    register_use(made.uri, "gold", 1, model="late", owner="late-team")
    assert [row["subject_id"] for row in sql(made, "from uses_after_withdrawal")] == ["p001"]


def test_a_release_that_was_decided_on_what_had_ended_is_found(made):
    """As no provoice makes one: it says that it read the withdrawal, and holds the person all the same."""
    record = read_release(made.lake, "gold")
    position = made.record(ended("p002"))
    create_release(made.lake, record.model_copy(update={"version": 2, "ledger_position": position}).sealed())
    (row,) = sql(made, "from uses_after_withdrawal")
    assert (row["what"], row["version"], row["subject_id"], row["model"]) == ("released", 2, "p002", None)


@pytest.mark.parametrize(("action", "is_renewed"), [("any", True), ("train_tts", False)])
def test_a_renewal_is_a_permission_if_it_permits_the_use(made, action, is_renewed):
    late = datetime(2120, 1, 1, tzinfo=UTC)
    made.record(given(grant("p001", "g-new", [rule("permit", [action], durable_until=late)], valid_until=late)))
    made.record(ended("p001", "g-p001"))
    register_use(made.uri, "gold", 1, model="late", owner="late-team")
    assert bool(sql(made, "from uses_after_withdrawal")) is not is_renewed


def test_notices_are_overdue_until_somebody_answers(made, provoice):
    withdrawn(made.lake, "p001")
    (name,) = tell(made.lake, LONG_AGO).written
    (row,) = sql(made, "from notices_overdue")
    assert (row["notice"], row["owner"], row["people"], row["state"]) == (name, "asr-team", 1, "trained_with_subject")
    wrong = provoice("notify", made.uri, "--acknowledge", name, "--owner", "somebody")
    assert (wrong.exit_code, "asr-team answers for notice" in wrong.stderr) == (2, True)
    done = provoice("notify", made.uri, "--acknowledge", name, "--owner", "asr-team")
    assert done.exit_code == 0, done.stderr
    assert sql(made, "from notices_overdue") == []
    (row,) = sql(made, "select is_overdue, acknowledged_at is not null as was_read from notices")
    assert row == {"is_overdue": False, "was_read": True}


def test_a_retired_model_answers_too(made, provoice):
    withdrawn(made.lake, "p001")
    tell(made.lake, LONG_AGO)
    said = provoice("model", "mark", made.uri, "asr-v1", "retired", "--owner", "asr-team")
    assert said.exit_code == 0, said.stderr
    assert "asr-v1 is retired (was trained with subject)" in said.stdout
    assert sql(made, "from notices_overdue") == []
    (row,) = sql(made, "select state, people_withdrawn, owners from model_states")
    assert row == {"state": "retired", "people_withdrawn": 1, "owners": ["asr-team"]}
    assert "asr-v1  retired since" in provoice("model", "list", made.uri).stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("asr-v2", "retired", "--owner", "asr-team"), "no model asr-v2 is registered (did you mean `asr-v1`?)"),
        (("asr-v1", "retired", "--owner", "x"), "asr-team answers for model asr-v1, not x"),
        (("asr-v1", "exempt", "--owner", "asr-team"), "an exemption needs its --reason"),
        (("asr-v1", "gone", "--owner", "asr-team"), "'gone' is not one of"),
    ],
)
def test_what_is_marked_wrongly_is_told(made, provoice, words, said):
    done = provoice("model", "mark", made.uri, *words)
    assert done.exit_code == 2
    assert said in done.stderr


def test_a_withdrawal_on_the_command_line_tells_at_once(made, provoice):
    done = provoice("consent", "withdraw", made.uri, "--subject", "p001")
    assert done.stdout.splitlines()[-1] == "1 notice written"
    assert (
        "asr-team, asr-v1: 2 utterances, 2.0 s of gold@1 taken back; due"
        in provoice("notify", made.uri, "--list").stdout
    )
    assert provoice("notify", made.uri).stdout == "no new notice\n"
    late = provoice("release", "use", made.uri, "gold@1", "--model", "late", "--owner", "late-team")
    assert "1 person in it has taken that back" in late.stdout


def test_what_no_webhook_took_is_told_and_is_no_success(made, provoice, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    monkeypatch.setattr("pipelines.notices.webhook._PAUSES_S", (0.0,))
    for name, value in (("no_proxy", "127.0.0.1"), ("PROVOICE_NOTICE_WEBHOOK", f"http://127.0.0.1:{port}/secret")):
        monkeypatch.setenv(name, value)
    done = provoice("consent", "withdraw", made.uri, "--subject", "p001")
    assert done.exit_code == 0, done.stderr
    assert "withdrawn at position" in done.stdout
    assert "1 not sent: 127.0.0.1: " in done.stdout
    again = provoice("notify", made.uri)
    assert (again.exit_code, "1 not sent" in again.stdout, "secret" in again.stdout) == (1, True, False)


def test_a_person_on_one_row(made, monkeypatch):
    monkeypatch.setenv("PROVOICE_SUPPRESSION_KEY", KEY)
    (row,) = sql(made, "from subject_report where subject_id = 'p001'")
    assert (row["grants"], row["valid_grants"], row["recordings"], row["utterances"], row["audio_s"]) == (1, 1, 1, 2, 2)
    assert (row["releases"], row["models"], row["erased_at"]) == (["gold@1"], ["asr-v1"], None)
    erased(made.lake, "p001")
    (row,) = sql(made, "from subject_report where subject_id = 'p001'")
    assert (row["valid_grants"], row["utterances"], row["last_ended"]) == (0, 0, "withdrawn")
    assert (row["releases"], row["models"]) == (["gold@1"], ["asr-v1"])
    assert row["erased_at"] >= row["last_ended_at"] > AT
