"""`provoice status`: where the runs of a lake stand."""

from __future__ import annotations

import click

from provoice.cli.errors import INTERRUPTED, ends_at_ctrl_c


@click.command(name="status")
@click.argument("lake_uri", metavar="LAKE")
@click.option("--run", "run_id", help="Only this run.")
@click.option("--follow", "is_followed", is_flag=True, help="Go on showing the run at work, until it is over.")
@click.option(
    "--every", "every_s", type=click.FloatRange(min=0.1), metavar="SECONDS",
    help="How often; default 5 on a terminal, else 30.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object per run, or per look.")
def command(lake_uri: str, run_id: str | None, is_followed: bool, every_s: float | None, as_json: bool) -> None:
    """Show each run: units, hours in and out, throughput, rejections by reason, and the account.

    \b
    provoice status LAKE
    provoice status LAKE --follow
    """
    from provoice.status import status
    from provoice.status_follow import follow

    if is_followed:
        try:
            follow(lake_uri, run_id, every_s, as_json)
        except KeyboardInterrupt:
            raise SystemExit(INTERRUPTED) from None  # whoever watches may stop at any time; there is nothing to say
        return
    if every_s is not None:
        raise click.UsageError("--every goes with --follow")
    with ends_at_ctrl_c():
        click.echo(status(lake_uri, run_id, as_json), nl=False)
