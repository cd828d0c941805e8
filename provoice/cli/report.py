"""`provoice report`: a lake on one page."""

from __future__ import annotations

from pathlib import Path

import click

from provoice.cli.errors import ends_at_ctrl_c


@click.command(name="report")
@click.argument("lake_uri", metavar="LAKE")
@click.option("--run", "run_id", help="Only this run; default: the current rows of all.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write here instead of into the lake."
)
def command(lake_uri: str, run_id: str | None, output: Path | None) -> None:
    """Write one self-contained HTML file: hours, rejections, measurements, accents, consent, cost."""
    from provoice.report.html import write_report

    with ends_at_ctrl_c():
        click.echo(write_report(lake_uri, run_id, output))
