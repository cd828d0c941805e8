"""`provoice status`: where the runs of a lake stand."""

from __future__ import annotations

import click

from provoice.cli.errors import ends_at_ctrl_c


@click.command(name="status")
@click.argument("lake_uri", metavar="LAKE")
@click.option("--run", "run_id", help="Only this run.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per run.")
def command(lake_uri: str, run_id: str | None, as_json: bool) -> None:
    """Show each run: units, hours in and out, throughput, rejections by reason, and the account."""
    from provoice.status import status

    with ends_at_ctrl_c():
        click.echo(status(lake_uri, run_id, as_json), nl=False)
