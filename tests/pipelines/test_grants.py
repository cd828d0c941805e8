"""Grants and events as people write them down: what a line means, what is refused, and how that is said."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.grant_lines import KnownRules
from pipelines.grants import Lines, events_in, read_events
from pipelines.import_staging import text_of
from schemas.consent import TERMS
from schemas.errors import ConfigError
from schemas.ledger import ABOUT_MODELS, ABOUT_RELEASES, EventType
from tests.consents import EVIDENCE, NOW, VOCABULARY
from transforms.consent import fold

GRANT = ("grant_id", "subject_id", "evidence_sha256", "jurisdiction", "valid_from", "valid_until")
HEAD = ",".join([*GRANT, "effect", "action", *TERMS])
ANYTHING = ",".join(["any"] * len(TERMS))


def line(grant_id="g1", subject="anna", action="retain;annotate", effect="permit", more=""):
    return f"{grant_id},{subject},{EVIDENCE},EU,2026-01-01,2027-01-01,{effect},{action},{ANYTHING}{more}"


def plain(**changes):
    """A grant as a line of JSONL has it."""
    rule = {"effect": "permit", "action": ["retain"], **{term: ["any"] for term in TERMS}}
    return {
        "grant_id": "g1", "subject_id": "anna", "evidence_sha256": EVIDENCE, "jurisdiction": "EU",
        "scope": {"kind": "all"}, "valid_from": "2026-01-01", "valid_until": "2027-01-01", "rules": [rule], **changes,
    }  # fmt: skip


@pytest.fixture
def read(tmp_path):
    """The events of a file with these lines; dictionaries are written as JSON."""

    def events(*lines, name=None, encoding="utf-8"):
        text = "\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines) + "\n"
        written = tmp_path / (name or ("grants.csv" if text.lstrip("\ufeff ").startswith("grant_id") else "g.jsonl"))
        written.write_bytes(text.encode(encoding))
        return list(read_events(written, NOW))

    return events


def refusal(read, *lines, **options):
    with pytest.raises(ConfigError) as refused:
        read(*lines, **options)
    assert "\n" not in str(refused.value)
    return str(refused.value)


# --- what a line means ------------------------------------------------------------------------------------------------


def test_both_forms_of_a_grant_say_the_same(read):
    (from_csv,) = read(HEAD, line(action="retain"))
    (from_json,) = read(plain())
    assert from_csv == from_json
    assert (from_csv.type, from_csv.subject_id, from_csv.grant_id) == (EventType.GIVEN, "anna", "g1")
    assert from_csv.recorded_at == NOW


def test_a_bare_date_takes_the_stricter_end_of_its_day(read):
    scope = {"kind": "collected", "collected_from": "2026-03-01", "collected_until": "2026-04-01"}
    rule = {**plain()["rules"][0], "durable_until": "2026-09-01"}
    (event,) = read(plain(scope=scope, rules=[rule]))
    grant = event.grant
    assert (grant.valid_from, grant.valid_until) == (datetime(2026, 1, 2, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    assert grant.scope.collected_from == datetime(2026, 3, 2, tzinfo=UTC)
    assert grant.scope.collected_until == datetime(2026, 4, 1, tzinfo=UTC)
    assert grant.rules[0].durable_until == datetime(2026, 9, 1, tzinfo=UTC)


def test_csv_has_columns_for_the_scope_and_for_how_long(read):
    head = HEAD + ",collected_from,collected_until,durable_until"
    (event,) = read(head, line(more=",2026-03-01,2026-04-01,2026-09-01"))
    assert event.grant.scope.kind == "collected"
    assert event.grant.scope.collected_until == datetime(2026, 4, 1, tzinfo=UTC)
    assert event.grant.rules[0].durable_until == datetime(2026, 9, 1, tzinfo=UTC)
    (event,) = read(head, line(more=",,,"))
    assert (event.grant.scope.kind, event.grant.rules[0].durable_until) == ("all", None)


def test_lines_of_one_grant_need_not_stand_together(read):
    first, second = read(HEAD, line("g1"), line("g2", "ben"), line("g1", effect="prohibit", action="clone"))
    assert [rule.effect for rule in first.grant.rules] == ["permit", "prohibit"]
    assert second.subject_id == "ben"


def test_what_spreadsheets_do_to_a_file_changes_nothing(read):
    expected = read(HEAD, line())
    spaced = ", ".join(HEAD.split(",")), line().replace(",", " , ").replace(";", " ; ")
    assert read(*spaced) == expected
    assert read(HEAD, line(), encoding="utf-8-sig") == expected
    assert read(f"{HEAD}\r", f"{line()}\r", ",,,,,\r", "\r") == expected
    assert read(HEAD, line().replace("retain;annotate", '"retain;\nannotate"')) == expected


def test_a_line_of_json_ends_only_at_its_end(read):
    note = "one\u2028two\x85three"
    said = {"type": "withdrawn", "subject_id": "anna", "recorded_at": "2026-05-04T09:30:00Z", "note": note}
    (event,) = read(json.dumps(said, ensure_ascii=False))
    assert event.note == note


# --- said once, and said again ----------------------------------------------------------------------------------------


def test_the_same_line_is_the_same_event_and_other_words_are_another(read):
    ids = [read(plain(**change))[0].event_id for change in ({}, {}, {"valid_until": "2028-01-01"})]
    assert ids[0] == ids[1] != ids[2]


def test_a_second_withdrawal_of_everything_is_not_taken_for_the_first(read):
    """Given, withdrawn, given anew, withdrawn again in the same words but at another time: nothing is left open."""
    events = read(
        plain(),
        {"type": "withdrawn", "subject_id": "anna", "recorded_at": "2026-05-04T09:30:00Z"},
        plain(grant_id="g2"),
        {"type": "withdrawn", "subject_id": "anna", "recorded_at": "2026-07-04T09:30:00Z"},
    )
    state = fold(enumerate(events, 1))
    assert [state.grants[name].ended for name in ("g1", "g2")] == ["withdrawn", "withdrawn"]


@pytest.mark.parametrize("kind", [kind for kind in EventType if kind is not EventType.GIVEN])
def test_an_event_about_no_single_grant_says_when_or_has_an_id(kind, read):
    said = {"type": kind.value, "subject_id": "anna", "source_root": "raw", "source_path": "a.wav"}
    if kind is EventType.VOCABULARY:
        said["vocabulary"] = VOCABULARY.model_dump(mode="json")
    if kind in ABOUT_RELEASES:
        said["release"] = {"lake": "l", "name": "r", "version": 1, "sha256": "0", "ledger_position": 1}
    if kind in ABOUT_RELEASES | ABOUT_MODELS:
        said |= {"owner": "the tts team", "model": "voice-1", "note": "as agreed"}
    assert f"line 1: a `{kind.value}` that names no grant_id says when, in `recorded_at`" in refusal(read, said)
    for more in ({"recorded_at": "2026-05-04T09:30:00Z"}, {"event_id": "letter-17"}, {"grant_id": "g1"}):
        assert read({**said, **more})[0].type is kind


@given(
    first=st.sampled_from(["withdrawn", "refused"]),
    other=st.sampled_from(["withdrawn", "refused"]),
    day=st.sampled_from([1, 2]),
)
def test_events_are_one_exactly_when_everything_they_say_is(tmp_path_factory, first, other, day):
    written = tmp_path_factory.getbasetemp() / "two.jsonl"
    said = [{"type": first, "subject_id": "anna", "recorded_at": "2026-05-01T00:00:00Z"},
            {"type": other, "subject_id": "anna", "recorded_at": f"2026-05-0{day}T00:00:00Z"}]  # fmt: skip
    written.write_text("\n".join(map(json.dumps, said)))
    one, two = read_events(written, NOW)
    assert (one.event_id == two.event_id) == (said[0] == said[1])


# --- rules that were read before --------------------------------------------------------------------------------------


ODD = [
    {}, {"grant_id": "g2"}, {"valid_until": "2026-07-01T12:00:00+02:00"}, {"note": "x"}, {"rules": []},
    {"subject_id": "jos\u00e9"}, {"subject_id": 'a "quoted" name'}, {"subject_id": " "}, {"grant_id": None},
    {"rules": [{"effect": "permit"}]}, {"rules": None}, {"rules": "\x01"}, {"jurisdiction": "\x01"}, {"scope": "all"},
    {"scope": {"kind": "recordings", "recordings": [{"root": "raw", "path": "\"rules\":"}]}},
    {"rules": [{**plain()["rules"][0], "durable_until": "2026-09-01"}]}, {"valid_until": "2025-01-01"},
    {"rules": [plain()["rules"][0], {**plain()["rules"][0], "effect": "prohibit"}]},
]  # fmt: skip


@pytest.mark.parametrize("change", ODD, ids=str)
@pytest.mark.parametrize("is_tight", [False, True])
def test_rules_that_were_read_before_change_nothing(change, is_tight, monkeypatch):
    separators = (",", ":") if is_tight else None
    spelt = json.dumps(plain(**change), separators=separators)
    twice = json.dumps(plain(), separators=separators)[:-1] + ',"rules":[]}'
    for text in (spelt, spelt[:-1], spelt + "}", spelt[:-1] + ',"note":"x"}', twice, f'{{"grant":{spelt}}}'):
        rows = [json.dumps(plain(), separators=separators), text]
        answers = []
        for known in (KnownRules.event, lambda *_: None):
            monkeypatch.setattr(KnownRules, "event", known)
            try:
                answers.append([(event, line) for _, event, line in events_in(Lines("f", [1, 2], rows), NOW)])
            except ConfigError as error:
                answers.append(str(error))
        monkeypatch.undo()
        assert answers[0] == answers[1], text
        assert isinstance(answers[0], str) or all(line == text_of(event) for event, line in answers[0])


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((HEAD.replace("effect", "efect"), line()), "grants.csv: unknown column `efect` (did you mean `effect`?)"),
        ((HEAD.replace("genre", "subject_id"), line()), "column `subject_id` stands there twice"),
        ((HEAD.replace(",genre", "").replace(",role", ""), line()), "columns missing: genre, role"),
        ((HEAD, line(), line("g2", more=",clone")), "line 3: 15 cells under 14 columns; lists are joined by `;`"),
        ((HEAD, line(), "g2,ben"), "line 3: 2 cells under 14 columns"),
        ((HEAD, line(), "", line("g1", "ben")), "line 4: grant g1 was begun at"),
        ((HEAD, line(action="retian")), "line 2: `rules.0.action.0"),
        ((HEAD, line(), '"g2'), "line 3: not CSV"),
        ((HEAD, line(effect="allow")), "got 'allow'"),
        ((HEAD, line().replace(",any", ",", 1)), "line 2: `rules.0.medium`"),
        ((f"{HEAD},scope", line(more=",recordings")), "lists at least one"),
        ((f"{HEAD},collected_from", line(more=",2026-01-01")), "needs collected_from and collected_until"),
    ],
)  # fmt: skip
def test_csv_that_cannot_be_meant_is_refused_with_its_line(lines, said, read):
    assert said in refusal(read, *lines, name="grants.csv")


ALL_WITH_DATES = {"kind": "all", "collected_from": "2026-01-01", "collected_until": "2026-02-01"}
ALL_OF_ONE = {"kind": "all", "recordings": [{"root": "raw", "path": "a.wav"}]}


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        ("{", "line 1: not JSON"),
        ("[1]", "line 1: expected an object"),
        ('{"type": "given", "type": "refused"}', "line 1: not JSON: key `type` stands there twice"),
        ({"type": "withdrawm", "subject_id": "anna"}, "got 'withdrawm'"),
        ({"type": ["withdrawn"], "subject_id": "anna"}, "`type`"),
        ({"type": "refused", "subject": "anna", "grant_id": "g1"}, "unknown key `subject` (did you mean `subject_id`"),
        ({"type": "withdrawn", "subject_id": " ", "grant_id": "g1"}, "`subject_id` is empty"),
        ({"type": "withdrawn", "subject_id": "anna", "recorded_at": "2026-05-04"}, "`recorded_at`"),
        ({"type": "given", "grant": plain(), "subject_id": "ben"}, "must name the same subject"),
        (plain(valid_untill="2027-01-01"), "unknown key `grant.valid_untill` (did you mean `valid_until`?)"),
        (plain(valid_until="2025-01-01"), "valid_until must be later than valid_from"),
        (plain(evidence_sha256="by phone"), "`grant.evidence_sha256`"),
        (plain(rules=[]), "`grant.rules`"),
        (plain(scope=ALL_WITH_DATES), "a scope of kind `all` has no dates; one with dates is of kind `collected`"),
        (plain(scope=ALL_OF_ONE), "a scope of kind `all` lists no recordings"),
    ],
)  # fmt: skip
def test_json_that_cannot_be_meant_is_refused_with_its_line(said, refused, read):
    assert refused in refusal(read, said)


@pytest.mark.parametrize("name", ["missing.jsonl", "latin.csv", "."])
def test_a_file_that_cannot_be_read_is_named(name, tmp_path):
    (tmp_path / "latin.csv").write_bytes("grant_id\nJosé\n".encode("latin-1"))
    with pytest.raises(ConfigError, match="cannot be read as UTF-8 text"):
        list(read_events(tmp_path / name, NOW))
