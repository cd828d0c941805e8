"""Progress of a run: a bar on a terminal, one line per interval in a log."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Iterator
from typing import Any, Protocol

from pipelines.run import Progress, Started
from provoice import words

log = logging.getLogger("provoice.run")

_LOG_EVERY_S = 30.0


class Screen(Protocol):
    """What a run tells whoever watches."""

    def listed(self, sources: int) -> None: ...
    def started(self, started: Started) -> None: ...
    def committed(self, progress: Progress) -> None: ...
    def done(self) -> None: ...


@contextlib.contextmanager
def showing(lake_uri: str, *, quiet: bool = False) -> Iterator[Screen]:
    """A screen for this run: a bar where standard error is a terminal, else log lines."""
    if sys.stderr.isatty() and not quiet:
        screen: Any = _Bar()
    else:
        screen = _Lines(lake_uri)
    try:
        yield screen
    finally:
        screen.done()


def _line(started: Started) -> str:
    run = started.run
    verb = "resuming" if started.is_resumed else "starting"
    estimate = words.hours(run.estimated_s)
    return (
        f"{verb} run {run.run_id}: {words.several(run.sources, 'source')} in {words.several(run.units, 'unit')}, "
        f"about {estimate} of audio"
    )


def _state(progress: Progress) -> str:
    counts = progress.counts
    return (
        f"{progress.committed}/{progress.units} units, {words.hours(counts.source_s)} in, "
        f"{words.hours(counts.utterance_s)} out, {counts.rejected_total} rejected, {counts.held_total} held"
    )


class _Lines:
    def __init__(self, lake_uri: str) -> None:
        self._lake_uri = lake_uri
        self._said_at = 0.0

    def listed(self, sources: int) -> None:
        self._say(f"listing: {sources:,} sources so far")

    def started(self, started: Started) -> None:
        log.info("%s", _line(started))
        self._said_at = time.monotonic()

    def committed(self, progress: Progress) -> None:
        self._say(_state(progress), always=progress.committed == progress.units)

    def _say(self, text: str, always: bool = False) -> None:
        if always or time.monotonic() - self._said_at >= _LOG_EVERY_S:
            log.info("%s", text)
            self._said_at = time.monotonic()

    def done(self) -> None: ...


class _Bar:
    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._bar = Progress(
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task("listing", total=None)
        self._bar.start()

    def listed(self, sources: int) -> None:
        self._bar.update(self._task, description=f"listing: {sources:,} sources")

    def started(self, started: Started) -> None:
        self._bar.console.print(_line(started), highlight=False)
        self._bar.update(self._task, description="first units at work", total=max(1, started.run.sources))

    def committed(self, progress: Progress) -> None:
        self._bar.update(self._task, completed=progress.counts.sources, description=_state(progress))

    def done(self) -> None:
        self._bar.stop()
