"""`provoice accent`: a head of one's own, from labelled utterances, and what it can do."""

from __future__ import annotations

import click

from provoice.cli.release_export import ReleaseName


@click.group(name="accent")
def command() -> None:
    """Fit a head that tells accents, and show what one can do."""


@command.command(name="fit")
@click.argument("lake_uri", metavar="LAKE")
@click.argument("release", metavar="RELEASE[@VERSION]", type=ReleaseName())
@click.option("--out", metavar="FILE", required=True, help="Where to write the head: a file or URI, not there yet.")
@click.option("--owner", required=True, help="Who answers for the head; recorded in the ledger, told of withdrawals.")
@click.option("--labels", default="english-1", show_default=True, help="Label set, by name or the path of a YAML.")
@click.option(
    "--coverage", type=click.FloatRange(0.05, 1.0), metavar="SHARE", default=0.8, show_default=True,
    help="Share of utterances that it is to tag; of the others it says that it is not sure.",
)  # fmt: skip
@click.option("--name", "head_name", metavar="NAME", help="What the head is called in lineage; default: FILE's name.")
@click.option("--skip-denied", is_flag=True, help="Leave out what may no longer be used, instead of refusing.")
@click.option("--json", "as_json", is_flag=True, help="The data sheet as one JSON object.")
def fit_command(
    lake_uri: str, release: tuple[str, int | None], out: str, owner: str, labels: str, coverage: float,
    head_name: str | None, skip_denied: bool, as_json: bool,
) -> None:  # fmt: skip
    """Train a head on the declared accents of RELEASE, made for `train_tagger`, and write it with its data sheet. The
    ledger keeps that it was trained on the release, as `provoice release use` has it. Exit code 4: the release was
    made for something else, or holds what may no longer be used.

    \b
    provoice accent fit LAKE accents --out heads/ours.json --owner speech-team
    """
    from provoice import accent, accent_words

    name, version = release
    head, sha256 = accent.fit_head(
        lake_uri, name, version, out, labels=labels, coverage=coverage, owner=owner, head_name=head_name,
        skip_denied=skip_denied,
    )  # fmt: skip
    if as_json:
        click.echo(accent.as_json(head, sha256), nl=False)
        return
    click.echo(accent_words.sheet_text(head, sha256))
    click.echo(
        f"To tag with it, in the configuration of a run:\n\n{accent_words.config_text(out, head, sha256)}", nl=False
    )


@command.command(name="show")
@click.argument("head", metavar="HEAD")
@click.option("--json", "as_json", is_flag=True, help="The data sheet as one JSON object.")
def show_command(head: str, as_json: bool) -> None:
    """Show the data sheet of HEAD, a file or URI: what it was trained on, and what it does with people it has not
    heard."""
    from provoice import accent, accent_words

    found, sha256 = accent.load_head(head)
    click.echo(accent.as_json(found, sha256) if as_json else accent_words.sheet_text(found, sha256), nl=False)
