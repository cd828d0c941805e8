"""`provoice sql`: the lake's tables, by name."""

from __future__ import annotations

import sys

import click

from provoice.cli.errors import ends_at_ctrl_c


@click.command(name="sql")
@click.argument("lake_uri", metavar="LAKE")
@click.argument("query", required=False)
@click.option("--json", "form", flag_value="json", help="One JSON object per row.")
@click.option("--csv", "form", flag_value="csv", help="CSV with a header.")
def command(lake_uri: str, query: str | None, form: str | None) -> None:
    """Ask LAKE a question in SQL (DuckDB's). Without a question, list the views. Nothing can be changed.

    \b
    provoice sql LAKE "select accent.label, count(*), sum(duration_s)/3600 from utterances group by 1"
    """
    from provoice.asking import ask, views

    if query is None:
        click.echo(views(), nl=False)
        return
    with ends_at_ctrl_c():
        for piece in ask(lake_uri, query, form, is_terminal=sys.stdout.isatty()):
            click.echo(piece, nl=False)
