"""`provoice gc`: what nobody names any more."""

from __future__ import annotations

import click


@click.command(name="gc")
@click.argument("lake_uri", metavar="LAKE")
@click.option("--yes", "is_sure", is_flag=True, help="Delete it; without this, nothing is.")
@click.option("--superseded", is_flag=True, help="Also what newer runs replaced, and earlier snapshots.")
@click.option(
    "--grace",
    metavar="TIME",
    help="Leave what is younger: 36h, 2d, or seconds; default 24h, or more where units take long.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(lake_uri: str, is_sure: bool, superseded: bool, grace: str | None, as_json: bool) -> None:
    """Show what nothing in LAKE names any more, and delete it with --yes.

    \b
    provoice gc LAKE
    provoice gc LAKE --superseded --yes
    """
    from provoice.gc import command as sweep

    said = sweep(lake_uri, is_sure=is_sure, superseded=superseded, grace=grace, as_json=as_json)
    click.echo(said, nl=False)
