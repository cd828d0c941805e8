"""`provoice gc` as it is typed and read."""

from __future__ import annotations

import json
import os
import shlex

import pytest

from lake import layout
from lake.commits import committed_units
from lake.lake import Lake
from provoice.gc import seconds
from schemas.errors import ConfigError
from tests.builders import ANNA, BEN, Made, key_of, write_run
from tests.collected import HEX, paths, sweep

DAYS = 3 * 86_400


@pytest.fixture
def left_over(tmp_path):
    """A lake in a folder with a space in its name, and a tar of three days ago that nobody names."""
    lake = Lake.create_or_open(str(tmp_path / "my lake"))
    write_run(lake, tmp_path, [[ANNA], [BEN]], run_id="r")
    path = layout.shard_path("r", min(committed_units(lake, "r")), HEX)
    lake.root.create(path, b"left over")
    file = tmp_path / "my lake" / path
    os.utime(file, (file.stat().st_atime, file.stat().st_mtime - DAYS))
    return lake, path


def test_the_last_line_is_the_command_that_does_it(left_over, provoice):
    lake, path = left_over
    before = paths(lake)
    said = provoice("gc", lake.root.uri)
    assert said.exit_code == 0
    assert "would delete 1 object, 9 B" in said.stdout
    assert lake.root.uri_of(path) in said.stdout
    assert paths(lake) == before
    words = shlex.split(said.stdout.splitlines()[-1])
    assert words == ["provoice", "gc", lake.root.uri, "--yes"]
    done = provoice(*words[1:])
    assert "deleted 1 object, 9 B" in done.stdout
    assert before - paths(lake) == {path}
    assert provoice("gc", lake.root.uri).stdout.splitlines()[-1] == "nothing to delete"


def test_as_json(left_over, provoice):
    lake, path = left_over
    said = json.loads(provoice("gc", lake.root.uri, "--json", "--superseded").stdout)
    assert (said["objects"], said["size_bytes"], said["is_deleted"]) == (1, 9, False)
    assert said["swept"]["unit"]["examples"] == [lake.root.uri_of(path)]
    assert said["superseded"] == {"collected": 0, "released": 0, "waiting": 0}
    assert said["grace"]["grace_s"] == 86_400


def test_the_grace_is_said_with_the_command_and_a_short_one_is_refused(left_over, provoice):
    lake, _ = left_over
    assert provoice("gc", lake.root.uri, "--grace", "2d").stdout.splitlines()[-1].endswith("--grace 2d --yes")
    assert "nothing to delete" in provoice("gc", lake.root.uri, "--grace", "4d").stdout
    refused = provoice("gc", lake.root.uri, "--grace", "10m", "--yes")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "3600 s is the least" in refused.stderr
    assert provoice("gc", lake.root.uri, "--grace", "soon").exit_code == 2


@pytest.mark.parametrize(("text", "wanted"), [("90", 90), ("90s", 90), ("1.5h", 5400), ("2 d", 172_800), ("5m", 300)])
def test_how_long(text, wanted):
    assert seconds(text) == wanted


@pytest.mark.parametrize("text", ["", "h", "-3h", "1 week", "nan"])
def test_what_is_no_time(text):
    with pytest.raises(ConfigError, match="--grace"):
        seconds(text)


def test_why_says_what_became_of_a_key_that_was_collected(tmp_path, provoice):
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    write_run(lake, tmp_path, [[ANNA], [BEN]], run_id="old")
    write_run(lake, tmp_path, [[Made(ANNA.path, ANNA.people, 1)]], run_id="new", recipe="b")
    gone = key_of(ANNA, 1)
    assert "superseded" in provoice("why", lake.root.uri, gone).stdout
    assert sweep(lake, superseded=True).superseded.collected == 1
    said = provoice("why", lake.root.uri, gone)
    assert said.exit_code == 2
    assert (
        "what run old made of its recording was replaced by a newer run, and removed by `provoice gc` on" in said.stderr
    )
    source = provoice("why", lake.root.uri, ANNA.path)
    assert "run new, unit" in source.stdout
    assert "run old, unit 0000000-" in source.stdout
    assert "superseded, and removed by `provoice gc` on" in source.stdout
    (told,) = json.loads(provoice("why", lake.root.uri, ANNA.path, "--json").stdout)["sources"]
    assert [unit["run_id"] for unit in told["collected_in"]] == ["old"]
    rows = provoice("sql", lake.root.uri, "select unit_id from commits where collected_at is not null", "--csv").stdout
    assert len(rows.splitlines()) == 2
