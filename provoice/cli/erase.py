"""`provoice erase`: what was made from a person's voice goes."""

from __future__ import annotations

import click


@click.command(name="erase")
@click.argument("lake_uri", metavar="LAKE")
@click.option(
    "--subject", "subjects", metavar="ID", multiple=True, help="Whom; as often as you like, at once is cheaper."
)
@click.option("--due", is_flag=True, help="Everybody who has withdrawn, and what was begun and is not finished.")
@click.option("--yes", "is_sure", is_flag=True, help="Erase; without this, nothing is.")
@click.option("--raw", is_flag=True, help="Also the raw sources in which nobody else is heard.")
@click.option("--engine", type=click.Choice(["local", "ray", "beam"]), default="local", help="What rewrites units.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(
    lake_uri: str, subjects: tuple[str, ...], due: bool, is_sure: bool, raw: bool, engine: str, as_json: bool
) -> None:
    """Show what was made from a person's voice, and remove it with --yes.

    It needs their withdrawal in the ledger, and the key of the suppression list in PROVOICE_SUPPRESSION_KEY. The same
    command goes on where another stopped.

    \b
    provoice erase LAKE --subject s-0007
    provoice erase LAKE --due --yes
    """
    from provoice.erase import Asked
    from provoice.erase import command as run

    click.echo(run(Asked(lake_uri, subjects, due, is_sure, raw, engine, as_json)), nl=False)
