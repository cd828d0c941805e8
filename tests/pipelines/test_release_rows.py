"""A release holds exactly the rows that are current, match and are allowed, when each is looked at by itself."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import consent_lake, release, release_lake
from lake.commits import read_commits
from lake.lake import Lake
from lake.parts import read_part
from lake.releases import index_table
from lake.runs import list_runs
from pipelines.release import create as creating
from pipelines.release import select
from pipelines.release.create import Wanted, create
from pipelines.release.verify import verify
from pipelines.snapshot import take_snapshot
from schemas.consent import TERMS, Action, ConsentRecord, DenyReason, Use
from schemas.errors import Reason
from schemas.ledger import Event, EventType
from tests.builders import Made, small_lake, write_run
from tests.consents import ended, given, grant, rule, spoken
from tests.releases import ANY_USE, AT, UNTIL
from transforms.consent import decide, fold

ROWS = 20_000
WORDS = ("any", "any", "x", "xa", "xab", "y")


def asked_of(row):
    """What is decided of one row of `utterances`."""
    lineage = row["lineage"]
    return ConsentRecord(
        tuple(sorted(link["subject_id"] for link in row["consent"])), row["consent_complete"], lineage["source_root"],
        lineage["source_path"], row["collected_at"], tuple(row["grant_ids"]), lineage["catalogue_row_sha256"],
    )  # fmt: skip


def stored(lake, kind):
    """Every row of every commit, as it was written, with its run."""
    for run in list_runs(lake):
        for commit in read_commits(lake, run.run_id):
            for part in (one for one in commit.objects if one.kind == kind):
                yield from ((run, row) for row in read_part(lake.root, part.path).to_pylist())


def current(lake):
    """Rows of `utterances` that count: of each source what the last run that had the last word on it has said."""
    best = {}
    for run, row in stored(lake, "recordings"):
        source = row["source_root"], row["source_path"]
        waits = row["status"] == "rejected" and bool(row["retriable"])
        rank = waits, run.is_explore, -run.number, row["recording_id"]
        best[source] = min(best.get(source, rank), rank)
    for run, row in stored(lake, "utterances"):
        source = row["lineage"]["source_root"], row["lineage"]["source_path"]
        if best[source][2:] == (-run.number, row["recording_id"]):
            yield run, row


def expected(lake, use, at, matches=lambda _: True):
    """The decision on each row that is to be chosen, by key and run."""
    state = fold(lake.ledger().events())
    rows = ((run.run_id, row) for run, row in current(lake) if matches(row))
    decided = {(row["key"], run_id): decide(asked_of(row), use, state, at) for run_id, row in rows}
    return {name: decision for name, decision in decided.items() if decision.is_allowed}


def check(lake, record, decisions):
    """The index has these rows and no other, each once and with its reasons; the parts do what they promise."""
    found = index_table(lake, record).to_pylist() if record else []
    assert sorted((row["key"], row["run_id"]) for row in found) == sorted(decisions)
    for row in found:
        decision = decisions[row["key"], row["run_id"]]
        assert row["allowed_until"] == decision.allowed_until
        assert [
            (one["subject_id"], one["grant_id"], one["rule"], one["until"], one["ends_at"])
            for one in row["justifications"]
        ] == [
            (one.subject_id, one.grant_id, one.rule, one.until, one.ends_at) for one in decision.justifications
        ]  # fmt: skip
    places = [(row["shard"], row["audio_offset"]) for row in found]
    assert places == sorted(places)
    if record:
        assert record.chosen.utterances == len(found)
        assert verify(lake, record, record.decided_at).is_sound


class TestSmallLake:
    @pytest.mark.parametrize("action", [Action.TRAIN_ASR, Action.CLONE])
    def test_before_a_snapshot_after_it_and_with_a_tail(self, tmp_path, action):
        made = small_lake(tmp_path)
        use = ANY_USE.model_copy(update={"action": action})

        def looked_at():
            record = create(made.lake, Wanted("gold", use, at=AT))[1]
            decisions = expected(made.lake, use, AT)
            check(made.lake, record, decisions)
            return {key for key, _ in decisions}

        first = looked_at()
        take_snapshot(made.lake)
        assert looked_at() == first
        more = [Made("f/more.wav", {"ben": "g-ben"}, 2), Made("a/anna.wav", {"ben": "g-ben"}, 1)]
        (tmp_path / "more").mkdir()
        write_run(made.lake, tmp_path / "more", [more], run_id="third", recipe="d", ledger_position=5)
        later = looked_at()
        assert later != first
        take_snapshot(made.lake)
        assert looked_at() == later


def one_source(chance, n):
    people = {f"p{k}": None for k in chance.sample(range(6), chance.choice([1, 1, 1, 2, 3]))}
    reason = chance.choice([*[None] * 7, Reason.SILENT, Reason.STAGE_FAILED, DenyReason.NO_GRANT])
    return Made(
        f"s/{n}.wav", people, 0 if reason else chance.randrange(1, 4), reason, chance.choice(["v1", "v1", "v2"]),
        complete=chance.random() < 0.9, measured={"snr_db": chance.choice([None, 3.0, 12.0])},
    )  # fmt: skip


def one_event(chance, n):
    who = f"p{chance.randrange(6)}"
    kind = chance.choice(["given", "given", "given", "ended", "changed"])
    if kind == "ended":
        how = chance.choice([EventType.WITHDRAWN, EventType.REFUSED, EventType.INVALIDATED])
        return ended(who, chance.choice([None, f"g{chance.randrange(9)}"]), how, name=f"e{n}")
    if kind == "changed":
        return Event(
            event_id=f"c{n}", type=EventType.CATALOGUE_CHANGED, recorded_at=AT, source_root="raw",
            source_path=f"s/{chance.randrange(10)}.wav", catalogue_row_sha256="f" * 64,
        )  # fmt: skip
    rules = [
        rule(chance.choice(["permit", "permit", "permit", "prohibit"]), (chance.choice(["any", "train_asr", "clone"]),),
             genre=(chance.choice(WORDS),), durable_until=chance.choice([None, None, UNTIL, AT]))
        for _ in range(chance.choice([1, 1, 2]))
    ]  # fmt: skip
    end = chance.choice([UNTIL, UNTIL + timedelta(days=9), datetime(2027, 1, 1, tzinfo=UTC), AT])
    return given(grant(who, f"g{n}", rules, valid_until=end))


@pytest.mark.parametrize("seed", range(5))
def test_of_random_lakes(tmp_path, seed, monkeypatch):
    """Runs that supersede each other, snapshots in between, people who come and go."""
    chance = random.Random(seed)
    monkeypatch.setattr(creating, "PART_ROWS", 5)
    monkeypatch.setattr(creating, "TASK_ROWS", chance.choice([1, 10, 1_000]))
    monkeypatch.setattr(select, "DECIDED_ROWS", chance.choice([1, 4, 1_000]))
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    everybody = [given(grant(f"p{n}", f"all-{n}")) for n in range(chance.randrange(1, 6))]
    lake.ledger().append([spoken(), *everybody, *(one_event(chance, n) for n in range(8))])
    for number in range(4):
        folder = tmp_path / f"run-{number}"
        folder.mkdir()
        sources = [one_source(chance, n) for n in chance.sample(range(10), chance.randrange(3, 9))]
        write_run(
            lake, folder, [sources[::2], sources[1::2]], run_id=f"run-{number}", recipe="abcd"[number],
            is_explore=chance.random() < 0.2,
        )  # fmt: skip
        if chance.random() < 0.5:
            take_snapshot(lake)
        lake.ledger().append([one_event(chance, 20 + number)])
        terms = {**dict.fromkeys(TERMS, "any"), "genre": chance.choice(WORDS)}
        use = Use.model_validate({"action": "train_asr", "until": UNTIL, **terms})
        record = create(lake, Wanted("gold", use, "snr_db > 5", at=AT))[1]
        check(lake, record, expected(lake, use, AT, lambda row: (row["snr_db"] or 0.0) > 5))


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    place = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(consent_lake, "CACHE", place)
        patch.setattr(consent_lake, "ROWS_PER_FILE", 8_000)
        patch.setattr(release_lake, "CACHE", place)
        patch.setattr(release_lake, "ROW_GROUP_ROWS", 3_000)
        return release_lake.lake_of(ROWS)


class TestTheLakeThatIsMeasured:
    """What benchmarks.release makes a release from: every row by itself says the same."""

    def test_the_index_is_right(self, measured, monkeypatch):
        monkeypatch.setattr(creating, "PART_ROWS", 1_000)
        lake = Lake.open(str(measured))
        at = datetime(2026, 7, 20, tzinfo=UTC)
        record = create(lake, Wanted("gold", consent_lake.USE, release.WHERE, at=at))[1]
        rows = pa.concat_tables(map(pq.read_table, sorted(measured.glob("snapshots/*/utterances-*.parquet"))))
        state = fold(lake.ledger().events())
        named = ((row["key"], row) for row in rows.to_pylist())
        matching = {key: row for key, row in named if row["snr_db"] > 15 and 3 <= row["duration_s"] <= 20}
        decided = {key: decide(asked_of(row), consent_lake.USE, state, at) for key, row in matching.items()}
        allowed = {(key, release_lake.RUN): one for key, one in decided.items() if one.is_allowed}
        assert (record.candidates.utterances, record.matching.utterances) == (ROWS, len(matching))
        assert len(record.index) > 3
        check(lake, record, allowed)
        reasons = {key: one.denials[0].reason for key, one in decided.items() if one.denials}
        assert set(record.denied) == set(reasons.values())
        assert len(record.denied) > 5
        for reason, told in record.denied.items():
            rows_of = [matching[key] for key, first in reasons.items() if first == reason]
            people = {link["subject_id"] for row in rows_of for link in row["consent"]}
            assert (told.utterances, told.people) == (len(rows_of), len(people))
            assert told.audio_s == pytest.approx(sum(row["duration_s"] for row in rows_of))

    def test_duckdb_beside_it_chooses_the_same_rows_without_asking(self, measured, tmp_path):
        chosen, _ = create(Lake.open(str(measured)), Wanted("beside", consent_lake.USE, release.WHERE, at=AT))
        release.plain(str(measured), release.WHERE, 1, str(tmp_path / "plain.parquet"))
        assert pq.read_metadata(tmp_path / "plain.parquet").num_rows == chosen.after(chosen.last).utterances
        release.plain(str(measured), release.WHERE, 1, None)
