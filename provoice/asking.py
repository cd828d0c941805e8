"""What `provoice sql` prints."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import duckdb

from lake.lake import Lake
from provoice.sql import VIEWS, connect
from schemas.errors import ConfigError
from schemas.instants import to_text


def views() -> str:
    """The views and what each holds."""
    width = max(map(len, VIEWS))
    return "".join(f"{name:<{width}}  {what}\n" for name, what in VIEWS.items())


def ask(lake_uri: str, query: str, form: str | None) -> str:
    """The answer as a table, or as `json` or `csv`. Raises ConfigError with what DuckDB says of a wrong question."""
    with connect(Lake.open(lake_uri)) as connection:
        try:
            answer = connection.execute(query)
            names = [column[0] for column in answer.description or ()]
            rows = answer.fetchall()
        except duckdb.Error as error:
            raise ConfigError(f"SQL: {str(error).strip()}") from None
    if form == "json":
        return "".join(json.dumps(dict(zip(names, map(plain, row), strict=True)), ensure_ascii=False) + "\n" for row in rows)
    if form == "csv":
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([_cell(value) for value in row] for row in rows)
        return out.getvalue()
    return _table(names, rows)


def plain(value: Any) -> Any:
    """`value` as JSON knows it; instants are RFC 3339 text."""
    if isinstance(value, datetime):
        return to_text(value)
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, bytes):
        return value.hex()
    return value if isinstance(value, str | int | float | bool | type(None)) else str(value)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.10g}"
    shown = plain(value)
    return json.dumps(shown, ensure_ascii=False) if isinstance(shown, dict | list) else str(shown)


def _table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Columns under their names, numbers to the right. On a terminal, wide text is cut so that a row stays a line."""
    cells = [["∅" if value is None else _cell(value).replace("\n", "⏎") for value in row] for row in rows]
    widths = [max([len(name), *(len(row[n]) for row in cells)]) for n, name in enumerate(names)]
    if sys.stdout.isatty():
        room = shutil.get_terminal_size().columns - 2 * (len(names) - 1)
        while sum(widths) > room and max(widths) > 12:
            widths[widths.index(max(widths))] -= 1
    numeric = [all(isinstance(row[n], int | float | type(None)) for row in rows) for n in range(len(names))]

    def line(values: Sequence[str]) -> str:
        cut = [v if len(v) <= w else v[: w - 1] + "…" for v, w in zip(values, widths, strict=True)]
        shown = [v.rjust(w) if right else v.ljust(w) for v, w, right in zip(cut, widths, numeric, strict=True)]
        return "  ".join(shown).rstrip()

    count = f"{len(rows)} row" + ("" if len(rows) == 1 else "s")
    return "\n".join([line(names), line(["─" * w for w in widths]), *map(line, cells), count]) + "\n"
