"""`provoice plan`: a sample is prepared, the rest foretold, kept beside the run, compared with it; budgets refuse."""

from __future__ import annotations

import json

import pytest

from lake.forecasts import forecast_of
from lake.lake import Lake
from lake.runs import list_runs
from pipelines.run import start
from schemas.errors import OverBudget
from tests.runs import request_for
from tests.speech import folder_of_clips

PRICES = ("--prices", "configs/prices/gcp-example.yaml")
QUICK = ("--set", "diarize.backend=single", "--set", "workers=1")


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return folder_of_clips(tmp_path_factory.mktemp("clips") / "raw", 6)


def words(command, raw, lake, *more):
    return (command, "configs/explore.yaml", "--source", f"raw={raw}", "--lake", lake, *QUICK, *more)


def test_a_plan_foretells_its_run_and_the_report_compares_them(provoice, raw, tmp_path):
    lake = tmp_path / "lake"
    planned = provoice(*words("plan", raw, lake, *PRICES, "--json"))
    assert planned.exit_code == 0, planned.stderr
    told = json.loads(planned.stdout)
    forecast = told["forecast"]
    assert (told["sources"], forecast["sources"], sum(one["measured"] for one in forecast["strata"])) == (6, 6, 6)
    assert forecast["cost"]["is_example"]
    assert forecast["cost"]["requests"]["value"] == 0
    assert list_runs(Lake.open(str(lake))) == []

    done = provoice(*words("run", raw, lake, "--json"))
    assert done.exit_code == 0, done.stderr
    (run,) = list_runs(Lake.open(str(lake)))
    kept = forecast_of(Lake.open(str(lake)), run)
    assert kept is not None
    assert kept.model_dump(mode="json") == forecast
    # All sources were measured, so what follows from them alone is no estimate.
    came = json.loads(done.stdout)
    for name, figure in (("audio_s", "source_s"), ("utterance_s", "utterance_s"), ("utterances", "utterances")):
        assert forecast[name]["value"] == pytest.approx(came[figure], rel=1e-6)
    stored = [path for folder in ("shards", "utterances", "recordings") for path in (lake / folder).rglob("*.*")]
    assert forecast["output_bytes"]["value"] == pytest.approx(sum(path.stat().st_size for path in stored), rel=0.02)

    page = tmp_path / "report.html"
    assert provoice("report", lake, "-o", page).exit_code == 0
    text = page.read_text()
    assert f"Plan and actual: {run.run_id}" in text
    assert "6 sources, 100.0% of the bytes" in text

    listed = provoice("gc", lake, "--json")
    assert listed.exit_code == 0, listed.stderr
    assert "forecast-" not in listed.stdout


def test_a_run_beyond_its_budget_is_refused_before_it_starts(provoice, raw, tmp_path):
    lake = tmp_path / "lake"
    refused = provoice(*words("run", raw, lake, *PRICES, "--budget", "0"))
    assert refused.exit_code == 4
    assert isinstance(refused.exception, SystemExit)
    assert "the budget is 0.00" in refused.stderr
    assert list_runs(Lake.open(str(lake))) == []


@pytest.mark.long
def test_a_run_within_its_budget_runs_and_one_that_is_resumed_is_asked_for_the_rest(provoice, raw, tmp_path):
    lake = tmp_path / "lake"
    request = request_for(raw, lake, settings=("diarize.backend=single", "workers=1", "plan.unit_max_sources=2"))
    started = start(request)
    assert started.run.units == 3
    more = ("--set", "plan.unit_max_sources=2")
    left = json.loads(provoice(*words("plan", raw, lake, *more, "--json")).stdout)
    assert left["resumes"] == started.run.run_id
    assert (left["forecast"]["sources"], left["forecast"]["units"]) == (6, 3)
    refused = provoice(*words("plan", raw, lake, *more, *PRICES, "--budget", "0"))
    assert refused.exit_code == 4
    assert "cost, USD: in all" in refused.stdout
    done = provoice(*words("run", raw, lake, *more, *PRICES, "--budget", "100"))
    assert done.exit_code == 0, done.stderr
    assert [run.run_id for run in list_runs(Lake.open(str(lake)))] == [started.run.run_id]
    after = provoice(*words("plan", raw, lake, *more))
    assert after.exit_code == 0
    assert "nothing to do" in after.stdout


def test_a_dry_run_opens_no_source_and_leaves_nothing_behind(provoice, raw, tmp_path):
    listed = provoice(*words("plan", raw, tmp_path / "lake", "--dry-run", "--json"))
    assert listed.exit_code == 0, listed.stderr
    assert json.loads(listed.stdout)["sources"] == 6
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--budget", "5"), "a budget needs prices"),
        (("--cluster", "none"), "no cluster `none`"),
        ((*PRICES, "--dry-run"), "--dry-run measures nothing"),
        (("--budget", "-1"), "-1"),
    ],
)
def test_a_wrong_question_is_exit_code_two(provoice, raw, tmp_path, more, said):
    asked = provoice(*words("plan", raw, tmp_path / "lake", *more))
    assert asked.exit_code == 2
    assert said in asked.stderr


def test_over_budget_is_a_refusal():
    from provoice.cli.errors import REFUSED, exit_code

    assert exit_code(OverBudget("too dear")) == REFUSED
