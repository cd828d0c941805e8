"""What `provoice sql` prints: a table for people, CSV or JSON lines for programs, as the rows come."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import chain
from typing import Any

import pyarrow as pa

from lake.lake import Lake
from provoice.sql import VIEWS, connect, select
from provoice.words import several
from schemas.instants import to_text

Rows = list[tuple[Any, ...]]

_NOTHING = "∅"
_NARROWEST = 12
_MOST_IN_BLOCK = 500


def views() -> str:
    """The views and what each holds."""
    width = max(map(len, VIEWS))
    return "".join(f"{name:<{width}}  {what}\n" for name, what in VIEWS.items())


def ask(lake_uri: str, query: str, form: str | None, *, is_terminal: bool) -> Iterator[str]:
    """The answer in pieces of text: a table, or `json` or `csv`. Raises ConfigError for a question that is wrong."""
    with connect(Lake.open(lake_uri), query) as connection:
        names, batches = select(connection, query)
        if form == "json":
            yield from _json_lines(names, batches)
        elif form == "csv":
            yield from _csv(names, batches)
        else:
            yield from _table(names, batches, is_terminal)


def plain(value: Any) -> Any:
    """`value` as JSON knows it: instants are RFC 3339 text, and what is not a number is null."""
    if isinstance(value, datetime):
        return to_text(value) if value.tzinfo else value.isoformat()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, pa.MonthDayNano):
        return f"{value.months} months {value.days} days {value.nanoseconds / 1e9:g} s"
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return value.hex()
    return value if isinstance(value, str | int | type(None)) else str(value)


def _json_lines(names: Sequence[str], batches: Iterator[Rows]) -> Iterator[str]:
    for rows in batches:
        shown = (dict(zip(names, map(plain, row), strict=True)) for row in rows)
        yield "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in shown)


def _csv(names: Sequence[str], batches: Iterator[Rows]) -> Iterator[str]:
    for rows in ([tuple(names)], *batches):
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([_cell(value) for value in row] for row in rows)
        yield text.getvalue()


def _cell(value: Any) -> str:
    shown = plain(value)
    if shown is None:
        return ""
    if isinstance(shown, bool):
        return "true" if shown else "false"
    if isinstance(shown, float):
        return f"{shown:.10g}"
    return json.dumps(shown, ensure_ascii=False) if isinstance(shown, dict | list) else str(shown)


def _table(names: Sequence[str], batches: Iterator[Rows], is_terminal: bool) -> Iterator[str]:
    """Columns under their names, numbers to the right; widths come from the first rows.

    On a terminal wide text is cut so that a row stays a line, and where even that does not do, a row is a block.
    """
    first = next(batches, [])
    every = chain((first,), batches)
    shown = [[_in_table(value) for value in row] for row in first]
    widths = [max([_width(name), *(_width(row[n]) for row in shown)]) for n, name in enumerate(names)]
    count = 0
    room = shutil.get_terminal_size().columns - 2 * (len(names) - 1)
    if is_terminal and not _narrow(widths, room):
        for rows in every:
            yield "".join(_block(names, row, count + n) for n, row in enumerate(rows, 1))
            count += len(rows)
    else:
        right = [_is_numeric([row[n] for row in first]) for n in range(len(names))]
        yield _line(names, widths, right, is_terminal) + _line(["─" * w for w in widths], widths, right)
        for rows in every:
            yield "".join(_line([_in_table(value) for value in row], widths, right, is_terminal) for row in rows)
            count += len(rows)
    if is_terminal:
        yield f"({several(count, 'row')})\n"


def _block(names: Sequence[str], row: Sequence[Any], number: int) -> str:
    width = max(map(len, names))
    shown = (_cut(_in_table(value), _MOST_IN_BLOCK) for value in row)
    return f"── row {number}\n" + "".join(f"{name:<{width}}  {text}\n" for name, text in zip(names, shown, strict=True))


def _is_numeric(values: Sequence[Any]) -> bool:
    return all(isinstance(v, int | float | Decimal | None) and not isinstance(v, bool) for v in values)


def _in_table(value: Any) -> str:
    # Control characters of a path or a transcript would move the cursor, or worse.
    return _NOTHING if value is None else "".join(c if c.isprintable() else "␣" for c in _cell(value))


def _width(text: str) -> int:
    """Columns that `text` takes on a terminal: wide characters take two, marks above others none."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _narrow(widths: list[int], room: int) -> bool:
    """Takes from the widest column until all fit, or none is wide any more; says whether they fit."""
    while sum(widths) > room and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    return sum(widths) <= room


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool], is_cut: bool = False) -> str:
    placed = []
    for cell, width, to_right in zip(cells, widths, right, strict=True):
        text = _cut(cell, width) if is_cut else cell
        space = " " * (width - _width(text))
        placed.append(space + text if to_right else text + space)
    return "  ".join(placed).rstrip() + "\n"


def _cut(text: str, width: int) -> str:
    """`text` within `width` columns; looks at no more of it than could fit."""
    if _width(text) <= width:
        return text
    text = text[: width - 1]
    while _width(text) > width - 1:
        text = text[:-1]
    return text + "…"
