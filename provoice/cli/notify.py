"""`provoice notify`: users of releases are told what was taken back, and say that they have read it."""

from __future__ import annotations

import click

from provoice.cli.errors import BROKEN


@click.command(name="notify")
@click.argument("lake_uri", metavar="LAKE")
@click.option("--list", "is_list", is_flag=True, help="Only show the notices that were written.")
@click.option("--acknowledge", "name", metavar="NAME", help="Record that this notice was read; needs --owner.")
@click.option("--owner", help="Who acknowledges: whoever registered the use.")
@click.option("--json", "as_json", is_flag=True, help="What was written and sent, or one JSON object per notice.")
def command(lake_uri: str, is_list: bool, name: str | None, owner: str | None, as_json: bool) -> None:
    """Write notices that are due to those who trained on a release, and send what no webhook has taken yet.

    `consent withdraw` and `erase` do it by themselves. Exit code 1: the webhook took not all of them.

    \b
    provoice notify LAKE
    provoice notify LAKE --acknowledge NAME --owner asr-team
    """
    from provoice import notices

    if is_list:
        click.echo(notices.list_notices(lake_uri, as_json=as_json), nl=False)
    elif name is not None:
        if owner is None:
            raise click.UsageError("--acknowledge needs --owner: say who has read it")
        click.echo(notices.acknowledge(lake_uri, name, owner), nl=False)
    else:
        text, is_done = notices.notify(lake_uri, as_json=as_json)
        click.echo(text, nl=False)
        if not is_done:
            raise SystemExit(BROKEN)
