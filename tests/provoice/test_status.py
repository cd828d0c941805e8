"""Where runs stand: done, going on, closed, or not begun."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from lake.lake import Lake
from lake.runs import revise_run
from provoice.status import _pace, standing
from schemas.records import Commit, Counts
from tests.builders import ANNA, BEN, BOTH, small_lake, write_run


def test_every_source_of_a_run_is_accounted_for(provoice, lake):
    shown = provoice("status", lake.uri, "--run", "first").stdout
    assert "run first: complete, 2 of 2 units committed" in shown
    assert "9 sources = 4 emitted + 3 rejected + 2 held + 0 erased" in shown
    assert "rejected  3   1 silent, 1 stage_failed, 1 unreadable" in shown
    assert "held      2   1 extra_voice, 1 no_grant" in shown
    assert "cuts put aside: 3 too_short" in shown
    assert "ignored   2 other files" in shown
    assert "out       6.0 s in 6 utterances" in shown


def test_an_unfinished_run_says_what_is_left(provoice, lake):
    shown = provoice("status", lake.uri, "--run", "look").stdout
    assert "run look: unfinished, 1 of 2 units committed" in shown
    assert "1 source not committed yet" in shown


def test_a_closed_run_leaves_the_rest_to_others(provoice, tmp_path):
    made = small_lake(tmp_path)
    revise_run(made.lake, made.runs[2].model_copy(update={"is_closed": True}))
    shown = provoice("status", made.uri, "--run", "look").stdout
    assert "run look: closed" in shown
    assert "1 source left for another run" in shown


def test_all_runs_are_shown_in_order(provoice, lake):
    shown = provoice("status", lake.uri).stdout
    assert [line.split()[1] for line in shown.splitlines() if line.startswith("run ")] == ["first:", "second:", "look:"]


def test_a_lake_without_a_run_names_the_next_step(provoice, tmp_path):
    empty = Lake.create_or_open(str(tmp_path / "lake"))
    done = provoice("status", empty.root.uri)
    assert done.exit_code == 0
    assert "has no run yet; `provoice run" in done.stdout
    assert provoice("status", empty.root.uri, "--json").stdout == ""


def test_an_unknown_run_names_the_known_ones(provoice, lake):
    done = provoice("status", lake.uri, "--run", "thrid")
    assert done.exit_code == 2
    assert "first, second, look" in done.stderr


def test_json_has_one_object_per_run_with_exact_counts(provoice, lake):
    rows = [json.loads(line) for line in provoice("status", lake.uri, "--json").stdout.splitlines()]
    assert [row["run_id"] for row in rows] == ["first", "second", "look"]
    for row in rows:
        counts = row["counts"]
        put_aside = sum(counts["rejected"].values()) + sum(counts["held"].values())
        assert counts["sources"] == counts["emitted"] + put_aside + counts["erased"]
    assert rows[0]["created_at"] == "2026-06-02T12:00:00Z"
    assert (rows[0]["state"], rows[2]["state"]) == ("complete", "unfinished")


def test_cost_is_audio_over_cpu_time(lake):
    run = lake.runs[1]
    counts = Counts(sources=1, emitted=1, source_s=7200.0)
    one = standing(lake.lake, run, [_commit(0, 60, counts, {"decode": 20.0, "other": 16.0})])
    assert one.times_real_time == 200.0
    assert one.pace is None  # one commit says nothing about pace


def _commit(minute, wall_s, counts, seconds=None):
    at = datetime(2026, 6, 2, tzinfo=UTC) + timedelta(minutes=minute)
    return Commit(
        run_id="r", unit_id=f"{minute:07d}-0", writer="w", recipe_sha256="", objects=(), counts=counts,
        ledger_position=0, decided_at=at, committed_at=at, seconds=seconds or {}, wall_s=wall_s,
    )  # fmt: skip


def test_pace_is_taken_over_the_last_commits_so_that_a_pause_is_forgotten():
    hour = Counts(sources=1, emitted=1, source_s=3600.0)
    before_the_pause = [_commit(minute, 60, hour) for minute in range(50)]
    after = [_commit(100_000 + minute, 60, hour) for minute in range(50)]
    assert _pace([*before_the_pause, *after]) == pytest.approx(60.0)
    assert _pace(after[:1]) is None
    assert _pace([_commit(m, 60, Counts(sources=1, held={"no_grant": 1})) for m in range(3)]) is None


def test_what_is_left_follows_the_plan_and_how_its_estimates_did(tmp_path):
    """Two of three equal units are committed, a minute apart: the third takes another minute of audio at that pace."""
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    run = write_run(lake, tmp_path, [[ANNA], [BOTH], [BEN]], run_id="r", committed=2)
    from lake.commits import read_commits

    one = standing(lake, run, list(read_commits(lake, "r")))
    # 7 s of audio came in the 120 s up to the second commit; 2 s of audio are left, as estimated.
    assert one.pace == pytest.approx(7 / 120, abs=0.05)
    assert one.left_s == pytest.approx(2 / (7 / 120), abs=0.1)
