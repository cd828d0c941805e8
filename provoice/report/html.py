"""A report as one self-contained HTML file, and where it rests."""

from __future__ import annotations

import hashlib
from pathlib import Path

from lake import layout
from lake.lake import Lake
from lake.runs import list_runs, revise_run
from provoice import words
from provoice.report.figures import Figures, gather, tallest
from provoice.sql import connect
from schemas.errors import ConfigError


def render(figures: Figures, lake_uri: str, run_id: str | None) -> str:
    """The page. Everything that came from a file name or a catalogue is escaped."""
    import jinja2

    text = (Path(__file__).parent / "template.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.globals.update(tallest=tallest, number=_number, duration=words.hours, several=words.several)
    scope = f"run {run_id}" if run_id else "current rows of every run"
    return environment.from_string(text).render(f=figures, lake=lake_uri, scope=scope)


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def write_report(lake_uri: str, run_id: str | None, output: Path | None) -> str:
    """Writes the report to `output`, else into the lake beside its run; returns where it lies."""
    lake = Lake.open(lake_uri)
    runs = [run for run in list_runs(lake) if run_id in (None, run.run_id)]
    if not runs:
        raise ConfigError(f"{lake.root.uri} has no run{f' {run_id}' if run_id else ''} to report on")
    with connect(lake) as connection:
        page = render(gather(connection, run_id), lake.root.uri, run_id).encode()
    if output is not None:
        try:
            output.write_bytes(page)
        except OSError as error:
            raise ConfigError(f"{output} cannot be written: {error.strerror}") from None
        return str(output)
    sha256 = hashlib.sha256(page).hexdigest()
    path = layout.report_path(runs[-1].number, sha256)
    lake.root.put(path, page, sha256)
    if runs[-1].report != path:
        revise_run(lake, runs[-1].model_copy(update={"report": path}))
    return lake.root.uri_of(path)
