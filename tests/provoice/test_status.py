"""Where runs stand: done, going on, closed, or not begun."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from lake.commits import create_commit
from lake.lake import Lake
from lake.runs import revise_run
from pipelines.snapshot import snapshot
from provoice.status import _pace, standings
from schemas.consent import DenyReason
from schemas.records import Commit, Counts
from tests.builders import ANNA, BEGAN, BEN, BOTH, Made, small_lake, write_run


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
    one = replace(standings(lake.lake, "second")[0], counts=Counts(source_s=7200.0), cpu_s=36.0)
    assert one.times_real_time == 200.0
    assert replace(one, cpu_s=0.0).times_real_time is None
    assert one.pace is None  # one commit says nothing about pace


def test_a_run_costs_what_its_commits_cost(lake):
    first = standings(lake.lake, "first")[0]
    assert (first.cpu_s, first.wall_s, first.retried_units) == (0.06, 120.0, 0)
    assert (first.first_commit, first.last_commit) == tuple(BEGAN + timedelta(days=1, minutes=n) for n in (1, 2))


def _row(minute, wall_s=60.0, audio_s=3600.0):
    return {"at": BEGAN + timedelta(minutes=minute), "wall_s": wall_s, "audio_s": audio_s}


def test_pace_is_taken_from_the_begin_of_the_first_to_the_end_of_the_last():
    assert _pace([_row(minute) for minute in (3, 1, 2)]) == pytest.approx(60.0)
    assert _pace([_row(1)]) is None
    assert _pace([_row(minute, audio_s=0.0) for minute in range(3)]) is None


def test_pace_is_taken_over_the_last_commits_so_that_a_pause_is_forgotten(tmp_path):
    """A unit before a pause of months, then as many as are looked at, a minute apart."""
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    units = [[Made(f"{n}.wav", {"anna": None}, reason=DenyReason.NO_GRANT)] for n in range(51)]
    run = write_run(lake, tmp_path, units, run_id="r", committed=0)
    for n in range(51):
        at = BEGAN + timedelta(minutes=100_000 + n if n else 0)
        create_commit(
            lake,
            Commit(
                run_id="r", unit_id=f"{n:07d}-0", writer="w", recipe_sha256=run.recipe_sha256, objects=(),
                counts=Counts(sources=1, emitted=1, source_s=60.0), ledger_position=0, decided_at=at, committed_at=at,
                wall_s=60.0, attempt=1 + (n == 7),
            ),
        )  # fmt: skip
    one = standings(lake)[0]
    assert (one.pace, one.committed, one.retried_units) == (1.0, 51, 1)
    snapshot(lake)
    assert standings(lake) == [one]


def test_what_is_left_follows_the_plan_and_how_its_estimates_did(tmp_path):
    """Two of three equal units are committed, a minute apart: the third takes another minute of audio at that pace."""
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    write_run(lake, tmp_path, [[ANNA], [BOTH], [BEN]], run_id="r", committed=2)
    one = standings(lake)[0]
    # 7 s of audio came in the 120 s up to the second commit; 2 s of audio are left, as estimated.
    assert one.pace == pytest.approx(7 / 120, abs=0.05)
    assert one.left_s == pytest.approx(2 / (7 / 120), abs=0.1)
