"""What a measurement's module hands back: tables to read and figures to compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.tables import table


@dataclass(frozen=True, slots=True)
class Table:
    """`name` marks its place in `docs/accuracy.md`."""

    name: str
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def text(self) -> str:
        """In Markdown, its columns aligned."""
        return table(self.head, self.rows)


@dataclass(frozen=True, slots=True)
class Result:
    """Tables, and the same in figures: what `--json` writes."""

    tables: tuple[Table, ...]
    figures: dict[str, Any]


def shown(value: float | None, digits: int) -> str:
    """A figure with a real minus sign; `–` where there is none."""
    if value is None:
        return "–"
    rounded = round(value, digits) + 0.0
    return f"{rounded:.{digits}f}".replace("-", "−")


def percent(share: float | None, digits: int = 1) -> str:
    return "–" if share is None else shown(100 * share, digits)
