"""`provoice status --follow`: a live run from another terminal, redrawn in place, as lines of a log, or as JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lake.lake import Lake
from lake.runs import list_runs
from pipelines.gc_grace import open_runs
from provoice.asking import plain
from provoice.status_tally import Look, Tally
from provoice.words import hours, reasons, several
from schemas.errors import ConfigError
from schemas.records import RunRecord

if TYPE_CHECKING:
    from rich.text import Text

TERMINAL_EVERY_S, LOG_EVERY_S = 5.0, 30.0
_SHARE = 4.0
"""Looks take a fifth of the time at most, however long a listing takes."""
_BAR = 24


def follow(lake_uri: str, run_id: str | None, every_s: float | None, as_json: bool) -> None:
    """Shows the run until it is complete or closed. Raises ConfigError where there is none of that name."""
    lake = Lake.open(lake_uri)
    run = _chosen(lake, run_id)
    if run is None:
        sys.stdout.write(
            f"{lake.root.uri} has no run yet; `provoice run CONFIG --source … --lake {lake_uri}` starts one\n"
        )
        return
    is_terminal = sys.stdout.isatty() and not as_json
    every_s = every_s or (TERMINAL_EVERY_S if is_terminal else LOG_EVERY_S)
    screen: Any = _Screen() if is_terminal else _Lines(_json if as_json else line)
    with screen.shown():
        watch(Tally(lake, run), every_s, screen.show)


def watch(tally: Tally, every_s: float, show: Callable[[Look], None]) -> None:
    """Looks now and then until the run is over."""
    while True:
        began = time.monotonic()
        look = tally.look()
        show(look)
        if look.is_over:
            return
        time.sleep(max(every_s, _SHARE * (time.monotonic() - began)))


def _chosen(lake: Lake, run_id: str | None) -> RunRecord | None:
    """The run of that name; else the newest that is going on, else the newest."""
    runs = list_runs(lake)
    if run_id is None:
        return next(reversed(open_runs(lake) or runs), None)
    found = next((run for run in runs if run.run_id == run_id), None)
    if found is None:
        known = ", ".join(run.run_id for run in runs) or "none"
        raise ConfigError(f"{lake.root.uri} has no run {run_id}; its runs: {known}")
    return found


class _Lines:
    """One line per look."""

    def __init__(self, say: Callable[[Look], str]) -> None:
        self._say = say

    def shown(self) -> AbstractContextManager[object]:
        return nullcontext()

    def show(self, look: Look) -> None:
        sys.stdout.write(self._say(look) + "\n")
        sys.stdout.flush()


class _Screen:
    """The last look, redrawn in place."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(highlight=False), auto_refresh=False)

    def shown(self) -> AbstractContextManager[object]:
        return self._live

    def show(self, look: Look) -> None:
        self._live.update(_text(look), refresh=True)


def _text(look: Look) -> Text:
    from rich.text import Text

    return Text("\n".join(lines(look)), no_wrap=True, overflow="ellipsis")


def _json(look: Look) -> str:
    return json.dumps(plain({**asdict(look), "counts": look.counts.model_dump(mode="json")}))


def line(look: Look) -> str:
    """The look as one line of a log."""
    counts = look.counts
    said = [
        f"{_clock(look.at)}  {look.run_id} {look.state}: {look.committed:,}/{look.units:,} units",
        f"{hours(counts.source_s)} in, {hours(counts.utterance_s)} out",
        _paces(look),
        f"ends {_end(look)}" if _end(look) else "",
        f"{counts.rejected_total:,} rejected{_in_brackets(reasons(counts.rejected))}",
        f"{counts.held_total:,} held{_in_brackets(reasons(counts.held))}",
    ]
    return "; ".join(part for part in said if part)


def lines(look: Look) -> list[str]:
    """The look as a person reads it, within 80 columns but for long lists of reasons."""
    counts = look.counts
    share = look.committed / look.units if look.units else 1.0
    bar = "━" * int(_BAR * share) + "─" * (_BAR - int(_BAR * share))
    done, left = f"{look.committed:,} of {several(look.units, 'unit')}", f"{look.units - look.committed:,} left"
    shown = [
        f"run {look.run_id}: {look.state}, {_clock(look.at)}",
        f"  {bar} {int(1000 * share) / 10:.1f} %  {done}, {left}",
        f"  in        {hours(counts.source_s)} of audio, {hours(counts.speech_s)} of it speech",
        f"  out       {hours(counts.utterance_s)} in {several(counts.utterances, 'utterance')}",
        f"  pace      {_paces(look) or 'not known before the first unit'}",
    ]
    if not look.is_over:
        shown.append(f"  end       {_end(look) or 'not known yet'}")
    shown.append(f"  rejected  {counts.rejected_total:,}   {reasons(counts.rejected)}".rstrip())
    shown.append(f"  held      {counts.held_total:,}   {reasons(counts.held)}".rstrip())
    return shown


def _paces(look: Look) -> str:
    if look.pace is None:
        return ""
    now = "" if look.pace_now is None else f"{look.pace_now:,} audio-hours per hour now, "
    return f"{now}{look.pace:,} overall" if now else f"{look.pace:,} audio-hours per hour overall"


def _end(look: Look) -> str:
    if look.ends_at is None or look.left_s is None:
        return ""
    return f"about {_clock(look.ends_at)}, in {hours(look.left_s)}"


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""


def _clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
