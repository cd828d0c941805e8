"""Making a release: exactly what is current, matches and is allowed, as of one position of the ledger."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lake import layout
from lake.commits import read_commits
from lake.lake import Lake
from lake.parts import read_part
from lake.releases import index_table, list_releases
from pipelines.release import create as creating
from pipelines.release.create import Wanted, create, preview
from pipelines.release.select import Selector
from pipelines.release.verify import verify
from pipelines.snapshot import take_snapshot
from pipelines.snapshot_rows import RowSet
from schemas.consent import ConsentRecord
from schemas.errors import ConfigError, ConsentError, LakeError, Reason
from schemas.ids import source_id
from schemas.ledger import Event, EventType
from tests.builders import Made, key_of, small_lake, write_run
from tests.consents import ended, given, grant, rule
from tests.histories import EARLIER, as_version
from tests.releases import ANY_USE, AT, UNTIL, crowd, person
from transforms.consent import decide, fold


@pytest.fixture
def made(tmp_path):
    return crowd(tmp_path)


def rows(made, record):
    return index_table(made.lake, record).to_pylist()


def keys(made, record):
    return {row["key"] for row in rows(made, record)}


def changed(path, digest="f" * 64):
    return Event(
        event_id=f"changed-{path}", type=EventType.CATALOGUE_CHANGED, recorded_at=AT, source_root="raw",
        source_path=path, catalogue_row_sha256=digest,
    )  # fmt: skip


class TestTheIndex:
    def test_each_row_says_what_the_lake_says_and_why(self, made):
        record = made.release()
        stored = {
            row["key"]: (row, commit.unit_id)
            for commit in read_commits(made.lake, "first")
            for part in commit.objects
            if part.kind == "utterances"
            for row in read_part(made.lake.root, part.path).to_pylist()
        }
        found = rows(made, record)
        assert len(found) == len(stored) == 16
        for row in found:
            own, unit_id = stored[row["key"]]
            same = ("recording_id", "shard", "audio_offset", "json_size", "audio_sha256", "duration_s", "collected_at")
            assert [row[name] for name in same] == [own[name] for name in same]
            assert (row["run_id"], row["unit_id"]) == ("first", unit_id)
            (who,) = row["subject_ids"]
            lineage = own["lineage"]
            assert row["source_id"] == source_id(lineage["source_root"], lineage["source_path"])
            assert row["catalogue_row_sha256"] == lineage["catalogue_row_sha256"]
            (justified,) = row["justifications"]
            assert (justified["subject_id"], justified["grant_id"], justified["rule"]) == (who, f"g-{who}", 0)
            assert row["allowed_until"] == UNTIL

    def test_it_is_what_the_function_allows_record_by_record(self, tmp_path):
        made = crowd(tmp_path, 8, granted=6, pairs=[(0, 1), (1, 2), (3, 7), (4, 5)])
        made.record(ended(person(1)), changed("p004/0.wav"), given(grant(person(5), "no", [rule("prohibit")])))
        made.record(given(grant(person(2), "later", valid_until=datetime(2026, 8, 1, tzinfo=UTC))))
        state = fold(made.lake.ledger().events())
        record = made.release()
        expected = {}
        for commit in read_commits(made.lake, "first"):
            for part in (one for one in commit.objects if one.kind == "utterances"):
                for row in read_part(made.lake.root, part.path).to_pylist():
                    lineage = row["lineage"]
                    asked = ConsentRecord(
                        tuple(sorted(link["subject_id"] for link in row["consent"])), row["consent_complete"],
                        lineage["source_root"], lineage["source_path"], row["collected_at"],
                        tuple(row["grant_ids"]), lineage["catalogue_row_sha256"],
                    )  # fmt: skip
                    decision = decide(asked, ANY_USE, state, AT)
                    if decision.is_allowed:
                        expected[row["key"]] = decision
        found = {row["key"]: row for row in rows(made, record)}
        assert found.keys() == expected.keys()
        assert made.keys(person(0)) & made.keys(person(1)) not in (set(), found.keys())
        for key, row in found.items():
            assert row["allowed_until"] == expected[key].allowed_until
            assert [(one["subject_id"], one["grant_id"], one["until"]) for one in row["justifications"]] == [
                (one.subject_id, one.grant_id, one.until) for one in expected[key].justifications
            ]

    def test_the_same_is_written_to_the_byte(self, made):
        first, second = made.release("snr_db > 1"), made.release("snr_db > 1")
        assert (first.version, second.version) == (1, 2)
        assert [(part.sha256, part.rows) for part in first.index] == [(part.sha256, part.rows) for part in second.index]

    def test_a_snapshot_changes_where_rows_come_from_and_no_row(self, made):
        before = made.release("snr_db > 0")
        take_snapshot(made.lake)
        after = made.release("snr_db > 0")
        assert (before.snapshot, after.snapshot) == (None, 1)
        assert index_table(made.lake, before).equals(index_table(made.lake, after))

    def test_every_shard_lies_whole_in_one_part(self, tmp_path, monkeypatch):
        monkeypatch.setattr(creating, "PART_ROWS", 20)
        monkeypatch.setattr(creating, "TASK_ROWS", 1)
        made = crowd(tmp_path, 12, units=7, sources=4)
        record = made.release()
        assert len(record.index) == 4
        shards = [set(read_part(made.lake.root, part.path)["shard"].to_pylist()) for part in record.index]
        assert sum(map(len, shards)) == len(set().union(*shards)) == 7
        assert sorted(shards, key=min) == shards
        assert keys(made, record) == made.keys(*made.keys_of)

    def test_columns_of_ones_own_and_of_older_lakes(self, made):
        chosen, record = made.choose("extra['microphone'] is null and accent.label is null and gender is null")
        assert record is not None
        assert record.chosen.utterances == 16
        assert chosen.considered.where.columns == {"extra", "accent", "gender"}


class TestCurrency:
    def test_only_the_current_run_of_a_recording_is_taken(self, made, tmp_path):
        old = made.release()
        # Person 0's first source comes again with one utterance, their second finds no speech any more.
        again = Made("p000/0.wav", {person(0): "g-p000"}, 1)
        silent = Made("p000/1.wav", {person(0): None}, reason=Reason.NO_SPEECH)
        (tmp_path / "again").mkdir()
        write_run(made.lake, tmp_path / "again", [[again, silent]], run_id="second", recipe="b")
        for take in (lambda: None, lambda: take_snapshot(made.lake)):
            take()
            record = made.release()
            theirs = [row for row in rows(made, record) if row["subject_ids"] == [person(0)]]
            assert [(row["key"], row["run_id"]) for row in theirs] == [(key_of(again), "second")]
            assert record.candidates.utterances == record.chosen.utterances == 13
        found = verify(made.lake, old, AT)
        assert found.is_sound
        assert found.replaced.utterances == 4
        assert {name: one.utterances for name, one in found.replaced_by.items()} == {"second": 4}

    def test_a_row_that_is_not_current_cannot_be_released(self, made, tmp_path, monkeypatch):
        """Whatever the reader says, what goes into the index is held against the newest word on its recording."""
        (tmp_path / "again").mkdir()
        write_run(made.lake, tmp_path / "again", [[Made("p000/0.wav", {person(0): "g-p000"}, 1)]], run_id="second",
                  recipe="b")  # fmt: skip
        monkeypatch.setattr(creating, "RowSet", lambda _: RowSet())
        with pytest.raises(LakeError, match="@first is not current, and was chosen all the same"):
            made.release()
        assert list_releases(made.lake) == []

    def test_what_was_held_or_rejected_or_explored_is_in_none(self, tmp_path):
        made = crowd(tmp_path, 2)
        (tmp_path / "look").mkdir()
        look = Made("look/1.wav", {person(0): None}, 2, complete=False)
        write_run(made.lake, tmp_path / "look", [[look]], run_id="look", recipe="c", is_explore=True)
        chosen, record = made.choose()
        assert record is not None
        assert keys(made, record) == made.keys(person(0), person(1))
        assert {reason: one.utterances for reason, one in chosen.denied.items()} == {"incomplete": 2}


class TestTheMoment:
    def test_it_is_decided_at_the_head_and_never_before_the_newest_event(self, made):
        future = datetime.now(UTC) + timedelta(days=2)
        event = ended(person(0)).model_copy(update={"recorded_at": future})
        position = made.record(event)
        use = ANY_USE.model_copy(update={"until": datetime(2026, 12, 24, tzinfo=UTC)})
        if datetime.now(UTC) + timedelta(days=3) > use.until:
            pytest.skip("the grants of this test are over")
        _, record = create(made.lake, Wanted("gold", use))
        assert (record.ledger_position, record.decided_at) == (position, future)
        assert keys(made, record) == made.keys(*map(person, (1, 2, 3)))

    def test_a_withdrawal_while_it_is_made_is_left_for_the_next_and_it_says_so(self, made, monkeypatch):
        run = Selector.run

        def withdrawn_meanwhile(self, task):
            made.lake.ledger().append([ended(person(1), name=f"meanwhile-{task.number}")])
            return run(self, task)

        monkeypatch.setattr(Selector, "run", withdrawn_meanwhile)
        before = made.lake.ledger().head()
        record = made.release()
        assert record.ledger_position == before < made.lake.ledger().head()
        assert keys(made, record) == made.keys(*made.keys_of)
        found = verify(made.lake, record, AT)
        assert found.is_sound
        assert {reason: one.utterances for reason, one in found.denied_now.items()} == {"withdrawn": 4}
        monkeypatch.undo()
        assert keys(made, made.release()) == made.keys(*map(person, (0, 2, 3)))

    def test_grants_are_over_at_their_end(self, made):
        made.record(given(grant("extra", valid_until=AT)))
        late = {"use": ANY_USE.model_copy(update={"until": datetime(2027, 1, 2, tzinfo=UTC)})}
        chosen, record = made.choose(**late)
        assert record is None
        assert {reason: one.utterances for reason, one in chosen.denied.items()} == {"too_late": 16}
        chosen, record = made.choose(at=datetime(2027, 1, 1, tzinfo=UTC), **late)
        assert record is None
        assert list(chosen.denied) == ["expired"]

    def test_a_use_that_is_over_is_a_wrong_request(self, made):
        over = ANY_USE.model_copy(update={"until": datetime(2020, 1, 1, tzinfo=UTC)})
        with pytest.raises(ConfigError, match="the use was over at 2020-01-01T00:00:00Z"):
            create(made.lake, Wanted("gold", over))

    def test_terms_need_a_vocabulary(self, made):
        narrow = ANY_USE.model_copy(update={"genre": "FB"})
        with pytest.raises(ConfigError, match=r"has no vocabulary.*provoice consent vocabulary"):
            made.release(use=narrow)

    def test_a_ledger_that_has_lost_events_is_refused(self, made):
        """Commits say how far the ledger once reached: a withdrawal may be what is gone."""
        write_run(made.lake, Path(made.uri).parent, [[Made("z.wav", {person(0): "g-p000"}, 1)]], run_id="later",
                  ledger_position=7)  # fmt: skip
        with pytest.raises(ConsentError, match="ends at event 4, but event 7 has been read from it"):
            made.release()

    def test_without_the_ledger_nothing_is_made(self, made):
        (Path(made.uri) / "consent" / layout.LEDGER_HEAD).unlink()
        with pytest.raises(ConsentError, match="no consent ledger"):
            made.release()
        assert list_releases(made.lake) == []


class TestImmutable:
    def test_two_who_make_one_at_once_get_a_version_each(self, made):
        barrier, found = threading.Barrier(4), []

        def one():
            barrier.wait()
            found.append(create(Lake.open(made.uri), Wanted("gold", ANY_USE, at=AT))[1])

        threads = [threading.Thread(target=one) for _ in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert sorted(record.version for record in found) == [1, 2, 3, 4]
        for record in list_releases(made.lake):
            assert verify(made.lake, record, AT).is_sound

    def test_whoever_dies_before_the_record_leaves_nothing_to_see(self, made):
        code = f"""
import os, signal
from pipelines.release import create as creating
from lake.lake import Lake
from schemas.consent import Use
creating.create_release = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
use = Use.model_validate_json({ANY_USE.model_dump_json()!r})
from datetime import datetime
creating.create(Lake.open({made.uri!r}), creating.Wanted("gold", use, at=datetime.fromisoformat({AT.isoformat()!r})))
"""
        here = Path(__file__).resolve().parents[2]
        assert subprocess.run([sys.executable, "-c", code], cwd=here, check=False).returncode == -signal.SIGKILL
        left = [info.path for info in made.lake.root.list("releases")]
        assert left
        assert all("/index/part-" in path for path in left)
        assert list_releases(made.lake) == []
        record = made.release()
        assert record.version == 1
        assert verify(made.lake, record, AT).is_sound

    def test_nothing_of_an_earlier_version_is_touched(self, made):
        first = made.release()
        folder = Path(made.uri) / "releases"
        before = {path: (path.read_bytes(), os.stat(path).st_mtime_ns) for path in folder.rglob("*") if path.is_file()}
        made.record(ended(person(0)))
        second = made.release()
        after = {path: (path.read_bytes(), os.stat(path).st_mtime_ns) for path in folder.rglob("*") if path.is_file()}
        assert before.items() <= after.items()
        assert (second.version, second.chosen.utterances) == (2, first.chosen.utterances - 4)


class TestNothingLeft:
    def test_nothing_is_made_where_nothing_is_allowed(self, tmp_path):
        made = crowd(tmp_path, granted=1)
        made.record(ended(person(0)))
        chosen, record = made.choose()
        assert record is None
        assert {reason: one.utterances for reason, one in chosen.denied.items()} == {"no_grant": 12, "withdrawn": 4}
        assert list(made.lake.root.list("releases")) == []

    def test_nor_where_nothing_matches_or_there_is_nothing(self, made, tmp_path):
        assert made.choose("snr_db > 1000")[1] is None
        assert create(Lake.create_or_open(str(tmp_path / "empty")), Wanted("gold", ANY_USE, at=AT))[1] is None
        assert list(made.lake.root.list("releases")) == []


class TestTheAccount:
    def test_each_step_counts_utterances_audio_and_people(self, tmp_path):
        made = crowd(tmp_path, 6, granted=5, pairs=[(0, 5)])
        chosen = preview(
            made.lake, Wanted("gold", ANY_USE, "snr_db >= 1 and duration_s < 2 and text is not null", at=AT)
        )
        assert [(chosen.after(n).utterances, chosen.after(n).people) for n in range(4)] == [
            (26, 6), (22, 6), (22, 6), (20, 5)
        ]  # fmt: skip
        assert (chosen.allowed.utterances, chosen.allowed.audio_s, chosen.allowed.people) == (16, 16.0, 4)
        assert {reason: (one.utterances, one.people) for reason, one in chosen.denied.items()} == {"no_grant": (4, 1)}
        assert list(made.lake.root.list("releases")) == []

    def test_the_record_holds_the_same(self, made):
        chosen, record = made.choose("snr_db >= 2")
        assert record is not None
        assert (record.candidates, record.matching, record.chosen) == (chosen.after(0), chosen.after(1), chosen.allowed)
        assert sum(part.rows or 0 for part in record.index) == record.chosen.utterances == 8
        assert json.loads(record.model_dump_json())["where"] == "snr_db >= 2"


@pytest.mark.parametrize("version", EARLIER)
def test_a_lake_of_an_older_schema_is_chosen_from(tmp_path, version):
    with as_version(version):
        old = small_lake(tmp_path)
    chosen = preview(old.lake, Wanted("old", ANY_USE, "f0_median_hz is null", at=AT))
    assert chosen.after(chosen.last) == chosen.after(0)
    assert chosen.allowed.utterances > 0
