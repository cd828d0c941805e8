"""`provoice release`: what is typed, what is said, and that nobody who did not allow it is in any of it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lake import layout
from lake.lake import Lake
from lake.parts import write_table
from lake.releases import put_index_part, read_release
from pipelines.snapshot import take_snapshot
from provoice.sql import connect, records
from schemas.ledger import Event, EventType, ReleaseRef
from tests.builders import Made, write_run
from tests.consents import ended, given, grant, rule
from tests.releases import AT, USE_YAML, crowd, person


@pytest.fixture
def use(tmp_path):
    path = tmp_path / "use.yaml"
    path.write_text(USE_YAML)
    return str(path)


@pytest.fixture
def made(tmp_path):
    return crowd(tmp_path, lasting=True)


def created(provoice, made, use, *options, name="gold"):
    found = provoice("release", "create", made.uri, name, "--use", use, *options)
    assert found.exit_code == 0, found.output
    return found.output


def sql(made, query):
    with connect(Lake.open(made.uri), query) as connection:
        return records(connection, query)


class TestCreate:
    def test_it_says_what_is_in_it_and_fits_a_terminal(self, provoice, made, use):
        said = created(provoice, made, use, "--where", "snr_db >= 1 and duration_s < 2")
        assert said.startswith("release gold@1: 12 utterances, 12.0 s, 3 people\n")
        assert "  where     snr_db >= 1 and duration_s < 2\n" in said
        assert max(map(len, said.splitlines())) <= 80
        assert provoice("release", "show", made.uri, "gold").output == said

    def test_a_dry_run_shows_each_step_and_writes_nothing(self, provoice, made, use):
        made.record(ended(person(3)), given(grant(person(2), "no", [rule("prohibit", ("train_asr",))])))
        found = provoice("release", "create", made.uri, "gold", "--use", use, "--dry-run", "--where",
                         "snr_db >= 1 and duration_s < 2")  # fmt: skip
        assert found.exit_code == 0
        lines = [line.split() for line in found.output.splitlines() if line and line[-1].isdigit()]
        figures = [(" ".join(line[:-4]), int(line[-4]), int(line[-1])) for line in lines[1:]]
        assert figures == [
            ("current utterances", 16, 4),
            ("(snr_db >= 1)", 12, 3),
            ("(duration_s < 2)", 12, 3),
            ("without what is denied: prohibited", 8, 2),
            ("without what is denied: withdrawn", 4, 1),
            ("allowed", 4, 1),
        ]
        assert max(map(len, found.output.splitlines())) <= 80
        assert list(made.lake.root.list("releases")) == []

    def test_a_dry_run_as_json(self, provoice, made, use):
        found = json.loads(created(provoice, made, use, "--dry-run", "--json", "--where", "snr_db > 0"))
        assert [step["utterances"] for step in found["steps"]] == [16, 12, 12]
        assert (found["ledger_position"], found["denied"]) == (4, {})

    def test_json_is_the_record(self, provoice, made, use):
        said = created(provoice, made, use, "--json", "--max-ledger-age", "60", "--record-openings")
        record = read_release(made.lake, "gold")
        assert json.loads(said) == record.model_dump(mode="json")
        assert (record.demands.max_ledger_age_s, record.demands.record_openings) == (60.0, True)

    @pytest.mark.parametrize(
        ("options", "code", "said"),
        [
            (["--where", "snr_db > 1000"], 2, "nothing matches, so no release was made"),
            (["--where", "snr > 1"], 2, "--where: .*snr_db"),
            (["--where", "text::int > 1"], 2, "--where: .*TRY_CAST"),
            (["--use", "nowhere.yaml"], 2, "nowhere.yaml"),
        ],
    )
    def test_a_wrong_request_is_one_line(self, provoice, made, use, options, code, said):
        found = provoice("release", "create", made.uri, "gold", "--use", use, *options)
        assert found.exit_code == code
        assert found.stderr.count("\n") == 1
        assert re.search(said, found.stderr)

    @pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "x" * 65, "gold@1"])
    def test_a_name_that_is_none(self, provoice, made, use, name):
        found = provoice("release", "create", made.uri, name, "--use", use)
        assert found.exit_code == 2
        assert "release name" in found.stderr

    def test_refused_where_nobody_allows_it(self, provoice, made, use):
        made.record(*(ended(person(n)) for n in range(4)))
        found = provoice("release", "create", made.uri, "gold", "--use", use)
        assert found.exit_code == 4
        assert "nothing that matches is allowed" in found.output
        assert "without what is denied: withdrawn" in found.output
        assert list(made.lake.root.list("releases")) == []


class TestLookedAtAgain:
    def test_verify_tells_what_was_taken_back_from_what_was_made_wrongly(self, provoice, made, use, tmp_path):
        created(provoice, made, use)
        found = provoice("release", "verify", made.uri, "gold")
        assert found.exit_code == 0
        assert "as it was made: 1 file to the byte, 16 utterances" in found.output
        assert "all of it may still be used" in found.output
        made.record(ended(person(1)))
        (tmp_path / "again").mkdir()
        write_run(made.lake, tmp_path / "again", [[Made("p000/0.wav", {person(0): "g"}, 1)]], run_id="later",
                  recipe="b")  # fmt: skip
        found = provoice("release", "verify", made.uri, "gold")
        assert found.exit_code == 0
        assert "may not be used any more" in found.output
        assert "withdrawn  4 utterances" in found.output
        assert "made anew by run later, 2026-06-03" in found.output
        as_json = json.loads(provoice("release", "verify", made.uri, "gold", "--json").output)
        assert as_json["is_sound"] is True
        assert as_json["denied_now"]["withdrawn"]["utterances"] == 4
        assert as_json["replaced_by"] == {"later": {"utterances": 2, "audio_s": 2.0, "people": 1}}

    def test_a_changed_file_is_found(self, provoice, made, use):
        created(provoice, made, use)
        record = read_release(made.lake, "gold")
        path = Path(made.lake.root.uri_of(record.index[0].path))
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.unlink()
        path.write_bytes(data)
        found = provoice("release", "verify", made.uri, "gold")
        assert found.exit_code == 4
        assert "NOT as it was made" in found.output

    @pytest.mark.parametrize("column", ["subject_ids", "audio_sha256", "allowed_until", "complete", "justifications"])
    def test_a_forged_index_is_found_however_well_it_is_sealed(self, provoice, made, use, column):
        created(provoice, made, use)
        made.record(ended(person(0)))
        record = read_release(made.lake, "gold")
        table = pq.read_table(made.lake.root.uri_of(record.index[0].path))
        rows = table.to_pylist()
        if column == "subject_ids":
            rows[0]["subject_ids"], rows[0]["justifications"] = rows[-1]["subject_ids"], rows[-1]["justifications"]
        else:
            rows[0][column] = {"audio_sha256": "0" * 64, "complete": False, "justifications": [],
                               "allowed_until": datetime(2100, 1, 1, tzinfo=UTC)}[column]  # fmt: skip
        local = made.lake.root.uri_of("forged.parquet")
        columns = [pa.array([row[field.name] for row in rows], field.type) for field in table.schema]
        forged = pa.Table.from_arrays(columns, schema=table.schema)
        size, sha256 = write_table(Path(local), forged, 1000)
        part = put_index_part(made.lake, "gold", 1, 0, (Path(local), size, sha256, len(rows)))
        made.lake.root.delete(layout.release_path("gold", 1))
        sealed = record.model_copy(update={"index": (part,)}).sealed()
        made.lake.root.create(layout.release_path("gold", 1), sealed.model_dump_json().encode())
        found = provoice("release", "verify", made.uri, "gold")
        assert found.exit_code == 4
        assert "NOT as the" in found.output

    def test_diff_says_why_what_left_has_left(self, provoice, made, use, tmp_path):
        created(provoice, made, use)
        made.record(ended(person(0)), given(grant("p009")))
        (tmp_path / "again").mkdir()
        write_run(made.lake, tmp_path / "again", [[Made("p001/0.wav", {person(1): "g"}, 3)]], run_id="later",
                  recipe="b")  # fmt: skip
        created(provoice, made, use, "--where", "snr_db < 3 or snr_db > 19")
        found = json.loads(provoice("release", "diff", made.uri, "gold@1", "gold@2", "--json").output)
        assert {why: one["utterances"] for why, one in found["went_for"].items()} == {"withdrawn": 4, "where": 4}
        assert (found["both"]["utterances"], found["came"]["utterances"]) == (8, 1)
        assert set(found["changed"]) == {"where", "position", "decided"}
        said = provoice("release", "diff", made.uri, "gold@1", "gold@2").output
        assert "  where     everything → snr_db < 3 or snr_db > 19\n" in said
        assert "withdrawn" in said
        assert provoice("release", "diff", made.uri, "gold@1", "gold@1").output.count("0 utterances") == 2

    def test_list(self, provoice, made, use):
        assert "has no release yet" in provoice("release", "list", made.uri).output
        created(provoice, made, use)
        created(provoice, made, use, name="alpha")
        lines = provoice("release", "list", made.uri).output.splitlines()
        assert [line.split()[0] for line in lines] == ["alpha@1", "gold@1"]
        found = [json.loads(line) for line in provoice("release", "list", made.uri, "--json").output.splitlines()]
        assert [one["chosen"]["utterances"] for one in found] == [16, 16]


class TestViews:
    def test_releases_and_decisions(self, provoice, made, use):
        created(provoice, made, use, "--where", "snr_db > 1")
        (row,) = sql(made, "from releases")
        assert (row["release"], row["version"], row["condition"]) == ("gold", 1, "snr_db > 1")
        assert (row["utterances"], row["people"], row["ledger_position"]) == (8, 2, 4)
        found = sql(made, "from decisions order by key")
        assert {row["key"] for row in found} == made.keys(person(2), person(3))
        assert {(row["subject_id"], row["grant_id"], row["rule"]) for row in found} == {
            ("p002", "g-p002", 0), ("p003", "g-p003", 0)
        }  # fmt: skip

    def test_what_expires_and_what_stands_on_it(self, provoice, made, use):
        created(provoice, made, use, "--where", "snr_db > 2")
        made.record(ended(person(1)))
        found = sql(made, "select grant_id, utterances, audio_s, releases, days_left from expiring order by 1")
        assert [(row["grant_id"], row["utterances"], row["releases"]) for row in found] == [
            ("g-p000", 4, []), ("g-p002", 4, []), ("g-p003", 4, ["gold@1"])
        ]  # fmt: skip
        assert all(row["days_left"] > 30_000 and row["audio_s"] == 4.0 for row in found)

    def test_uses(self, provoice, made, use):
        created(provoice, made, use)
        record = read_release(made.lake, "gold")
        ref = ReleaseRef(lake=made.uri, name="gold", version=1, sha256=record.sha256, ledger_position=4)
        made.record(
            Event(event_id="o", type=EventType.OPENED, recorded_at=AT, release=ref, owner="anna", purpose="asr"),
            Event(event_id="u", type=EventType.USED, recorded_at=AT, release=ref, owner="anna", model="m-1"),
        )
        found = sql(made, "from uses order by position")
        assert [(row["type"], row["release"], row["purpose"], row["model"]) for row in found] == [
            ("opened", "gold", "asr", None), ("used", "gold", None, "m-1")
        ]  # fmt: skip

    def test_none_of_them_without_a_release(self, made):
        assert sql(made, "from releases") == sql(made, "from decisions") == sql(made, "from uses") == []


_KEY = re.compile(r"\b[0-9a-f]{32}-c\d+-\d{12}-\d{12}-spk\d\d\b")
_RECORDING = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
_PERSON = re.compile(r"p\d{3}(?!\d)")


def leaks(provoice, tmp_path, use, people, *, utterances, step):
    """Every `step`-th person did not allow it: searched for wherever a release is told of. Returns (all, denied)."""
    made = crowd(tmp_path, people, sources=2, utterances=utterances, units=4, lasting=True,
                 pairs=[(n, n + 1) for n in range(0, people - step, step)])  # fmt: skip
    hidden = [person(n) for n in range(people) if n % step == 0]
    endings = (EventType.WITHDRAWN, EventType.REFUSED, EventType.INVALIDATED)
    made.record(*(ended(who, how=endings[n % 3]) for n, who in enumerate(hidden)))
    take_snapshot(made.lake)
    told = [created(provoice, made, use), created(provoice, made, use, "--json", "--where", "duration_s < 2")]
    told += [created(provoice, made, use, "--dry-run", *options) for options in ([], ["--json"])]
    for command in (("show", "gold"), ("diff", "gold@1", "gold@2"), ("verify", "gold"), ("list",)):
        name, *rest = command
        told += [provoice("release", name, made.uri, *rest, *options).output for options in ([], ["--json"])]
    told += [repr(sql(made, f"from {view}")) for view in ("releases", "decisions", "expiring")]
    for info in made.lake.root.list("releases"):
        told.append(made.lake.root.read(info.path).decode("latin-1"))
        if info.path.endswith(".parquet"):
            told.append(repr(pq.read_table(made.lake.root.uri_of(info.path)).to_pylist()))
    denied = made.keys(*hidden)
    allowed = made.keys(*made.keys_of) - denied
    keys, recordings, persons = (
        {word for text in told for word in pattern.findall(text)} for pattern in (_KEY, _RECORDING, _PERSON)
    )
    assert keys == allowed
    assert not recordings & {key.partition("-")[0] for key in denied}
    assert persons == set(made.keys_of) - set(hidden)
    return len(allowed) + len(denied), len(denied)


def test_nobody_who_took_it_back_is_in_any_of_it(provoice, tmp_path, use):
    everything, denied = leaks(provoice, tmp_path, use, 200, utterances=5, step=10)
    assert everything >= 2_000
    assert denied >= 200


@pytest.mark.long
def test_nobody_is_among_very_many(provoice, tmp_path, use):
    everything, denied = leaks(provoice, tmp_path, use, 1_000, utterances=50, step=100)
    assert everything >= 100_000
    assert denied >= 1_000
