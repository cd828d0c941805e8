"""`provoice consent import`: what people have written down, into the ledger, and what that changed."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lake.lake import Lake
from lake.ledger import Ledger
from provoice.words import several

if TYPE_CHECKING:
    from pipelines.ledger_import import Imported, Report


def import_files(lake_uri: str, files: Sequence[str], *, ledger: str | None, dry_run: bool) -> str:
    """Appends what is new in `files`, and says what changed. Raises ConfigError naming file and line."""
    # Who withdraws or looks something up need not wait for what an import needs.
    from pipelines.ledger_import import import_events

    def opened() -> Ledger:
        return Lake.create_or_open(lake_uri, ledger).ledger()

    is_new = dry_run and not Lake.exists(lake_uri)
    with _screen() as report:
        done = import_events(
            [Path(name) for name in files],
            None if is_new else opened,
            datetime.now(UTC),
            dry_run=dry_run,
            report=report,
        )
    if dry_run:
        return f"would append {_said(done)}; nothing was written\n"
    if done.events or done.vocabulary:
        where = Lake.open(lake_uri).root.uri
        return f"appended {_said(done)}; the ledger of {where} stands at position {done.position}\n"
    return f"nothing new: all {several(done.known, 'event')} are in the ledger already\n"


def _said(done: Imported) -> str:
    text = several(done.events, "event")
    if done.events:
        counts = ", ".join(f"{count} {kind.value}" for kind, count in done.by_type.items())
        text += f" ({counts}) about {several(done.people, 'person', 'people')}"
    if done.vocabulary:
        text += f" and the vocabulary {done.vocabulary}"
    return text + (f"; {done.known} known already" if done.known else "")


@contextmanager
def _screen() -> Iterator[Report]:
    """A bar where standard error is a terminal; a few events are over before it would be seen."""
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def report(what: str, done: int, total: int) -> None:
            said = f"{what} {done:,}" + (f" of {total:,}" if total else "") if done else what
            bar.update(task, description=said, completed=done, total=total or None)

        yield report
