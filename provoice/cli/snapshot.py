"""`provoice snapshot`: fold commits, merge parts."""

from __future__ import annotations

import click


@click.command(name="snapshot")
@click.argument("lake_uri", metavar="LAKE")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(lake_uri: str, as_json: bool) -> None:
    """Fold commits and merge parts, so that a lake opens quickly; `run` does it at its end.

    Readers open the newest snapshot, and then only what was committed since. Nothing is removed: each snapshot lists
    what holds of the earlier one's files, and adds new ones.
    """
    from provoice.snapshot import command as take

    click.echo(take(lake_uri, as_json), nl=False)
