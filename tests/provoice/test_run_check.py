"""`status --check`: what a scheduler asks after a run, and the exit code that it reads."""

from __future__ import annotations

import json

import pytest
import yaml

from lake import layout
from lake.commits import create_commit, read_commits
from lake.lake import Lake
from lake.runs import revise_run
from tests.builders import Made, small_lake, write_run


def configured(made, number, ratio):
    text = yaml.safe_dump({"config": {"max_rejected_ratio": ratio}, "recipe": {}})
    made.lake.root.create(layout.config_path(number), text.encode())


def test_a_run_that_is_complete_and_adds_up_passes(provoice, tmp_path):
    made = small_lake(tmp_path)  # `first`: 3 of 9 sources rejected
    configured(made, 1, 0.34)
    done = provoice("status", made.uri, "--run", "first", "--check")
    assert done.exit_code == 0
    assert "9 sources = 4 emitted + 3 rejected + 2 held + 0 erased" in done.stdout
    assert "checked   complete, adds up; 33.3% rejected, of 34.0% that may be" in done.stdout
    told = json.loads(provoice("status", made.uri, "--run", "first", "--check", "--json").stdout)
    assert (told["rejected_ratio"], told["max_rejected_ratio"], told["state"]) == (0.333333, 0.34, "complete")


def test_too_much_rejected_is_exit_3_by_the_runs_own_configuration(provoice, tmp_path):
    made = small_lake(tmp_path)
    configured(made, 1, 0.2)
    done = provoice("status", made.uri, "--run", "first", "--check", "--json")
    assert done.exit_code == 3
    assert "33.3% of the sources of run first were rejected; max_rejected_ratio is 20.0%" in done.stderr
    assert json.loads(done.stdout)["counts"]["rejected"] == {"silent": 1, "stage_failed": 1, "unreadable": 1}
    assert provoice("status", made.uri, "--run", "first", "--check", "--max-rejected-ratio", "0.5").exit_code == 0


def test_a_run_whose_configuration_is_not_there_says_what_to_say(provoice, lake):
    done = provoice("status", lake.uri, "--run", "first", "--check")
    assert done.exit_code == 1
    assert done.stderr.endswith("does not say what run first may reject; say --max-rejected-ratio\n")


def test_an_unfinished_run_is_exit_1(provoice, tmp_path):
    made = small_lake(tmp_path)
    done = provoice("status", made.uri, "--run", "look", "--check", "--max-rejected-ratio", "1")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "run look: 1 unit of 2 not committed, and it is not complete; the command line" in done.stderr
    revise_run(made.lake, made.runs[2].model_copy(update={"is_closed": True}))
    done = provoice("status", made.uri, "--run", "look", "--check", "--max-rejected-ratio", "1")
    assert (done.exit_code, "and it is closed" in done.stderr) == (1, True)


def test_a_run_that_does_not_add_up_is_exit_1(provoice, tmp_path):
    lake = Lake.create_or_open(str(tmp_path / "lake"))
    write_run(lake, tmp_path, [[Made("a.wav", utterances=1)], [Made("b.wav", utterances=1)]], run_id="first")
    commit = next(iter(read_commits(lake, "first")))
    create_commit(lake, commit.model_copy(update={
        "generation": 1, "counts": commit.counts.model_copy(update={"emitted": 0}),
    }))  # fmt: skip
    done = provoice("status", lake.root.uri, "--run", "first", "--check", "--max-rejected-ratio", "1")
    assert done.exit_code == 1
    assert "run first planned 2 sources and accounts for 1 emitted + 0 rejected + 0 held + 0 erased" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--check",), "--check goes with --run ID"),
        (("--run", "first", "--check", "--follow"), "say one of them"),
        (("--run", "first", "--max-rejected-ratio", "0.1"), "--max-rejected-ratio goes with --check"),
        (("--run", "fisrt", "--check"), "has no run fisrt"),
    ],
)
def test_a_wrong_request_is_exit_2(provoice, lake, words, said):
    done = provoice("status", lake.uri, *words)
    assert (done.exit_code, said in done.stderr) == (2, True)
