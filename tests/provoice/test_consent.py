"""`provoice consent`: grants as people write them down, withdrawals, and where each stands."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from lake.lake import Lake
from provoice.cli.main import cli
from schemas.consent import TERMS

HEAD = "grant_id,subject_id,evidence_sha256,jurisdiction,valid_from,valid_until,effect,action," + ",".join(TERMS)
ANYTHING = ",".join(["any"] * len(TERMS))
EVIDENCE = "ab" * 32


def line(grant="g1", subject="anna", begins="2026-01-01", ends="2027-01-01", effect="permit", action="retain;annotate"):
    return f"{grant},{subject},{EVIDENCE},EU,{begins},{ends},{effect},{action},{ANYTHING}"


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """Runs a command line in an empty folder; returns its exit code and what it said."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str]:
        answer = CliRunner().invoke(cli, ["consent", *words])
        return answer.exit_code, answer.output

    return run


def written(tmp_path, *lines: str, name: str = "grants.csv") -> str:
    (tmp_path / name).write_text("\n".join(lines) + "\n")
    return name


def events(tmp_path):
    """What was said about people; a vocabulary comes before it."""
    first, *events = [event for _, event in Lake.open(str(tmp_path / "lake")).ledger().events()]
    assert first.type == "vocabulary"
    return events


def test_lines_of_one_grant_are_its_rules_and_bare_dates_take_the_stricter_end(ask, tmp_path):
    name = written(tmp_path, HEAD, line(), line(effect="prohibit", action="clone"), line("g2", "bert"))
    code, said = ask("import", "lake", name)
    assert (code, "2 given" in said, "2 people" in said) == (0, True, True)
    first = events(tmp_path)[0].grant
    assert [(rule.effect, rule.action) for rule in first.rules] == [
        ("permit", ("retain", "annotate")),
        ("prohibit", ("clone",)),
    ]
    assert first.valid_from == datetime(2026, 1, 2, tzinfo=UTC)
    assert first.valid_until == datetime(2027, 1, 1, tzinfo=UTC)


def test_the_same_file_again_changes_nothing(ask, tmp_path):
    name = written(tmp_path, HEAD, line())
    ask("import", "lake", name)
    code, said = ask("import", "lake", name)
    assert (code, "nothing new" in said, len(events(tmp_path))) == (0, True, 1)


def test_a_dry_run_says_what_would_change_and_writes_nothing(ask, tmp_path):
    name = written(tmp_path, HEAD, line())
    code, said = ask("import", "lake", name, "--dry-run")
    assert (code, "would append 1 event" in said) == (0, True)
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((HEAD.replace("effect", "efect"), line()), "unknown column `efect` (did you mean `effect`?)"),
        ((HEAD.replace(",genre", ""), line()), "columns missing: genre"),
        ((HEAD, line(ends="2025-01-01")), "line 2"),
        ((HEAD, line(action="retian")), "line 2"),
        ((HEAD, line(), line(subject="bert")), "line 3: grant g1 was begun at"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_written(ask, tmp_path, lines, said):
    code, told = ask("import", "lake", written(tmp_path, *lines))
    assert code == 2
    assert said in told
    assert not (tmp_path / "lake").exists()


def test_a_grant_is_never_edited(ask, tmp_path):
    ask("import", "lake", written(tmp_path, HEAD, line()))
    code, said = ask("import", "lake", written(tmp_path, HEAD, line(ends="2030-01-01"), name="other.csv"))
    assert (code, "under a new grant_id" in said, len(events(tmp_path))) == (2, True, 1)


def test_events_come_as_json_lines_too(ask, tmp_path):
    ask("import", "lake", written(tmp_path, HEAD, line()))
    refusal = {"type": "refused", "subject_id": "anna", "grant_id": "g1", "recorded_at": "2026-06-01T00:00:00Z"}
    code, said = ask("import", "lake", written(tmp_path, json.dumps(refusal), name="more.jsonl"))
    assert (code, "1 refused" in said) == (0, True)
    code, said = ask("import", "lake", written(tmp_path, "{", name="broken.jsonl"))
    assert (code, "broken.jsonl, line 1: not JSON" in said) == (2, True)


def test_an_ending_of_an_unknown_grant_is_refused(ask, tmp_path):
    ask("import", "lake", written(tmp_path, HEAD, line()))
    lost = {"type": "withdrawn", "subject_id": "anna", "grant_id": "nosuch"}
    code, said = ask("import", "lake", written(tmp_path, json.dumps(lost), name="more.jsonl"))
    assert (code, "nosuch, which is not in the ledger" in said) == (2, True)


def test_an_ending_of_another_persons_grant_is_refused_and_not_recorded(ask, tmp_path):
    ask("import", "lake", written(tmp_path, HEAD, line(), line("g2", "bert")))
    wrong = {"type": "withdrawn", "subject_id": "anna", "grant_id": "g2"}
    code, said = ask("import", "lake", written(tmp_path, json.dumps(wrong), name="more.jsonl"))
    assert (code, "which is not anna's but bert's" in said, len(events(tmp_path))) == (2, True, 2)


def test_who_withdraws_again_after_a_new_grant_has_withdrawn_that_too(ask, tmp_path):
    for month, grant in (("05", "g1"), ("07", "g2")):
        ask("import", "lake", written(tmp_path, HEAD, line(grant), name=f"{grant}.csv"))
        said = {"type": "withdrawn", "subject_id": "anna", "recorded_at": f"2026-{month}-04T09:30:00Z"}
        assert ask("import", "lake", written(tmp_path, json.dumps(said), name=f"{month}.jsonl"))[0] == 0
    shown = [json.loads(one)["standing"] for one in ask("show", "lake", "--json")[1].splitlines()]
    assert shown == ["withdrawn", "withdrawn"]
    # The letter of May, imported once more, is the same letter.
    assert "nothing new" in ask("import", "lake", "05.jsonl")[1]


def test_nobody_cannot_withdraw(ask, tmp_path):
    ask("import", "lake", written(tmp_path, HEAD, line()))
    code, said = ask("withdraw", "lake", "--subject", "")
    assert (code, "--subject is empty" in said, len(events(tmp_path))) == (2, True, 1)


def test_a_withdrawal_is_shown_and_keeps_its_place(ask, tmp_path):
    ask("import", "lake", written(tmp_path, HEAD, line(), line("g2", "bert")))
    code, said = ask("withdraw", "lake", "--subject", "anna")
    assert (code, "withdrawn at position 4: g1" in said) == (0, True)
    code, said = ask("show", "lake", "--json")
    standing = {grant["grant_id"]: grant["standing"] for grant in map(json.loads, said.splitlines())}
    assert standing["g1"] == "withdrawn"
    assert standing["g2"] != "withdrawn"
    assert ask("withdraw", "lake", "--subject", "anna", "--grant", "g2")[0] == 2


def test_somebody_the_ledger_has_not_heard_of_can_withdraw(ask, tmp_path):
    ask("import", "lake", written(tmp_path, HEAD, line()))
    assert "no grant was open" in ask("withdraw", "lake", "--subject", "cleo")[1]
    assert "their last word is `withdrawn`" in ask("show", "lake", "--subject", "cleo")[1]


def test_a_broken_ledger_refuses_with_exit_code_four(ask, tmp_path):
    ask("import", "lake", written(tmp_path, HEAD, line()))
    segment = next((tmp_path / "lake" / "consent" / "log").glob("*.jsonl"))
    segment.write_bytes(segment.read_bytes().replace(b"anna", b"bert"))
    code, said = ask("show", "lake")
    assert (code, "000000000000.jsonl" in said, "Traceback" in said) == (4, True, False)
