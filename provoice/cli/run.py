"""`provoice run`: raw recordings in, a lake with consent on every record out."""

from __future__ import annotations

import click


def _shared(function: click.decorators.FC) -> click.decorators.FC:
    """What `run` and `plan` have in common."""
    for option in reversed(
        (
            click.argument("config", required=False),
            click.option(
                "--source", "sources", multiple=True, metavar="[NAME=]URI",
                help="Folder, bucket prefix or file to read; repeat for several.",
            ),
            click.option("--lake", "lake_uri", required=True, metavar="URI", help="Where the result goes."),
            click.option("--catalogue", metavar="FILE", help="Who speaks in which source; see docs/catalogue.md."),
            click.option("--ledger", metavar="URI", help="Consent ledger, where it is not the lake's own."),
            click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one config key."),
            click.option("--run-id", help="Name of the run, as a scheduler gives it; the same name resumes it."),
            click.option("--moved", is_flag=True, help="A known source root has a new URI."),
        )
    ):  # fmt: skip
        function = option(function)
    return function


def _priced(function: click.decorators.FC) -> click.decorators.FC:
    """What is asked of a forecast."""
    for option in reversed(
        (
            click.option(
                "--budget", type=click.FloatRange(min=0), metavar="AMOUNT",
                help="Refuse (exit code 4) a run that may cost more, in the currency of --prices.",
            ),
            click.option("--prices", metavar="FILE", help="Table of prices, as configs/prices/gcp-example.yaml."),
            click.option("--cluster", metavar="NAME", help="One of the configuration's `clusters`; else this machine."),
        )
    ):  # fmt: skip
        function = option(function)
    return function


def _needed(config: str | None) -> str:
    if config is None:
        raise click.UsageError("name a configuration, for instance configs/explore.yaml")
    return config


@click.command(name="run")
@_shared
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@click.option("--engine", type=click.Choice(["local", "ray", "beam"]), help="What the units run on.")
@click.option("--workers", type=click.IntRange(min=1), help="Worker processes on each machine; default one per core.")
@click.option(
    "--close", "close_run_id", metavar="RUN", help="End a dead run's hold on its sources, and do nothing else."
)
@_priced
@click.option("--json", "as_json", is_flag=True, help="Print the account as JSON.")
def command(
    config: str | None,
    sources: tuple[str, ...],
    lake_uri: str,
    catalogue: str | None,
    ledger: str | None,
    overrides: tuple[str, ...],
    run_id: str | None,
    moved: bool,
    options: tuple[str, ...],
    engine: str | None,
    workers: int | None,
    close_run_id: str | None,
    budget: float | None,
    prices: str | None,
    cluster: str | None,
    as_json: bool,
) -> None:
    """Prepare recordings as CONFIG says; the same command line again resumes.

    \b
    provoice run configs/explore.yaml --source ~/recordings --lake ~/lake
    provoice run configs/default.yaml --source s3://bucket/raw --lake s3://bucket/lake --catalogue who.csv
    provoice run configs/default.yaml --source gs://b/raw --lake gs://b/lake --engine beam -- --runner=DataflowRunner

    What stands after `--` goes to Beam as pipeline options.
    """
    from provoice.running import close_command, run_command

    if close_run_id is not None:
        raise SystemExit(close_command(lake_uri, close_run_id))
    settings = [*overrides]
    if engine:
        settings.append(f"engine={engine}")
    if workers:
        settings.append(f"workers={workers}")
    raise SystemExit(
        run_command(
            _needed(config), sources, lake_uri,
            catalogue=catalogue, ledger=ledger, overrides=settings, run_id=run_id, moved=moved, as_json=as_json,
            options=options, budget=budget, prices=prices, cluster=cluster,
        )
    )  # fmt: skip


@click.command(name="plan")
@_shared
@_priced
@click.option("--dry-run", "is_dry", is_flag=True, help="Only list: open no source, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan's figures as JSON.")
def plan_command(
    config: str | None,
    sources: tuple[str, ...],
    lake_uri: str,
    catalogue: str | None,
    ledger: str | None,
    overrides: tuple[str, ...],
    run_id: str | None,
    moved: bool,
    budget: float | None,
    prices: str | None,
    cluster: str | None,
    is_dry: bool,
    as_json: bool,
) -> None:
    """Say what `run` with the same words would do, take and cost.

    A sample of the sources is prepared, and what comes of it thrown away; the forecast is kept in the lake, where
    `provoice report` compares it with the run.

    \b
    provoice plan configs/default.yaml --source s3://bucket/raw --lake s3://bucket/lake --catalogue who.csv
    provoice plan … --cluster spot --prices configs/prices/gcp-example.yaml --budget 500
    """
    from provoice.running import plan_command, plan_only

    asked = {"catalogue": catalogue, "ledger": ledger, "overrides": overrides, "run_id": run_id, "moved": moved}
    if is_dry:
        if budget is not None or prices or cluster:
            raise click.UsageError("--dry-run measures nothing, and knows no cost; leave one of them out")
        raise SystemExit(plan_only(_needed(config), sources, lake_uri, as_json=as_json, **asked))
    raise SystemExit(
        plan_command(
            _needed(config),
            sources,
            lake_uri,
            budget=budget,
            prices=prices,
            cluster=cluster,
            as_json=as_json,
            **asked,
        )
    )
