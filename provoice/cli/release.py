"""`provoice release`: what may be trained on, chosen for one use, kept for ever, and looked at again."""

from __future__ import annotations

import click

from provoice.cli.errors import REFUSED
from provoice.cli.release_export import ReleaseName, export_command, use_command


@click.group(name="release")
def command() -> None:
    """Choose what may be trained on, for one use; show, compare, verify and export what was chosen."""


@command.command(name="create")
@click.argument("lake_uri", metavar="LAKE")
@click.argument("name", metavar="NAME")
@click.option("--use", "use_file", metavar="FILE", required=True, help="The request, as docs/vocabulary.md has it.")
@click.option("--where", metavar="SQL", help="A condition on an utterance, such as `snr_db > 15`; default: all.")
@click.option("--dry-run", is_flag=True, help="Show what is left after each clause and each denial; write nothing.")
@click.option(
    "--max-ledger-age", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
    help="How long a loader may go on without the ledger; default 900.",
)  # fmt: skip
@click.option("--record-openings", is_flag=True, help="Refuse to be opened where that cannot be recorded.")
@click.option("--if-changed", is_flag=True, help="Make none, and show the newest, where it would be the same again.")
@click.option("--json", "as_json", is_flag=True, help="The release, or with --dry-run the funnel, as one JSON object.")
def create_command(
    lake_uri: str, name: str, use_file: str, where: str | None, dry_run: bool, max_ledger_age: float | None,
    record_openings: bool, if_changed: bool, as_json: bool,
) -> None:  # fmt: skip
    """Make the next version of NAME from all current utterances that WHERE matches and their people allow.

    \b
    provoice release create LAKE clean-asr --use use.yaml \\
        --where "snr_db > 15 and duration_s between 3 and 20"

    Exit code 4: nothing is left, for people do not allow it; 2: nothing matches.
    """
    from provoice.release import create_release

    text, is_refused = create_release(
        lake_uri, name, use_file, where, dry_run=dry_run, max_ledger_age_s=max_ledger_age,
        record_openings=record_openings, if_changed=if_changed, as_json=as_json,
    )  # fmt: skip
    click.echo(text, nl=False)
    if is_refused:
        raise SystemExit(REFUSED)


@command.command(name="list")
@click.argument("lake_uri", metavar="LAKE")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per release.")
def list_command(lake_uri: str, as_json: bool) -> None:
    """List the releases of LAKE."""
    from provoice.release import list_text

    click.echo(list_text(lake_uri, as_json), nl=False)


@command.command(name="show")
@click.argument("lake_uri", metavar="LAKE")
@click.argument("release", metavar="NAME[@VERSION]", type=ReleaseName())
@click.option("--json", "as_json", is_flag=True, help="release.json as it is.")
def show_command(lake_uri: str, release: tuple[str, int | None], as_json: bool) -> None:
    """Show what a release was made for, what is in it, and what was left out."""
    from provoice.release import show_text

    click.echo(show_text(lake_uri, *release, as_json=as_json), nl=False)


@command.command(name="diff")
@click.argument("lake_uri", metavar="LAKE")
@click.argument("before", metavar="NAME[@VERSION]", type=ReleaseName())
@click.argument("after", metavar="NAME[@VERSION]", type=ReleaseName())
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def diff_command(
    lake_uri: str, before: tuple[str, int | None], after: tuple[str, int | None], as_json: bool
) -> None:  # fmt: skip
    """Say what came in and what went out from one release to another, and why."""
    from provoice.release_checks import diff_text

    click.echo(diff_text(lake_uri, before, after, as_json=as_json), nl=False)


@command.command(name="verify")
@click.argument("lake_uri", metavar="LAKE")
@click.argument("release", metavar="NAME[@VERSION]", type=ReleaseName())
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def verify_command(lake_uri: str, release: tuple[str, int | None], as_json: bool) -> None:
    """Decide every row again, as of the release's own moment and as of now.

    Exit code 4: the release is not what was once decided. What has only been taken back since is told, with code 0.
    """
    from provoice.release_checks import verify_text

    text, is_sound = verify_text(lake_uri, *release, as_json=as_json)
    click.echo(text, nl=False)
    if not is_sound:
        raise SystemExit(REFUSED)


command.add_command(export_command)
command.add_command(use_command)
