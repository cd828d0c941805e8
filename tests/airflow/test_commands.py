"""What the DAGs call, held against the command line as it is; Airflow itself is not needed for this."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest

from provoice.cli.main import cli
from tests.airflow.environment import DAGS, INFRA
from tests.imports import imports_of

OURS = {"schemas", "transforms", "lake", "pipelines", "provoice", "configs", "benchmarks", "training", "tests"}
FILES = sorted(DAGS.rglob("*.py"))
PROGRAM = ["/opt/provoice/bin/provoice"]
PARAMS: dict[str, Any] = {
    "lake": "s3://voice/lake", "config": "configs/default.yaml", "sources": ["calls=s3://calls/raw", "/data/more"],
    "catalogue": "who.csv", "ledger": "s3://ledger", "set": ["max_rejected_ratio=0.1"], "run_on": "local", "workers": 4,
    "dataflow_options": ["--project=p", "--region=r"], "ray_address": "http://head:8265", "max_rejected_ratio": 0.05,
    "expiring_days": 30, "release": "clean", "use": "use.yaml", "where": "snr_db > 15", "erase": True,
    "erase_raw": True, "prices": "prices.yaml", "cluster": "spot", "budget": 500, "seals": "/secure",
    "superseded": True, "grace": "36h", "also": ["/exports"],
}  # fmt: skip
BARE = {
    **PARAMS, "catalogue": None, "ledger": None, "set": [], "workers": None, "max_rejected_ratio": None, "where": None,
    "erase_raw": False, "superseded": False, "grace": None, "also": [], "prices": None, "cluster": None, "budget": None,
}  # fmt: skip


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"airflow_{name}", DAGS / "provoice_dag" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


commands = load("commands")


def every(params: dict[str, Any]) -> dict[str, list[str]]:
    """Each function's words, with the same parameters."""
    name = commands.run_id("provoice_daily", datetime(2026, 11, 21, 3, tzinfo=UTC))
    more = {
        "plan": (name,), "run": (name,), "check": (name,), "seal": (["s-1", "s-2"], "/secure/one.seal"),
        "scan": ("/secure/one.seal",), "stop_ray": (name, "try1"),
    }  # fmt: skip
    first = {"stop_ray": (params,)}
    return {one: getattr(commands, one)(*first.get(one, (PROGRAM, params)), *more.get(one, ())) for one in builders()}


def builders() -> list[str]:
    """Functions of commands.py that give words, from its source: none is forgotten."""
    tree = ast.parse((DAGS / "provoice_dag" / "commands.py").read_text())
    return [
        one.name
        for one in tree.body
        if isinstance(one, ast.FunctionDef) and one.returns is not None and ast.unparse(one.returns) == "Words"
        and not one.name.startswith("_")
    ]  # fmt: skip


def parsed(words: list[str]) -> tuple[str, dict[str, Any]]:
    """The command that the real parser finds, and its values; raises UsageError for what it does not know."""
    context, command, path = cli.make_context("provoice", list(words)), cli, []
    while isinstance(command, click.Group):
        name, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert name is not None
        assert found is not None
        command, context = found, found.make_context(name, rest, parent=context)
        path.append(name)
    return " ".join(path), context.params


@pytest.mark.parametrize("params", [PARAMS, BARE], ids=["everything", "little"])
@pytest.mark.parametrize("name", [name for name in builders() if name != "stop_ray"])
def test_every_command_is_one_that_the_command_line_has(name, params):
    words = every(params)[name]
    assert words[: len(PROGRAM)] == PROGRAM
    command, values = parsed(words[len(PROGRAM) :])
    assert values.get("lake_uri", PARAMS["lake"]) == PARAMS["lake"]
    assert command.split()[0] in words


def test_values_arrive_where_they_belong():
    words = every(PARAMS)
    command, values = parsed(words["run"][1:])
    assert (command, values["engine"], values["run_id"]) == ("run", "local", "provoice_daily-20261121T030000")
    assert values["sources"] == ("calls=s3://calls/raw", "/data/more")
    assert (values["workers"], values["overrides"]) == (4, ("max_rejected_ratio=0.1",))
    assert parsed(words["check"][1:])[1]["max_rejected_ratio"] == 0.05
    assert parsed(words["plan"][1:])[1]["budget"] == 500
    assert parsed(every(BARE)["plan"][1:])[1]["is_dry"] is True
    assert parsed(words["release"][1:])[1]["where"] == "snr_db > 15"
    assert parsed(words["erase"][1:])[1]["is_sure"] is True
    assert parsed(words["due"][1:])[1]["is_sure"] is False


def test_dataflow_takes_what_stands_behind_the_dashes():
    words = commands.run(PROGRAM, {**PARAMS, "run_on": "dataflow"}, "d-1")
    command, values = parsed(words[1:])
    assert (command, values["engine"], values["config"]) == ("run", "beam", "configs/default.yaml")
    assert values["options"] == ("--runner=DataflowRunner", "--project=p", "--region=r")


@pytest.mark.long  # importing Ray's command line takes ten seconds
def test_ray_is_handed_a_job_that_its_own_parser_and_ours_take():
    from ray.dashboard.modules.job.cli import stop, submit

    words = commands.run(PROGRAM, {**PARAMS, "run_on": "ray"}, "d-1", "try2")
    assert words[:3] == ["ray", "job", "submit"]
    values = submit.make_context("submit", words[3:]).params
    assert (values["address"], values["submission_id"]) == ("http://head:8265", "d-1-try2")
    program, *rest = values["entrypoint"]
    command, ours = parsed(rest)
    assert (program, command, ours["engine"], ours["run_id"]) == ("provoice", "run", "ray", "d-1")
    assert ours["overrides"] == ("ray.address=auto", "ray.packages=image", "max_rejected_ratio=0.1")
    stopped = commands.stop_ray(PARAMS, "d-1", "try2")
    assert stop.make_context("stop", stopped[3:]).params["job_id"] == "d-1-try2"


@pytest.mark.parametrize("value", ["a b; rm -rf /", "$(id)", "'quoted' \"twice\"", "ü\\n"])
def test_a_value_stays_one_word(value):
    words = commands.release(PROGRAM, {**PARAMS, "where": value})
    assert words[words.index("--where") + 1] == value


def test_a_run_is_named_by_its_logical_date():
    moment = datetime(2026, 11, 21, 3, tzinfo=UTC)
    assert commands.run_id("provoice_daily", moment) == commands.run_id("provoice_daily", moment)
    named = commands.run_id("provoice_daily", moment.replace(microsecond=17))
    assert named == "provoice_daily-20261121T030000-000017"
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", named)


def test_what_is_asked_of_what_expires_names_nobody():
    query = every(PARAMS)["expiring"][3]
    assert re.findall(r"\b(subject_id|grant_id)\b", query.replace("count(distinct subject_id)", "")) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_dag_imports_provoice(path):
    assert {found.module for found in imports_of(path.read_text()) if found.top in OURS} == set()


def test_there_is_one_place_that_starts_a_process_and_no_shell():
    found = {
        (path.name, ast.unparse(node.func))
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and re.search(r"subprocess|Popen|system|spawn|exec[lv]", ast.unparse(node.func))
    }
    assert found == {("command_task.py", "subprocess.Popen")}
    assert not any("shell" in path.read_text().replace("no shell", "") for path in FILES)


def test_every_import_of_a_dag_is_airflows_or_pythons():
    import sys

    tops = {found.top for path in FILES for found in imports_of(path.read_text())}
    assert tops - set(sys.stdlib_module_names) == {"airflow", "provoice_dag"}


def test_the_example_of_settings_is_json_with_every_parameter_known():
    example = json.loads((INFRA / "provoice.example.json").read_text())
    tree = ast.parse((DAGS / "provoice_dag" / "deployment.py").read_text())
    schemas = {
        one.target.id: {key.value for key in one.value.keys if isinstance(key, ast.Constant)}
        for one in tree.body
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and isinstance(one.value, ast.Dict)
    }
    assert set(example["daily"]["params"]) <= schemas["DAILY"]
    assert set(example["weekly"]["params"]) <= schemas["WEEKLY"]
    assert schemas["DAILY"] | schemas["WEEKLY"] == set(PARAMS)


def test_the_helpers_are_not_taken_for_dags():
    assert (DAGS / ".airflowignore").read_text().split() == ["provoice_dag/"]
    assert {path.name for path in Path(DAGS).glob("*.py")} == {"provoice_daily.py", "provoice_weekly.py"}
