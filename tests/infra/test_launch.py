"""The flex template's launcher: the words of its metadata, a run handed to a runner, a job described for Dataflow."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("apache_beam", reason="Apache Beam is not installed")

from lake.lake import Lake
from lake.runs import list_runs
from tests.infra.terraform import INFRA

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"),
]
METADATA = json.loads((INFRA / "dataflow" / "metadata.json").read_text())
FIELDS = {"name", "label", "helpText", "regexes", "paramType", "isOptional", "defaultValue"}


@pytest.fixture(scope="module")
def launch() -> ModuleType:
    """The file as the launcher runs it: it lies in no package."""
    spec = importlib.util.spec_from_file_location("launch", INFRA / "dataflow" / "launch.py")
    assert spec is not None and spec.loader is not None  # noqa: PT018
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """What is said of a small folder: two files in which nobody speaks."""
    raw = tmp_path / "raw"
    raw.mkdir()
    for name in ("a", "b"):
        soundfile.write(raw / f"{name}.wav", np.zeros(16_000), 16_000)
    return [
        "--config=configs/explore.yaml", f"--source=raw={raw}", f"--lake={tmp_path / 'lake'}", "--run_id=r1",
        "--set=diarize.backend=single; workers=1",
    ]  # fmt: skip


def test_metadata_has_the_documented_fields_and_the_launchers_words(launch: ModuleType) -> None:
    assert set(METADATA) == {"name", "description", "parameters"}
    for parameter in METADATA["parameters"]:
        assert set(parameter) <= FIELDS
        assert {"name", "label", "helpText"} <= set(parameter)
        assert re.fullmatch(r"[a-z][A-Za-z0-9_]*", parameter["name"])
        assert [re.compile(pattern) for pattern in parameter["regexes"]]
    needed = {one["name"] for one in METADATA["parameters"] if not one.get("isOptional")}
    assert needed == {"source", "lake"}
    given, rest = launch._parsed([f"--{one['name']}=x" for one in METADATA["parameters"]] + ["--runner=DataflowRunner"])
    assert (set(vars(given).values()), rest) == ({"x"}, ["--runner=DataflowRunner"])
    default = next(one["defaultValue"] for one in METADATA["parameters"] if one["name"] == "config")
    assert launch._parsed(["--source=s", "--lake=l"])[0].config == default


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("source", "raw=gs://a-b/c;gs://d/e f".replace(" ", ""), "/data"),
        ("config", "configs/default.yaml", "../secrets.yaml"),
        ("config", "gs://b/own.yaml", "gs://b/own.py"),
        ("lake", "gs://b-lake/main", "gs://b-lake/main/"),
        ("run_id", "2026-11-21", "a b"),
        ("set", "a.b=c;d=[1, 2]", "a.b"),
        ("catalogue", "gs://b/who.parquet", "who.parquet"),
    ],
)
def test_parameters_are_checked_before_anything_starts(name: str, right: str, wrong: str) -> None:
    (parameter,) = (one for one in METADATA["parameters"] if one["name"] == name)
    (pattern,) = parameter["regexes"]
    assert re.fullmatch(pattern, right)
    assert not re.fullmatch(pattern, wrong)
    if default := parameter.get("defaultValue"):
        assert re.fullmatch(pattern, default)


@pytest.mark.long
def test_a_launch_plans_and_hands_over(launch: ModuleType, words: list[str], tmp_path: Path, caplog: Any) -> None:
    """Told to run here, the job does every unit; told again, there is nothing to do, and a name is taken up."""
    assert launch.main([*words, "--runner=FnApiRunner"]) == 0
    lake = Lake.open(str(tmp_path / "lake"))
    (run,) = list_runs(lake)
    commits = list((tmp_path / "lake" / "commits" / run.run_id).iterdir())
    assert (run.run_id, len(commits)) == ("r1", run.units)
    with caplog.at_level("WARNING"):
        assert launch.main([*[word for word in words if "run_id" not in word], "--runner=FnApiRunner"]) == 0
    assert "nothing to do" in caplog.text


@pytest.mark.long
def test_dataflow_gets_a_job_that_is_described(launch: ModuleType, words: list[str], monkeypatch: Any) -> None:
    """As far as Beam goes without an account: the job is put together by the runner for Dataflow, and not sent."""
    from apache_beam.runners.dataflow import dataflow_runner

    jobs: list[Any] = []
    original = dataflow_runner.DataflowRunner.run_pipeline

    def kept(self: Any, *given: Any, **named: Any) -> Any:
        result = original(self, *given, **named)
        jobs.append(self.proto_pipeline)
        return result

    monkeypatch.setattr(dataflow_runner.DataflowRunner, "run_pipeline", kept)
    options = [
        "--runner=DataflowRunner", "--dry_run=True", "--no_auth", "--project=a-project", "--region=europe-west4",
        "--temp_location=gs://a-temp/t", "--staging_location=gs://a-temp/s", "--sdk_container_image=r/i:1",
        "--sdk_location=container", "--max_num_workers=4", "--number_of_worker_harness_threads=2",
    ]  # fmt: skip
    assert launch.main([*words, *options]) == 0
    (job,) = jobs
    images = [environment.payload for environment in job.components.environments.values()]
    assert any(b"r/i:1" in payload for payload in images)
    assert any("Run" in name.unique_name for name in job.components.transforms.values())


def test_what_is_wrong_has_its_exit_code(launch: ModuleType, words: list[str], caplog: Any) -> None:
    assert launch.main([*words, "--runner=FnApiRunner", "--no_such_option=1"]) == 2
    assert "`--no_such_option` is no option of Beam's" in caplog.text
    assert launch.main(["--source=;", *words[2:]]) == 2
    assert not list(Path(words[2].partition("=")[2]).glob("runs/*"))
