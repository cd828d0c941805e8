"""Every effect of every command is known, nothing goes past the wrapper, and whatever befalls one of them, the same
command started again leaves the undisturbed lake. `python -m tests.faults` prints the table of all of it.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.faults.commands import COMMANDS
from tests.faults.effects import Kind
from tests.faults.harness import LEVELS, undisturbed
from tests.faults.onlooker import standing
from tests.faults.table import measured

LEVEL = pytest.mark.parametrize("level", LEVELS)
COMMAND = pytest.mark.parametrize("command", COMMANDS.values(), ids=lambda command: command.name)


def survived(line):
    assert line.broken == []
    assert (line.lost, line.doubled, line.uncommitted) == (0, 0, 0)
    assert line.survived == line.injected > 0


@LEVEL
@pytest.mark.parametrize("name", ["run", "gc"])
def test_every_kind_of_effect_is_seen_and_nothing_goes_past(name, level, tmp_path):
    known = undisturbed(COMMANDS[name], level, tmp_path)
    assert known.ended.said == "done"
    assert known.ended.went_past == []
    assert not known.ended.seen
    kinds = {effect.kind for effect in known.ended.effects}
    expected = {Kind.READ, Kind.LOOK, Kind.LIST, Kind.DELETE}
    expected |= {Kind.CREATE} if level == "store" else {Kind.OPEN, Kind.WRITE, Kind.SYNC, Kind.LINK}
    assert expected <= kinds
    assert len(known.state.recordings) == COMMANDS[name].sources


@LEVEL
def test_an_append_survives_everything(level, tmp_path):
    survived(measured(COMMANDS["ledger append"], level, tmp_path, every=5))


@LEVEL
def test_a_run_survives_some_of_everything(level, tmp_path):
    """A few, spread over the whole run; the long test takes all."""
    survived(measured(COMMANDS["run"], level, tmp_path, every=211))


def test_an_erasure_survives_some_of_everything(tmp_path):
    """A few, spread over both of its looks; the long test takes all."""
    survived(measured(COMMANDS["erase"], "store", tmp_path, every=1997))


def test_what_should_be_gone_is_found_wherever_it_stands(tmp_path):
    for name in ("consent/log/1.jsonl", "consent/audit/rows", "shards/a.tar", "plain"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"nothing")
    pq.write_table(pa.table({"who": ["anna", "ben"]}), tmp_path / "rows.parquet", compression="zstd")
    assert standing(tmp_path, "anna", ["0123"]) == ["rows.parquet"]
    (tmp_path / "consent/log/1.jsonl").write_bytes(b"anna took it back")
    assert standing(tmp_path, "anna", ["0123"]) == ["rows.parquet"]
    (tmp_path / "consent/audit/rows").write_bytes(b"anna 0123")
    assert standing(tmp_path, "anna", ["0123"]) == ["consent/audit/rows", "rows.parquet"]


@pytest.mark.long
@LEVEL
@COMMAND
def test_every_fault_at_every_boundary_is_survived(command, level, tmp_path):
    survived(measured(command, level, tmp_path, processes=2))
