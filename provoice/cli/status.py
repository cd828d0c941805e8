"""`provoice status`: where the runs of a lake stand."""

from __future__ import annotations

import click

from provoice.cli.errors import INTERRUPTED, TOO_MANY_REJECTED, ends_at_ctrl_c


@click.command(name="status")
@click.argument("lake_uri", metavar="LAKE")
@click.option("--run", "run_id", help="Only this run.")
@click.option("--follow", "is_followed", is_flag=True, help="Go on showing the run at work, until it is over.")
@click.option(
    "--every", "every_s", type=click.FloatRange(min=0.1), metavar="SECONDS",
    help="How often; default 5 on a terminal, else 30.",
)  # fmt: skip
@click.option("--check", "is_checked", is_flag=True, help="Fail unless --run is complete, adds up and rejected little.")
@click.option(
    "--max-rejected-ratio", type=click.FloatRange(0, 1), metavar="RATIO",
    help="For --check; default: what the run's own configuration says.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object per run, or per look.")
def command(
    lake_uri: str, run_id: str | None, is_followed: bool, every_s: float | None, is_checked: bool,
    max_rejected_ratio: float | None, as_json: bool,
) -> None:  # fmt: skip
    """Show each run: units, hours in and out, throughput, rejections by reason, and the account.

    With --check, exit code 1: the run is not complete, or does not add up; 3: it rejected more than it may.

    \b
    provoice status LAKE
    provoice status LAKE --follow
    """
    from provoice.status import status
    from provoice.status_follow import follow

    if is_checked and is_followed:
        raise click.UsageError("--check looks once, and --follow goes on looking; say one of them")
    if is_followed:
        try:
            follow(lake_uri, run_id, every_s, as_json)
        except KeyboardInterrupt:
            raise SystemExit(INTERRUPTED) from None  # whoever watches may stop at any time; there is nothing to say
        return
    if every_s is not None:
        raise click.UsageError("--every goes with --follow")
    if is_checked:
        _check(lake_uri, run_id, max_rejected_ratio, as_json)
        return
    if max_rejected_ratio is not None:
        raise click.UsageError("--max-rejected-ratio goes with --check")
    with ends_at_ctrl_c():
        click.echo(status(lake_uri, run_id, as_json), nl=False)


def _check(lake_uri: str, run_id: str | None, max_rejected_ratio: float | None, as_json: bool) -> None:
    from provoice.run_check import check

    if run_id is None:
        raise click.UsageError("--check goes with --run ID: say which")
    text, too_many = check(lake_uri, run_id, max_rejected_ratio, as_json)
    click.echo(text, nl=False)
    if too_many:
        click.echo(too_many, err=True)
        raise SystemExit(TOO_MANY_REJECTED)
