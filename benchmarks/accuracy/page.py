"""Puts tables into a page: between `<!-- accuracy:NAME -->` and `<!-- end -->`; the words around them are by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.accuracy.result import Table

_END = "<!-- end -->"


class NoPlace(Exception):
    """A table's place in a page does not end."""


def filled(page: str, tables: Iterable[Table]) -> str:
    """The page with each table in its place. Tables that have none are left out. Raises NoPlace where one does not end.

    >>> filled("a <!-- accuracy:x -->old<!-- end --> b", [Table("x", "", ("n",), (("1",),))])
    'a <!-- accuracy:x -->\\n| n |\\n| - |\\n| 1 |\\n<!-- end --> b'
    """
    for table in tables:
        begin = f"<!-- accuracy:{table.name} -->"
        before, found, rest = page.partition(begin)
        _, ended, after = rest.partition(_END)
        if not found:
            continue
        if not ended:
            raise NoPlace(f"`{begin}` has no `{_END}` after it")
        page = f"{before}{begin}\n{table.text()}\n{_END}{after}"
    return page


def write(path: Path, tables: Sequence[Table]) -> list[str]:
    """Fills the page at `path`; returns the names of tables that have no place in it."""
    page = path.read_text(encoding="utf-8")
    path.write_text(filled(page, tables), encoding="utf-8")
    return [table.name for table in tables if f"<!-- accuracy:{table.name} -->" not in page]
