"""`provoice audit prove` and `provoice audit check`: that one utterance was in a release, also years later."""

from __future__ import annotations

import click

from provoice.cli.errors import BROKEN
from provoice.cli.release_export import ReleaseName


@click.command(name="prove")
@click.argument("lake_uri", metavar="LAKE")
@click.argument("release", metavar="NAME[@VERSION]", type=ReleaseName())
@click.argument("key", metavar="KEY")
@click.option("--json", "as_json", is_flag=True, help="The proof, as `audit check` reads it.")
def prove_command(lake_uri: str, release: tuple[str, int | None], key: str, as_json: bool) -> None:
    """Prove that utterance KEY is in a release, for everybody heard in it, and on which permission.

    The proof goes up to the root in the audit rows, so it can be checked when the release's index is gone.

    \b
    provoice audit prove LAKE gold@2 KEY --json > proof.json
    """
    from provoice.audit_proof import prove_text

    click.echo(prove_text(lake_uri, *release, key, as_json=as_json), nl=False)


@click.command(name="check")
@click.argument("lake_uri", metavar="LAKE")
@click.argument("file", metavar="FILE", type=click.Path(exists=True, dir_okay=False))
def check_command(lake_uri: str, file: str) -> None:
    """Check a proof that `audit prove --json` wrote. Exit code 1: it proves nothing."""
    from provoice.audit_proof import check_text

    text, holds = check_text(lake_uri, file)
    click.echo(text, nl=False)
    if not holds:
        raise SystemExit(BROKEN)
