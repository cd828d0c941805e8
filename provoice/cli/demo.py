"""`provoice demo`: the main job on real speech, offline."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="demo")
@click.argument("folder", default="demo", type=click.Path(file_okay=False, path_type=Path), metavar="[DIR]")
def command(folder: Path) -> None:
    """Build a small lake in DIR (default ./demo) from real speech with known damage, and compare."""
    from provoice.demo.story import demo

    click.echo(demo(folder), nl=False)
