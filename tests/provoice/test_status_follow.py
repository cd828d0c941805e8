"""A live run from another terminal: what is shown, when it ends, and what a look costs."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from dataclasses import replace
from datetime import timedelta

import pytest

from benchmarks.counted_store import CountedStore
from lake.commits import create_commit, read_commits
from lake.lake import Lake
from lake.runs import revise_run
from pipelines.snapshot import take_snapshot
from provoice import status_follow
from provoice.status import standings
from provoice.status_tally import Tally
from schemas.records import Commit, Counts
from tests.builders import ANNA, BEGAN, BEN, BOTH, BROKEN, CAROL, Made, write_run
from tests.histories import commit_unit

UNITS = [[ANNA, BROKEN], [BEN, CAROL], [BOTH]]


@pytest.fixture
def going_on(tmp_path):
    """A run of three units, of which one is committed."""
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    return lake, write_run(lake, tmp_path, UNITS, run_id="r", committed=1)


def made(run, index, minute, wall_s=60.0, audio_s=3600.0, **counts):
    at = BEGAN + timedelta(minutes=minute)
    return Commit(
        run_id=run.run_id, unit_id=f"{index:07d}-0", writer="w", recipe_sha256=run.recipe_sha256, objects=(),
        counts=Counts(**{"sources": 1, "emitted": 1, "source_s": audio_s, **counts}), ledger_position=0, decided_at=at,
        committed_at=at, wall_s=wall_s,
    )  # fmt: skip


def many(tmp_path, units):
    """A run of so many units of an hour each, as planned; none is committed."""
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    sources = [[Made(f"{n}.wav", {"anna": None}, 2399)] for n in range(units)]
    return lake, write_run(lake, tmp_path, sources, run_id="r", committed=0)


def test_a_look_says_what_status_says(going_on, tmp_path):
    lake, run = going_on
    tally = Tally(lake, run)
    for index in (1, 2):
        look, one = tally.look(), standings(lake)[0]
        assert (look.state, look.committed, look.units) == (one.state, one.committed, one.units)
        assert look.counts == one.counts
        commit_unit(lake, run, index, UNITS[index], tmp_path)
    look = tally.look()
    assert (look.state, look.new, look.counts) == ("complete", 1, standings(lake)[0].counts)
    assert (look.left_s, look.ends_at, look.pace_now) == (None, None, None)


def test_pace_and_end(tmp_path):
    """An hour of audio a minute for ten minutes, then two a minute for five: the end follows the pace of now."""
    lake, run = many(tmp_path, 40)
    tally = Tally(lake, run)
    for n in range(20):
        create_commit(lake, made(run, n, n + 1 if n < 10 else 10 + (n - 9) / 2))
    look = tally.look(BEGAN + timedelta(minutes=15))
    assert look.pace_now == pytest.approx(120.0)
    assert look.pace == pytest.approx(20 * 60 / 15)
    assert look.left_s == pytest.approx(20 * 30, rel=0.01)
    assert look.ends_at == look.at + timedelta(seconds=look.left_s)


def test_a_run_that_stands_still_has_no_pace_now_and_ends_by_the_whole(tmp_path):
    lake, run = many(tmp_path, 4)
    create_commit(lake, made(run, 0, 1))
    look = Tally(lake, run).look(BEGAN + timedelta(hours=1))
    assert (look.pace_now, look.pace) == (0.0, 1.0)
    assert look.left_s == pytest.approx(3 * 3600, rel=0.01)


def test_after_a_pause_the_pace_of_now_counts_from_the_resumption(tmp_path):
    lake, run = many(tmp_path, 9)
    create_commit(lake, made(run, 0, 1))
    for n in (1, 2):
        create_commit(lake, made(run, n, 6000 + n))
    look = Tally(lake, run).look(BEGAN + timedelta(minutes=6002))
    assert look.pace_now == pytest.approx(60.0)
    assert look.pace < 0.1


def test_without_a_commit_nothing_is_guessed(tmp_path):
    lake, run = many(tmp_path, 2)
    look = Tally(lake, run).look()
    assert (look.pace_now, look.pace, look.left_s, look.ends_at) == (None, None, None, None)
    assert "not known before the first unit" in "\n".join(status_follow.lines(look))


def test_a_closed_run_is_over(going_on):
    lake, run = going_on
    revise_run(lake, run.model_copy(update={"is_closed": True}))
    look = Tally(lake, run).look()
    assert (look.state, look.is_over, look.committed) == ("closed", True, 1)


def test_an_erasure_meanwhile_changes_the_account(going_on, tmp_path):
    lake, run = going_on
    tally = Tally(lake, run)
    assert tally.look().counts.erased == 0
    commit_unit(lake, run, 0, UNITS[0], tmp_path, kept=[ANNA])
    look = tally.look()
    assert (look.committed, look.counts.erased, look.counts.sources) == (1, 1, 2)


def test_what_a_snapshot_holds_is_read_from_it(going_on, monkeypatch):
    lake, run = going_on
    before = Tally(lake, run).look()
    take_snapshot(lake)
    read = []
    monkeypatch.setattr("provoice.status_tally.read_listed", lambda _, infos: read.extend(infos) or iter(()))
    after = Tally(lake, run).look(before.at)
    assert (after, read) == (replace(before, new=0), [])


def test_a_look_lists_the_run_and_reads_what_is_new(tmp_path):
    """So following costs a listing, and each commit is read once."""
    lake, run = many(tmp_path, 30)
    for n in range(20):
        create_commit(lake, made(run, n, n))
    counted = Lake.open(f"counted://{lake.root.base}")
    tally = Tally(counted, run)
    tally.look()
    for new in (0, 1, 3):
        for n in range(new):
            create_commit(lake, made(run, 20 + new + n, 20 + n))
        before = CountedStore.figures()
        look = tally.look()
        after = CountedStore.figures()
        assert look.new == new
        assert after["requests"] - before["requests"] == new
        assert after["listed"] - before["listed"] == look.committed


# --- the command ------------------------------------------------------------------------------------------------------


def test_follow_ends_when_the_run_is_complete(going_on, tmp_path, provoice, monkeypatch):
    lake, run = going_on
    waiting = [1, 2]

    def work(seconds):
        assert seconds >= 30
        index = waiting.pop(0)
        commit_unit(lake, run, index, UNITS[index], tmp_path)

    monkeypatch.setattr(status_follow.time, "sleep", work)
    done = provoice("status", lake.root.uri, "--follow")
    assert done.exit_code == 0
    said = done.stdout.splitlines()
    assert [re.search(r"r (\w+): (\d)/3 units", line).groups() for line in said] == [
        ("unfinished", "1"), ("unfinished", "2"), ("complete", "3"),
    ]  # fmt: skip
    assert "1 rejected (1 unreadable); 1 held (1 no_grant)" in said[-1]


def test_follow_as_json(going_on, tmp_path, provoice, monkeypatch):
    lake, run = going_on
    waiting = [1, 2]
    monkeypatch.setattr(
        status_follow.time, "sleep", lambda _: commit_unit(lake, run, (n := waiting.pop(0)), UNITS[n], tmp_path)
    )
    looks = [json.loads(line) for line in provoice("status", lake.root.uri, "--follow", "--json").stdout.splitlines()]
    assert [look["committed"] for look in looks] == [1, 2, 3]
    assert looks[-1]["counts"]["sources"] == run.sources
    assert {"pace_now", "pace", "left_s", "ends_at", "state"} <= looks[0].keys()


def test_follow_takes_the_run_that_is_going_on(going_on, tmp_path, provoice, monkeypatch):
    lake, run = going_on
    write_run(lake, tmp_path, [[BOTH]], run_id="complete", recipe="b")
    revise_run(lake, run.model_copy(update={"report": "x"}))
    monkeypatch.setattr(status_follow.time, "sleep", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    done = provoice("status", lake.root.uri, "--follow")
    assert (done.exit_code, done.stderr) == (130, "")
    assert " r unfinished: 1/3 units" in done.stdout
    assert "complete: 1/1" in provoice("status", lake.root.uri, "--follow", "--run", "complete").stdout


def test_follow_of_an_unknown_run_or_an_empty_lake(going_on, tmp_path, provoice):
    done = provoice("status", going_on[0].root.uri, "--follow", "--run", "x")
    assert (done.exit_code, done.stderr) == (2, f"provoice: {going_on[0].root.uri} has no run x; its runs: r\n")
    empty = Lake.create_or_open(str(tmp_path / "empty"))
    assert "has no run yet" in provoice("status", empty.root.uri, "--follow").stdout
    assert provoice("status", empty.root.uri, "--every", "3").exit_code == 2


class Terminal:
    """`provoice` on a terminal of so many columns: its bytes."""

    def __init__(self, columns, *words):
        ours, theirs = pty.openpty()
        import fcntl

        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color"}
        environment.pop("COLUMNS", None)
        environment.pop("NO_COLOR", None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "provoice", *words], stdin=theirs, stdout=theirs, stderr=theirs, env=environment,
            start_new_session=True,
            # Whatever started the tests may have had SIGINT ignored, and that is inherited.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
        )  # fmt: skip
        os.close(theirs)
        self.ours, self.data = ours, b""

    def read_until(self, word, seconds=60.0):
        import select

        until = time.monotonic() + seconds
        while word not in self.data and time.monotonic() < until:
            if select.select([self.ours], [], [], 0.2)[0]:
                try:
                    self.data += os.read(self.ours, 65536)
                except OSError:
                    break  # it has ended
        assert word in self.data, self.data.decode(errors="replace")

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.ours)


@pytest.mark.parametrize("columns", [80, 120])
def test_on_a_terminal_it_is_redrawn_in_place_and_ctrl_c_is_quiet(columns, going_on, tmp_path):
    lake, run = going_on
    terminal = Terminal(columns, "status", lake.root.uri, "--follow", "--every", "0.2")
    try:
        terminal.read_until(b"1 of 3 units, 2 left")
        commit_unit(lake, run, 1, UNITS[1], tmp_path)
        terminal.read_until(b"2 of 3 units, 1 left")
        assert b"\x1b[1A" in terminal.data  # up again, and over what was there
        os.kill(terminal.process.pid, signal.SIGINT)
        terminal.read_until(b"\x1b[?25h")  # the cursor is shown again
        assert terminal.process.wait(30) == 130
        assert b"interrupted" not in terminal.data
        assert b"Traceback" not in terminal.data
        shown = re.sub(rb"\x1b\[[?0-9;]*[a-zA-Z]", b"", terminal.data).decode()
        assert max(len(row) for row in re.split(r"[\r\n]+", shown)) <= columns
    finally:
        terminal.close()


def test_lines_fit_eighty_columns_with_the_figures_of_a_large_run(tmp_path):
    lake, run = many(tmp_path, 2)
    create_commit(lake, made(run, 0, 1))
    look = replace(
        Tally(lake, run).look(), units=1_000_000, committed=999_999, pace_now=123_456.7, pace=123_456.7,
        left_s=360_000.0, ends_at=BEGAN,
        counts=Counts(sources=10**9, source_s=3.6e10, speech_s=3.6e10, utterance_s=3.6e10, utterances=10**10),
    )  # fmt: skip
    assert max(map(len, status_follow.lines(look))) <= 80


def test_commits_are_those_of_the_run(going_on):
    lake, run = going_on
    assert [commit.counts for commit in read_commits(lake, "r")] == [Tally(lake, run).look().counts]
