"""The command line as a whole: how quickly it answers, and how it says that something is wrong."""

from __future__ import annotations

import importlib
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from provoice.cli import errors
from provoice.cli.main import COMMANDS, cli
from schemas.errors import AlreadyExists, ConfigError, ConsentError, LakeError, RunStopped

HEAVY = {"pydantic", "pyarrow", "numpy", "duckdb", "fsspec", "pandas", "torch", "onnxruntime", "matplotlib", "rich"}


@pytest.mark.parametrize("words", [["--help"], ["--version"], [], ["no-such-command"]])
def test_what_needs_no_command_imports_nothing_heavy(words):
    code = f"""
import sys
sys.argv = ["provoice", *{words!r}]
from provoice.__main__ import main
try:
    main()
except SystemExit:
    pass
sys.stdout.flush()
print(*(set(sys.modules) & {HEAVY!r}), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == ""


def test_help_lists_every_command_with_a_short_help(provoice):
    shown = provoice("--help")
    assert shown.exit_code == 0
    for name, (_, _, help_text) in COMMANDS.items():
        assert f"  {name} " in shown.stdout
        assert help_text in shown.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_exists_and_has_that_name(name, provoice):
    module, attribute, _ = COMMANDS[name]
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)
    assert command.name == name
    assert provoice(name, "--help").exit_code == 0


def test_an_unknown_command_names_the_nearest(provoice):
    done = provoice("staus")
    assert done.exit_code == 2
    assert "did you mean `status`?" in done.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("a"), 2),
        (ConsentError("b"), 4),
        (LakeError("c"), 1),
        (AlreadyExists("d"), 1),
        (RunStopped("e"), 1),
        (ZeroDivisionError("f"), 1),
    ],
)
def test_each_kind_of_error_is_one_line_and_its_exit_code(error, code, capsys):
    with pytest.raises(SystemExit) as left, errors.explained():
        raise error
    said = capsys.readouterr().err
    assert left.value.code == code
    assert len(said.splitlines()) == 1
    assert said.startswith("provoice: ")
    assert str(error) in said


def test_an_error_of_several_lines_still_takes_one(capsys):
    with pytest.raises(SystemExit), errors.explained():
        raise ValueError("first\n  second\n\nthird")
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_ctrl_c_is_130(capsys):
    with pytest.raises(SystemExit) as left, errors.explained():
        raise KeyboardInterrupt
    assert left.value.code == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_traceback_only_where_it_is_asked_for(provoice, tmp_path, monkeypatch):
    monkeypatch.delenv("PROVOICE_DEBUG", raising=False)
    words = ["status", str(tmp_path)]
    assert "Traceback" not in provoice(*words).stderr
    monkeypatch.setenv("PROVOICE_DEBUG", "")
    assert "Traceback" in provoice("--traceback", *words).stderr
    assert provoice("--traceback", *words).exit_code == 2


def test_a_reader_that_leaves_early_is_no_error(lake):
    line = f"{sys.executable} -m provoice sql {lake.uri} 'select unnest(range(200000))' | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr == ""


@pytest.mark.parametrize("words", [["sql"], ["why"], ["status"], ["report"], ["sql", "x", "y", "z"]])
def test_words_that_are_missing_or_too_many_are_a_wrong_request(words, provoice):
    assert provoice(*words).exit_code == 2


@pytest.mark.parametrize("command", ["sql", "why", "status", "report"])
def test_a_folder_that_is_no_lake_names_the_next_step(command, provoice, tmp_path):
    more = {"sql": ["from runs"], "why": ["x"]}.get(command, [])
    done = provoice(command, tmp_path, *more)
    assert done.exit_code == 2
    assert "not a lake" in done.stderr
    assert "provoice run" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_group_itself_is_a_lazy_one():
    assert cli.list_commands(click.Context(cli)) == list(COMMANDS)
    assert cli.get_command(click.Context(cli), "nothing") is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--source", "nowhere"], "nothing is there"),
        (["--source", ".", "--catalogue", "none.csv"], "none.csv"),
        (["--source", ".", "--set", "cut.maxs=3"], "did you mean `max_s`?"),
        ([], "nothing to read"),
    ],
)
def test_a_wrong_request_is_exit_code_two_and_leaves_no_lake_behind(tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    answer = CliRunner().invoke(cli, ["run", "configs/explore.yaml", "--lake", "lake", *words])
    assert answer.exit_code == 2
    assert said in answer.output
    assert not (tmp_path / "lake").exists()
