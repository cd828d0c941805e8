"""A report as one self-contained HTML file, and where it rests."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from lake import layout
from lake.lake import Lake
from lake.runs import list_runs, revise_run
from provoice import words
from provoice.report.figures import Figures, gather, tallest
from provoice.report.foretold import plans_and_actuals
from provoice.sql import connect
from schemas.errors import ConfigError
from schemas.records import RunRecord


def render(figures: Figures, lake_uri: str, run_id: str | None, day: str) -> str:
    """The page; `day` is said on it. Everything that came from a file name or a catalogue is escaped."""
    import jinja2

    text = (Path(__file__).parent / "template.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update(
        tallest=tallest,
        number=number,
        count=_count,
        cpu_seconds=_cpu_seconds,
        duration=words.hours,
        size=words.size,
        several=words.several,
    )
    scope = f"run {run_id}" if run_id else "current rows of every run"
    return environment.from_string(text).render(f=figures, lake=lake_uri, scope=scope, day=day)


def number(value: float) -> str:
    """Three digits that count, without an exponent where a person can do without.

    >>> [number(v) for v in (0.0, 28.4512, 25000.0, -0.000012, 2.5)]
    ['0', '28.5', '25,000', '−0.000012', '2.5']
    """
    if abs(value) >= 1000:
        text = f"{value:,.0f}"
    elif value == 0 or abs(value) >= 1e-6:
        digits = max(0, 2 - _exponent(value))
        text = f"{value:.{digits}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    else:
        text = f"{value:.1e}"
    return text.replace("-", "−")


def _exponent(value: float) -> int:
    return int(f"{value:e}".split("e")[1])


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _cpu_seconds(value: float) -> str:
    return f"{value:.2f} s"


def write_report(lake_uri: str, run_id: str | None, output: Path | None) -> str:
    """Writes the report to `output`, else into the lake beside its run; returns where it lies."""
    lake = Lake.open(lake_uri)
    runs = list_runs(lake)
    chosen = _chosen(lake, runs, run_id)
    with connect(lake) as connection:
        figures = replace(gather(connection, run_id), plans=plans_and_actuals(lake, run_id))
        page = render(figures, lake.root.uri, run_id, f"{datetime.now(UTC):%Y-%m-%d}").encode()
    if output is not None:
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_bytes(page)
        except OSError as error:
            raise ConfigError(f"{output} cannot be written: {error.strerror}") from None
        return str(output)
    return _into_lake(lake, chosen, page)


def _chosen(lake: Lake, runs: list[RunRecord], run_id: str | None) -> RunRecord:
    """The run that is asked for; the newest where it is all of them."""
    found = [run for run in runs if run_id in (None, run.run_id)]
    if not found:
        known = ", ".join(run.run_id for run in runs) or "none"
        raise ConfigError(
            f"{lake.root.uri} has no run {run_id or ''} to report on; its runs: {known}".replace("  ", " ")
        )
    return found[-1]


def _into_lake(lake: Lake, run: RunRecord, page: bytes) -> str:
    """A new object named by the run's next generation; the same report twice is the same object."""
    sha256 = hashlib.sha256(page).hexdigest()
    path = layout.report_path(run.number, sha256)
    lake.root.put(path, page, sha256)
    if run.report != path:
        revise_run(lake, run.model_copy(update={"report": path}))
    return lake.root.uri_of(path)
