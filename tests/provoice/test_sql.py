"""The lake as SQL: what is current, what is seen at all, and what cannot be done through it."""

from __future__ import annotations

import csv
import io
import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake import currency
from lake.lake import Lake
from lake.reader import LakeReader
from provoice.sql import VIEWS, connect, records
from schemas.errors import ConsentError, Reason
from schemas.tables import PLAN_SCHEMA, RECORDINGS_SCHEMA, utterances_schema
from tests.builders import ANNA, BOTH, BOTH_NEWER, Made, key_of, small_lake, write_run


def ask(lake, query):
    with connect(lake.lake) as connection:
        return records(connection, query)


# --- what is current --------------------------------------------------------------------------------------------------


def test_each_source_is_current_in_one_run(lake):
    rows = ask(
        lake, "select source_path, source_version, run_id, status, reason, utterances from recordings order by 1"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("a/anna.wav", "v1", "second", "emitted", None, 1),  # a newer recipe supersedes, an exploring run does not
        ("a/ben.mp3", "v1", "first", "emitted", None, 1),  # a retriable rejection supersedes nothing
        ("b/both.flac", "v2", "second", "emitted", None, 1),  # a new version supersedes the old one
        ("c/broken.wav", "v1", "first", "rejected", "unreadable", 0),
        ("c/flaky.wav", "v1", "second", "emitted", None, 1),  # tried again, and it went well
        ("c/silent.wav", "v1", "first", "rejected", "silent", 0),
        ("d/carol.wav", "v1", "first", "held", "no_grant", 0),
        ("d/dora.wav", "v1", "second", "held", "withdrawn", 0),  # a hold supersedes what was emitted before
        ("d/stranger.wav", "v1", "first", "held", "extra_voice", 0),
        ("e/look.wav", "v1", "look", "emitted", None, 1),
    ]


def test_utterances_are_those_of_the_current_recordings(lake):
    rows = ask(lake, "select lineage.source_path as path, lineage.run_id, key from utterances order by 1")
    assert [(row["path"], row["run_id"]) for row in rows] == [
        ("a/anna.wav", "second"),
        ("a/ben.mp3", "first"),
        ("b/both.flac", "second"),
        ("c/flaky.wav", "second"),
        ("e/look.wav", "look"),
    ]
    assert rows[2]["key"] == key_of(BOTH_NEWER)
    everything = ask(lake, "select key from utterances_all where lineage.source_path = 'b/both.flac'")
    assert {row["key"] for row in everything} == {key_of(BOTH, 0), key_of(BOTH, 1), key_of(BOTH_NEWER)}


def current(history):
    """The rule of the design in Python, over (run, is_explore, version, status, retriable) of one path."""
    final = [row for row in history if not (row[3] == "rejected" and row[4])] or history
    earnest = [row for row in final if not row[1]] or final
    return max(earnest)[0]


OUTCOMES = st.sampled_from(
    [("emitted", False), ("held", True), ("rejected", False), ("rejected", True)],
)


@pytest.fixture(scope="module")
def bare_tables():
    """The tables that decide what is current, empty."""
    with duckdb.connect() as connection:
        connection.execute("create table runs (run_number int, run_id text, is_explore bool)")
        connection.execute(
            "create table rows (source_root text, source_path text, recording_id text, run_id text, status text, "
            "retriable bool)"
        )
        yield connection


@given(made=st.lists(st.tuples(st.booleans(), st.sampled_from("ab"), OUTCOMES), min_size=1, max_size=6))
def test_currency_is_the_rule_of_the_design(made, bare_tables):
    history = [(number, explores, v, *outcome) for number, (explores, v, outcome) in enumerate(made, 1)]
    bare_tables.execute("delete from runs; delete from rows")
    bare_tables.executemany("insert into runs values (?, ?, ?)", [(row[0], str(row[0]), row[1]) for row in history])
    bare_tables.executemany(
        "insert into rows values ('r', 'p', ?, ?, ?, ?)", [(row[2], str(row[0]), *row[3:]) for row in history]
    )
    ranked = bare_tables.execute(currency.ranked("from rows", "from runs")).fetchall()
    assert [int(run_id) for _, run_id, place in ranked if place == 1] == [current(history)]
    stale = bare_tables.execute(currency.stale("from rows", currency.rows_of([]), "from runs")).fetchall()
    assert sorted(stale) == sorted((name, run_id) for name, run_id, place in ranked if place > 1)


def test_what_no_commit_names_is_not_seen(lake):
    orphans = [info.path for info in lake.lake.root.list("utterances") if "orphan" in info.path]
    assert orphans
    committed = sum(part.rows for part in LakeReader(lake.lake).parts("utterances"))
    assert ask(lake, "select count(*) as n from utterances_all")[0]["n"] == committed == 13


# --- views ------------------------------------------------------------------------------------------------------------


def test_an_empty_lake_answers_with_typed_empty_views(tmp_path):
    empty = Lake.create_or_open(str(tmp_path / "lake"))
    with connect(empty) as connection:
        for view in VIEWS:
            assert records(connection, f"from {view}") == []
        for view, schema in (("utterances", utterances_schema()), ("recordings", RECORDINGS_SCHEMA)):
            described = {row["column_name"]: row["column_type"] for row in records(connection, f"describe {view}")}
            assert list(described) == [*schema.names, "run_number"]
        assert described["consent"].startswith("STRUCT(subject_id VARCHAR")
        assert described["collected_at"] == "TIMESTAMP WITH TIME ZONE"
        assert records(connection, "select accent.label, sum(duration_s) from utterances group by 1") == []


def test_columns_have_the_same_types_with_rows_and_without(lake, tmp_path):
    empty = Lake.create_or_open(str(tmp_path / "lake"))
    for view in ("utterances", "recordings", "plans"):
        with connect(empty) as without, connect(lake.lake) as full:
            query = f"select column_name, column_type from (describe {view})"
            assert records(full, query) == records(without, query)


def test_plans_hold_every_source_of_every_run(lake):
    rows = ask(lake, "select run_id, source_path from plans order by run_number, unit_index, source_path")
    assert len(rows) == sum(run.sources for run in lake.runs)
    assert rows[-1] == {"run_id": "look", "source_path": "e/waiting.wav"}
    assert set(PLAN_SCHEMA.names) < {row["column_name"] for row in ask(lake, "describe plans")}


def test_commits_and_stage_seconds_count_what_was_committed(lake):
    rows = ask(
        lake,
        "select run_id, sum(sources) as sources, sum(rejected) as rejected, sum(held) as held, "
        "sum(rejected_by_reason['stage_failed']) as failed from commits group by 1 order by 1",
    )
    assert [tuple(row.values()) for row in rows] == [
        ("first", 9, 3, 2, 1),
        ("look", 2, 0, 0, None),
        ("second", 5, 1, 1, None),
    ]
    spent = ask(lake, "select stage, round(sum(seconds), 3) as s from stage_seconds group by 1 order by 1")
    assert spent == [{"stage": "decode", "s": 0.08}, {"stage": "detect_speech", "s": 0.04}]


def test_grants_stand_where_the_ledger_left_them(lake):
    rows = ask(
        lake, "select grant_id, standing, permitted, prohibited, rules[1].medium as medium from grants order by 1"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("g-anna", "valid", ["any"], ["clone"], ["any"]),
        ("g-ben", "valid", ["any"], [], ["any"]),
        ("g-dora", "withdrawn", ["any"], [], ["any"]),
        ("g-erik", "expired", ["any"], [], ["any"]),
    ]
    events = ask(lake, "select position, type, subject_id from events order by 1")
    assert events[-1] == {"position": 5, "type": "withdrawn", "subject_id": "dora"}


def test_instants_come_in_utc_and_maps_as_objects(lake):
    row = ask(lake, "select created_at, roots from runs where run_number = 1")[0]
    assert row == {"created_at": datetime(2026, 6, 2, 12, tzinfo=UTC), "roots": {"raw": "/data/raw"}}
    assert row["created_at"].utcoffset().total_seconds() == 0
    models = ask(lake, "select lineage.models as models from utterances limit 1")[0]["models"]
    assert models == {"silero_vad": "6.2.3 sha256:00"}


def test_only_the_views_that_are_asked_for_are_made(lake):
    with connect(lake.lake, "select 1 from grants") as connection:
        assert [row["name"] for row in records(connection, "show tables")] == ["grants"]
    with connect(lake.lake, "FROM Utterances") as connection:
        shown = {row["name"] for row in records(connection, "show tables")}
        assert shown == {"utterances"}
    with connect(lake.lake, "show tables") as connection:
        assert {row["name"] for row in records(connection, "show tables")} == set(VIEWS)


def test_a_ledger_that_cannot_be_read_is_refused_only_where_it_is_asked(provoice, tmp_path):
    made = small_lake(tmp_path)
    segment = tmp_path / "lake" / "consent" / "log" / "000000000000.jsonl"
    segment.write_text(segment.read_text().replace("g-anna", "g-hanna", 1))
    assert provoice("sql", made.uri, "select count(*) from utterances").exit_code == 0
    refused = provoice("sql", made.uri, "from grants")
    assert refused.exit_code == 4
    assert len(refused.stderr.splitlines()) == 1
    with pytest.raises(ConsentError):
        connect(made.lake)


def test_columns_of_another_recipe_are_null_where_they_are_not(tmp_path):
    """A stage of one's own adds its columns to a recipe; files are united by name."""
    made = small_lake(tmp_path)
    part = next(part for part in LakeReader(made.lake).parts("utterances") if part.run_id == "second")
    added = tmp_path / "lake" / "with-own.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"copy (select *, 3.5::double as words_per_s from '{part.uri}') to '{added}'")

    class WithOwn(LakeReader):
        def parts(self, kind):
            for found in super().parts(kind):
                yield replace(found, uri=str(added)) if found.uri == part.uri else found

    with connect(made.lake, "nothing", reader=WithOwn(made.lake)) as connection:
        counted = records(connection, "select count(*) as n, count(words_per_s) as own from utterances_all")
        described = records(connection, "select column_name from (describe utterances_all)")
    assert counted == [{"n": 13, "own": part.rows}]
    assert [row["column_name"] for row in described[-2:]] == ["words_per_s", "run_number"]


def test_a_remote_lake_is_read_through_its_own_file_system(tmp_path):
    remote = small_lake(tmp_path, uri=f"memory://sql-test/{tmp_path.name}")
    rows = ask(remote, "select run_id, count(*) as n from recordings group by 1 order by 1")
    assert rows == [{"run_id": "first", "n": 5}, {"run_id": "look", "n": 1}, {"run_id": "second", "n": 4}]
    assert len(ask(remote, "from plans")) == 17
    orphan = tmp_path / "work" / "orphan.parquet"
    assert orphan.exists()
    with connect(remote.lake) as connection, pytest.raises(duckdb.PermissionException):
        connection.execute(f"select * from read_text('{orphan}')")


def test_a_lake_in_a_folder_of_an_awkward_name(tmp_path):
    awkward = tmp_path / "it's [a] lake, 100% * ? ü"
    awkward.mkdir()
    made = small_lake(awkward)
    assert ask(made, "select count(*) as n from recordings_all") == [{"n": 16}]


def test_a_run_without_a_single_utterance(tmp_path):
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    write_run(lake, tmp_path, [[Made("x.wav", {"anna": None}, reason=Reason.SILENT)]], run_id="only")
    with connect(lake) as connection:
        assert records(connection, "select count(*) as n from utterances") == [{"n": 0}]
        assert records(connection, "select status, reason from recordings") == [
            {"status": "rejected", "reason": "silent"}
        ]


# --- what cannot be done ----------------------------------------------------------------------------------------------

FORBIDDEN = [
    "copy (select 1) to '{folder}/stolen.csv'",
    "create table t (a int)",
    "insert into runs values (1)",
    "drop view utterances",
    "attach '{folder}/other.db'",
    "install httpfs",
    "set enable_external_access = true",
    "pragma database_list",
    "select 1; select 2",
    "explain analyze copy (select 1) to '{folder}/stolen.csv'",
    "select * from read_text('/etc/hostname')",
    "select * from glob('/*')",
    "from '{orphan}'",
    "select * from lake",
    "",
    "-- nothing",
]


@pytest.mark.parametrize("query", FORBIDDEN)
def test_nothing_is_written_and_nothing_beside_the_lake_is_read(query, provoice, lake, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    done = provoice("sql", lake.uri, "--", query.format(folder=tmp_path, orphan=tmp_path / "work" / "orphan.parquet"))
    assert done.exit_code == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_committed_part_cannot_be_overwritten(provoice, lake):
    part = next(LakeReader(lake.lake).parts("recordings"))
    before = lake.lake.root.read(part.path)
    done = provoice("sql", lake.uri, f"copy (select 1) to '{part.uri}' (format parquet, use_tmp_file false)")
    assert done.exit_code == 2
    assert lake.lake.root.read(part.path) == before


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("select nope from utterances", "nope"),
        ("selec", "syntax error"),
        ("from recordigs", "recordings"),
        ("select 'a'::int", "Could not convert"),
        ("select error('late') from utterances", "late"),
    ],
)
def test_a_wrong_question_is_one_line(query, said, provoice, lake):
    done = provoice("sql", lake.uri, query)
    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_part_that_is_gone_is_the_lakes_fault(provoice, tmp_path):
    made = small_lake(tmp_path)
    part = next(LakeReader(made.lake).parts("recordings"))
    made.lake.root.delete(part.path)
    done = provoice("sql", made.uri, "from recordings")
    assert done.exit_code == 1
    assert part.path in done.stderr
    assert "unforeseen" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_long_question_can_be_interrupted(lake):
    question = "select count(*) from range(10000000000) a, range(1000) b where a.range % 7 = b.range"
    words = [sys.executable, "-m", "provoice", "sql", lake.uri, question]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as asked:
        try:
            with pytest.raises(subprocess.TimeoutExpired):
                asked.wait(5)
            asked.send_signal(signal.SIGINT)
            out, err = asked.communicate(timeout=20)
        finally:
            asked.kill()
    assert asked.returncode in (-signal.SIGINT, 130), err  # a shell says 130 to both
    assert out == ""
    assert "Traceback" not in err


# --- how it is printed ------------------------------------------------------------------------------------------------


def test_a_table_lines_up_and_keeps_whole_values_where_nobody_watches(provoice, lake):
    query = (
        "from utterances_all select key, snr_db, text where run_number = 1 order by lineage.source_path, key limit 3"
    )
    lines = provoice("sql", lake.uri, query).stdout.splitlines()
    assert len(lines) == 5
    assert lines[2].split() == [key_of(ANNA), "20", "good", "morning"]
    assert lines[4].split()[1:] == ["∅", "∅"]
    at = lines[0].index("snr_db") + len("snr_db")
    assert lines[2][at - 2 : at] == "20"


@pytest.mark.skipif(shutil.which("script") is None, reason="needs util-linux's `script` for a terminal")
def test_on_a_terminal_a_row_stays_a_line_or_becomes_a_block(lake):
    def shown(query):
        line = f"unset COLUMNS; stty cols 60; {sys.executable} -m provoice sql '{lake.uri}' \"{query}\""
        words = ["script", "-qec", line, "/dev/null"]
        return subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout.splitlines()

    narrow = shown("select key, recording_id from utterances limit 1")
    assert [len(line) <= 60 for line in narrow] == [True] * 4
    assert "…" in narrow[2]
    assert narrow[-1] == "(1 row)"
    block = shown("from recordings order by source_path limit 1")
    assert block[0] == "── row 1"
    assert "source_path           a/anna.wav" in block
    long = shown("select range(300000) as n, 'b' as b")
    assert [len(line) <= 60 for line in long] == [True] * 4


def test_json_lines_are_json(provoice, lake):
    done = provoice(
        "sql", lake.uri, "--json", "select *, 'nan'::double as odd, sum(1) over () as n from utterances order by key"
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 5
    assert rows[0]["odd"] is None
    assert rows[0]["n"] == 5
    assert {row["consent"][0]["subject_id"] if row["consent"] else None for row in rows} == {"anna", "ben", None}
    instants = provoice("sql", lake.uri, "--json", "select created_at from runs order by 1 limit 1").stdout
    assert json.loads(instants) == {"created_at": "2026-06-02T12:00:00Z"}


def test_csv_is_csv(provoice, lake):
    query = (
        "select 'a,\"b\"' as text, null as nothing, 1.5 as number, true as yes, ['x', 'y'] as list, 2::hugeint as huge"
    )
    done = provoice("sql", lake.uri, "--csv", query)
    assert list(csv.reader(io.StringIO(done.stdout))) == [
        ["text", "nothing", "number", "yes", "list", "huge"],
        ['a,"b"', "", "1.5", "true", '["x", "y"]', "2"],
    ]


def test_control_characters_do_not_reach_the_terminal(provoice, lake):
    shown = provoice("sql", lake.uri, "select 'a' || chr(27) || '[2J' as t").stdout
    assert "\x1b" not in shown
    assert "a␣[2J" in shown


def test_wide_letters_line_up(provoice, lake):
    lines = provoice("sql", lake.uri, "select unnest(['日本', 'abcd']) as t, 'x' as u").stdout.splitlines()
    assert lines[2:] == ["日本  x", "abcd  x"]


def test_without_a_question_the_views_are_listed(provoice, lake):
    shown = provoice("sql", lake.uri).stdout
    assert all(name in shown and what in shown for name, what in VIEWS.items())


def test_many_rows_come_as_they_are_made(provoice, lake):
    lines = provoice("sql", lake.uri, "--csv", "select unnest(range(10000)) as n").stdout.splitlines()
    assert lines == ["n", *map(str, range(10000))]


def test_instants_need_no_package_that_is_not_ours(lake):
    code = (
        "import sys\n"
        "class Bare:\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name in ('pandas', 'pytz'): raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Bare)\n"
        "from provoice.sql import connect, records; from lake.lake import Lake\n"
        f"print(records(connect(Lake.open({lake.uri!r})), 'select created_at from runs')[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "datetime.datetime(2026, 6, 2, 12, 0" in done.stdout, done.stderr
