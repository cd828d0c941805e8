"""The command lines that the tasks call, as lists of words. Pure: no Airflow, no provoice, no shell.

`program` is what stands before a command, such as `["/opt/provoice/bin/provoice"]`; `params` are the DAG's parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

Words = list[str]
Params = Mapping[str, Any]

MEANINGS = {
    1: "it broke, or the store said something that cannot be explained",
    2: "the request is wrong",
    3: "more was rejected than max_rejected_ratio allows",
    4: "refused: consent, or a check that found something",
}
"""What an exit code of provoice means; others are signals and crashes, which a retry may cure."""


def run_id(dag_id: str, moment: datetime) -> str:
    """The run's name, from the DAG run's logical date: a retry, or the same date cleared and done again, resumes it.

    >>> run_id("provoice_daily", datetime(2026, 11, 21, 3))
    'provoice_daily-20261121T030000'
    """
    return f"{dag_id}-{moment:%Y%m%dT%H%M%S}" + (f"-{moment:%f}" if moment.microsecond else "")


def plan(program: Sequence[str], params: Params, name: str) -> Words:
    """Lists what is new; with prices, a cluster or a budget it also measures a sample, and may refuse."""
    cost = [word for key in ("cluster", "prices", "budget") for word in _option(f"--{key}", params.get(key))]
    return [*program, "plan", *_what(params), "--run-id", name, *(cost or ["--dry-run"]), "--json"]


def run(program: Sequence[str], params: Params, name: str, attempt: str = "1", ray: Sequence[str] = ("ray",)) -> Words:
    """The job itself: a process here, a job on Dataflow, or a job that a Ray cluster's head is handed."""
    common = ["--run-id", name, *_option("--workers", params.get("workers"))]
    if params["run_on"] == "dataflow":
        options = ["--", "--runner=DataflowRunner", *params["dataflow_options"]]
        return [*program, "run", *_what(params), *common, "--engine", "beam", *options]
    if params["run_on"] == "ray":
        # Ray refuses a submission id that it has seen, so each attempt has its own; the run id is what resumes.
        submit = [*ray, "job", "submit", "--address", params["ray_address"], "--submission-id", f"{name}-{attempt}"]
        on_head = ["--set", "ray.address=auto", "--set", "ray.packages=image"]
        return [*submit, "--", "provoice", "run", *_what(params, on_head), *common, "--engine", "ray"]
    return [*program, "run", *_what(params), *common, "--engine", "local"]


def stop_ray(params: Params, name: str, attempt: str, ray: Sequence[str] = ("ray",)) -> Words:
    return [*ray, "job", "stop", "--no-wait", "--address", params["ray_address"], f"{name}-{attempt}"]


def runs(program: Sequence[str], params: Params) -> Words:
    return [*program, "status", params["lake"], "--json"]


def check(program: Sequence[str], params: Params, name: str) -> Words:
    ratio = _option("--max-rejected-ratio", params.get("max_rejected_ratio"))
    return [*program, "status", params["lake"], "--run", name, "--check", *ratio, "--json"]


def snapshot(program: Sequence[str], params: Params) -> Words:
    return [*program, "snapshot", params["lake"], "--json"]


def expiring(program: Sequence[str], params: Params) -> Words:
    """How much ends, and when the first does: counts, for what a task says stays in Airflow's log and database, where
    no erasure reaches."""
    query = (
        "select count(*) as grants, count(distinct subject_id) as people, min(valid_until) as first_ends, "
        f"coalesce(sum(utterances), 0) as utterances from expiring where days_left < {int(params['expiring_days'])}"
    )
    return [*program, "sql", params["lake"], query, "--json"]


def release(program: Sequence[str], params: Params) -> Words:
    where = _option("--where", params.get("where"))
    words = ["release", "create", params["lake"], params["release"], "--use", params["use"], *where]
    return [*program, *words, "--if-changed", "--json"]


def due(program: Sequence[str], params: Params) -> Words:
    return [*program, "erase", params["lake"], "--due", "--json"]


def seal(program: Sequence[str], params: Params, people: Sequence[str], out: str) -> Words:
    whom = [word for one in people for word in ("--subject", one)]
    return [*program, "audit", "seal", params["lake"], *whom, "--out", out, "--json"]


def erase(program: Sequence[str], params: Params) -> Words:
    return [*program, "erase", params["lake"], "--due", "--yes", *(["--raw"] if params["erase_raw"] else []), "--json"]


def gc(program: Sequence[str], params: Params) -> Words:
    superseded = ["--superseded"] if params["superseded"] else []
    return [*program, "gc", params["lake"], "--yes", *superseded, *_option("--grace", params.get("grace")), "--json"]


def audit_verify(program: Sequence[str], params: Params) -> Words:
    return [*program, "audit", "verify", params["lake"]]


def scan(program: Sequence[str], params: Params, seal_file: str) -> Words:
    also = [word for uri in params["also"] for word in ("--also", uri)]
    # A plain seal is as private as the lake: once a scan has passed, only its keyed half is kept.
    finish = [] if seal_file.endswith(".keyed") else ["--finish"]
    return [*program, "audit", "scan", params["lake"], "--seal", seal_file, *also, *finish, "--json"]


def report(program: Sequence[str], params: Params) -> Words:
    return [*program, "report", params["lake"]]


def _what(params: Params, settings: Sequence[str] = ()) -> Words:
    """What `plan` and `run` have in common; the parameters' own settings come last, so they count."""
    sources = [word for source in params["sources"] for word in ("--source", source)]
    named = [*_option("--catalogue", params.get("catalogue")), *_option("--ledger", params.get("ledger"))]
    own = [word for one in params["set"] for word in ("--set", one)]
    return [params["config"], *sources, "--lake", params["lake"], *named, *settings, *own]


def _option(name: str, value: object) -> Words:
    return [] if value is None else [name, str(value)]
