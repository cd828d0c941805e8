"""What `provoice run` and `provoice plan` do, and what they show meanwhile."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict

from lake.lake import Lake
from pipelines.catalogue import load_catalogue
from pipelines.config import load_config
from pipelines.run import Progress, Request, Started, close_run, execute, start
from pipelines.sources import check_readable, parse_source
from provoice import words
from schemas.errors import ConfigError, ProvoiceError


def _request(
    config_name: str,
    sources: Sequence[str],
    lake_uri: str,
    *,
    catalogue: str | None,
    ledger: str | None,
    overrides: Sequence[str],
    run_id: str | None,
    moved: bool,
    options: Sequence[str] = (),
) -> Request:
    """Everything that can be wrong with the request is found here, before anything starts."""
    config = load_config(config_name, overrides)
    if options and config.engine != "beam":
        raise ConfigError(
            f"`{options[0]}` goes to Beam, and the engine is {config.engine}; say --engine beam, or leave it out"
        )
    if not sources:
        raise ConfigError("nothing to read: say --source DIR_OR_URI")
    roots = [parse_source(text) for text in sources]
    for root in roots:
        check_readable(root, config.sources)
    rows = load_catalogue(catalogue) if catalogue else None
    lake = Lake.create_or_open(lake_uri, ledger)
    lake.root.check_exclusive_create()
    return Request(lake, config, roots, rows, run_id, moved, tuple(options))


def run_command(
    config_name: str, sources: Sequence[str], lake_uri: str, *, as_json: bool, budget: float | None = None,
    cluster: str | None = None, prices: str | None = None, **options: object,
) -> int:  # fmt: skip
    """Runs, shows progress and the account; returns the exit code. With a budget, measures a sample first."""
    from provoice.lineage import lineage, of_run
    from provoice.progress import showing
    from provoice.telemetry import telling

    if budget is None and (cluster or prices):
        raise ConfigError("--cluster and --prices go with --budget; `provoice plan` shows what a run would cost")
    request = _request(config_name, sources, lake_uri, **options)  # type: ignore[arg-type]
    if budget is not None:
        from provoice.planning import asked_for, refuse_over_budget

        refuse_over_budget(request, asked_for(cluster, prices, budget), budget)
    began = time.monotonic()
    resume = "resume with: provoice " + " ".join(shlex.quote(word) for word in sys.argv[1:])
    try:
        with (
            lineage("run") as told,
            telling() as telemetry,
            showing(request.lake.root.uri, quiet=as_json) as screen,
        ):
            started = start(request, screen.listed)
            if started is None:
                screen.done()
                _say_nothing_left(request, as_json)
                return 0
            screen.started(started)
            run = started.run
            told.start(lambda: of_run(request.lake, run))
            if telemetry is not None:
                telemetry.started(started)

            def committed(progress: Progress) -> None:
                screen.committed(progress)
                if telemetry is not None:
                    telemetry.committed(progress)

            progress = execute(request, started, committed)
            told.know(lambda: of_run(request.lake, run, progress.counts))
    except KeyboardInterrupt:
        sys.stderr.write(f"\ninterrupted; what is committed stays. {resume}\n")
        return 130
    except ConfigError:
        raise
    except ProvoiceError as error:
        raise type(error)(f"{error}\n{resume}") from error
    return _finish(request, started, progress, time.monotonic() - began, as_json)


def plan_command(
    config_name: str, sources: Sequence[str], lake_uri: str, *, as_json: bool, budget: float | None,
    cluster: str | None, prices: str | None, **options: object,
) -> int:  # fmt: skip
    """Measures a sample, and prints what a run would do, take and cost."""
    from provoice.planning import asked_for, plan_command

    asked = asked_for(cluster, prices, budget)
    request = _request(config_name, sources, lake_uri, **options)  # type: ignore[arg-type]
    return plan_command(request, asked, budget, as_json=as_json)


def plan_only(config_name: str, sources: Sequence[str], lake_uri: str, *, as_json: bool, **options: object) -> int:
    """Prints which sources a run would take, and opens none of them. A lake that is not there yet is not made."""
    from pipelines.run import preview

    config = load_config(config_name, list(options["overrides"]))  # type: ignore[call-overload]
    if not sources:
        raise ConfigError("nothing to read: say --source DIR_OR_URI")
    catalogue = options["catalogue"]
    rows = load_catalogue(str(catalogue)) if catalogue else None
    roots = [parse_source(text) for text in sources]
    summary = preview(lake_uri, config, roots, rows)
    if as_json:
        sys.stdout.write(json.dumps(asdict(summary)) + "\n")
        return 0
    sys.stdout.write(words.planned(summary))
    return 0


def close_command(lake_uri: str, run_id: str) -> int:
    """Ends a dead run's hold."""
    closed = close_run(Lake.open(lake_uri), run_id)
    sys.stdout.write(f"run {closed.run_id} is closed; what it committed stays, the rest is planned by the next run\n")
    return 0


def _say_nothing_left(request: Request, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps({"run_id": None, "nothing_to_do": True}) + "\n")
    else:
        sys.stdout.write(f"nothing to do: every source is in {request.lake.root.uri} already, or held as before\n")


def _finish(request: Request, started: Started, progress: Progress, wall_s: float, as_json: bool) -> int:
    run, counts = started.run, progress.counts
    ratio = counts.rejected_total / counts.sources if counts.sources else 0.0
    if as_json:
        shown = {
            "run_id": run.run_id,
            "ignored": run.ignored,
            "wall_s": round(wall_s, 3),
            **counts.model_dump(mode="json"),
        }
        sys.stdout.write(json.dumps(shown) + "\n")
    else:
        sys.stdout.write(words.account(run, counts, wall_s))
        sys.stdout.write(words.where_to_look(request.lake.root.uri, counts))
    if ratio > request.config.max_rejected_ratio:
        limit = request.config.max_rejected_ratio
        sys.stderr.write(f"{ratio:.1%} of the sources were rejected; max_rejected_ratio is {limit:.1%}\n")
        return 3
    return 0
