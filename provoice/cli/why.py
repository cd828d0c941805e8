"""`provoice why`: what became of one recording or utterance."""

from __future__ import annotations

import click

from provoice.cli.errors import ends_at_ctrl_c


@click.command(name="why")
@click.argument("lake_uri", metavar="LAKE")
@click.argument("name", metavar="KEY_OR_URI")
@click.option("--rttm", is_flag=True, help="Write who spoke when as RTTM instead.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
def command(lake_uri: str, name: str, rttm: bool, as_json: bool) -> None:
    """Say what became of a source (by URI, path or recording id) or an utterance (by key), and why."""
    from provoice.why import why

    with ends_at_ctrl_c():
        click.echo(why(lake_uri, name, rttm=rttm, as_json=as_json), nl=False)
