"""`provoice consent`: what people have said about the use of their voices."""

from __future__ import annotations

import click


@click.group(name="consent")
def command() -> None:
    """Record and read what people have allowed."""


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


@command.command(name="check")
@click.argument("lake_uri", metavar="LAKE")
@click.argument("name", metavar="KEY")
@click.option("--use", "use_file", required=True, metavar="FILE", help="The request, as docs/vocabulary.md has it.")
@click.option("--at", metavar="INSTANT", help="Decide as of this instant; default: now. A bare date is its beginning.")
@click.option("--position", type=int, metavar="N", help="Decide on the ledger's first N events; default: all.")
@click.option("--json", "as_json", is_flag=True, help="The decision and everything behind it as one JSON object.")
def check_command(lake_uri: str, name: str, use_file: str, at: str | None, position: int | None, as_json: bool) -> None:
    """Say whether KEY may be used so, and why, rule by rule.

    KEY is an utterance's key, a recording id, a path or a URI. Exit code 0: allowed; 4: denied.
    """
    import shutil

    from provoice.cli.errors import REFUSED
    from provoice.consent_check import check

    width = shutil.get_terminal_size().columns
    answer = check(lake_uri, name, use_file, at=at, position=position, as_json=as_json, width=width)
    click.echo(answer.text, nl=False)
    if not answer.is_allowed:
        raise SystemExit(REFUSED)


@command.command(name="vocabulary")
@click.argument("lake_uri", metavar="LAKE")
@click.argument("source", required=False, metavar="[FILE_OR_FOLDER]")
@click.option("--dry-run", is_flag=True, help="Show what would change, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="The version in force, or the changes, as one JSON object.")
def vocabulary_command(lake_uri: str, source: str | None, dry_run: bool, as_json: bool) -> None:
    """Show the vocabulary that rules and requests speak, or bring a new version into the ledger.

    FILE_OR_FOLDER is a vocabulary as in configs/vocabulary; without it, the version in force is shown.
    """
    from provoice.consent_vocabulary import bring, show

    click.echo(show(lake_uri, as_json) if source is None else bring(lake_uri, source, dry_run, as_json), nl=False)


@command.command(name="report")
@click.argument("lake_uri", metavar="LAKE")
@click.option("--subject", required=True, help="Pseudonym of the person.")
@click.option("--out", metavar="FILE", help="Write the page there, a new file: .html, .md or .txt.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def report_command(lake_uri: str, subject: str, out: str | None, as_json: bool) -> None:
    """Write what a person may ask for: what is held of them, from where, on what permission, used for what, until when.

    It speaks to the person, names nobody else, and works after an erasure, too.

    \b
    provoice consent report LAKE --subject p-1041 --out p-1041.html
    """
    from provoice.consent_report import report

    click.echo(report(lake_uri, subject, out=out, as_json=as_json), nl=False)
