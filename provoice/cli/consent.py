"""`provoice consent`: what people have said about the use of their voices."""

from __future__ import annotations

import click


@click.group(name="consent")
def command() -> None:
    """Record and read what people have allowed: import, withdraw, show."""


@command.command(name="import")
@click.argument("lake_uri", metavar="LAKE")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False), metavar="FILE...")
@click.option(
    "--ledger", metavar="URI", help="Consent ledger, where it is not the lake's own (first use of a lake only)."
)
@click.option("--dry-run", is_flag=True, help="Show what would change, and write nothing.")
def import_command(lake_uri: str, files: tuple[str, ...], ledger: str | None, dry_run: bool) -> None:
    """Append grants and events from JSONL or CSV files to the ledger of LAKE.

    The whole of every file is checked before anything is written; an event that the ledger holds already is skipped.
    """
    from provoice.consent import import_files

    click.echo(import_files(lake_uri, files, ledger=ledger, dry_run=dry_run), nl=False)


@command.command(name="withdraw")
@click.argument("lake_uri", metavar="LAKE")
@click.option("--subject", required=True, help="Pseudonym of the person who withdraws.")
@click.option("--grant", help="Only this grant; default: every grant of theirs.")
@click.option("--note", help="Why, or on which request; goes into the ledger for ever, so no names.")
def withdraw_command(lake_uri: str, subject: str, grant: str | None, note: str | None) -> None:
    """Record a withdrawal. It denies from this moment on, everywhere this ledger is asked."""
    from provoice.consent import withdraw

    click.echo(withdraw(lake_uri, subject, grant, note), nl=False)


@command.command(name="show")
@click.argument("lake_uri", metavar="LAKE")
@click.option("--subject", help="Only this person.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per grant.")
def show_command(lake_uri: str, subject: str | None, as_json: bool) -> None:
    """Show grants and where each stands today."""
    from provoice.consent import show

    click.echo(show(lake_uri, subject, as_json), nl=False)
