"""The cells of one row of a table, each asked for as what it means: text, truth, number, list, instant."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, time
from typing import Any

from pipelines.catalogue_formats import Values, place
from schemas.errors import ConfigError

_DATE_OR_INSTANT = re.compile(r"(\d{4}-\d{2}-\d{2})([T ].+)?")
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class Cells:
    """Row `number` of the table at `uri`. Every fault is a ConfigError that names file, line and column."""

    def __init__(self, uri: str, number: int, values: Values) -> None:
        self.uri, self.number, self.values = uri, number, values

    def where(self, column: str | None = None) -> str:
        return place(self.uri, self.number, column)

    def fault(self, column: str | None, said: str) -> ConfigError:
        return ConfigError(f"{self.where(column)}: {said}")

    def text(self, column: str) -> str | None:
        value = self.values.get(column)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise self.fault(column, f"{value!r} is no text")
        self.refuse_unwritable(column, str(value))
        return str(value)

    def refuse_unwritable(self, column: str, text: str) -> None:
        """JSON can spell half a character, which no table can hold."""
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise self.fault(column, f"{text!r} cannot be written as UTF-8") from None

    def word(self, column: str) -> str | None:
        """Text without the spaces around it; None when nothing is left."""
        return (self.text(column) or "").strip() or None

    def flag(self, column: str) -> bool | None:
        value = self.values.get(column)
        if value is None or isinstance(value, bool):
            return value
        known = _TRUTH.get(str(value).strip().lower())
        if known is None:
            raise self.fault(column, f"{value!r} is neither true nor false")
        return known

    def whole(self, column: str) -> int | None:
        value = self.values.get(column)
        if value is None:
            return None
        text = str(value).strip().removesuffix(".0")  # a spreadsheet, or a table with gaps, makes 2 into 2.0
        if isinstance(value, bool) or not (text.isascii() and text.isdecimal()):
            raise self.fault(column, f"{value!r} is no whole number")
        return int(text)

    def items(self, column: str) -> list[Any]:
        """A list: as such, as JSON in a cell that begins with `[`, or the pieces between semicolons."""
        value = self.values.get(column)
        if value is None:
            return []
        if isinstance(value, str) and value.lstrip().startswith("["):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError) as error:
                raise self.fault(column, f"not a JSON list ({error})") from None
        if isinstance(value, str):
            value = [piece.strip() for piece in value.strip().removesuffix(";").split(";")]
            if "" in value:
                raise self.fault(column, "nothing stands between two semicolons")
        if not isinstance(value, list):
            raise self.fault(column, f"{value!r} is no list")
        return value

    def structs(self, column: str) -> list[dict[str, Any]]:
        """A list of objects, without their empty fields."""
        items = self.items(column)
        if not all(isinstance(item, dict) for item in items):
            raise self.fault(column, "needs a list of objects; in a CSV, write the list as JSON")
        return [{name: value for name, value in item.items() if value is not None} for item in items]

    def instant(self, column: str) -> datetime | None:
        """An instant in UTC; a bare date is the first instant of that day.

        Of a day's two ends that is the stricter for `collected_at`: a grant that begins during the day does not reach
        back over it, and what may be kept for so long after its collection is not kept a day longer.
        """
        value = self.values.get(column)
        if value is None:
            return None
        if isinstance(value, str):
            value = self._parsed(column, value.strip())
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime.combine(value, time.min, UTC)
        if not isinstance(value, datetime):
            raise self.fault(column, f"{value!r} is no instant; write 2026-03-01T12:00:00Z, or a date")
        if value.tzinfo is None:
            raise self.fault(column, f"{value.isoformat()} has no time zone; write 2026-03-01T12:00:00Z, or a date")
        # Other classes count nanoseconds; text is the way to a plain one.
        plain = value if type(value) is datetime else datetime.fromisoformat(value.isoformat())
        return plain.astimezone(UTC)

    def _parsed(self, column: str, text: str) -> date | datetime:
        if not (found := _DATE_OR_INSTANT.fullmatch(text)):
            raise self.fault(column, f"{text!r} is no instant; write 2026-03-01T12:00:00Z, or a date")
        try:
            return datetime.fromisoformat(text) if found[2] else date.fromisoformat(text)
        except ValueError as error:
            raise self.fault(column, f"{text!r} is no instant ({error})") from None
