"""`provoice model`: what was trained on releases, and what becomes of it."""

from __future__ import annotations

import click

_STATES = ("to_be_retired", "retired", "exempt")


@click.group(name="model")
def command() -> None:
    """Show models that were registered by `release use`, and record what becomes of them."""


@command.command(name="list")
@click.argument("lake_uri", metavar="LAKE")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per model.")
def list_command(lake_uri: str, as_json: bool) -> None:
    """List registered models with their state, and how many people in each have taken something back."""
    from provoice.notices import list_models

    click.echo(list_models(lake_uri, as_json=as_json), nl=False)


@command.command(name="mark")
@click.argument("lake_uri", metavar="LAKE")
@click.argument("model", metavar="MODEL")
@click.argument("state", type=click.Choice(_STATES))
@click.option("--owner", required=True, help="Who says so: whoever registered it.")
@click.option("--reason", help="Why; needed for `exempt`. Goes into the ledger for ever, so no names.")
def mark_command(lake_uri: str, model: str, state: str, owner: str, reason: str | None) -> None:
    """Record what becomes of MODEL, since somebody in it took back what they allowed.

    An exemption covers what was taken back until then; whoever takes something back later opens the question again.

    \b
    provoice model mark LAKE asr-v3 to_be_retired --owner asr-team
    """
    from provoice.notices import mark

    click.echo(mark(lake_uri, model, state, owner, reason), nl=False)
