"""Puts tables into a page: between `<!-- accuracy:NAME -->` and `<!-- end -->`; the words around them are by hand."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmarks.accuracy.result import Table

_END = "<!-- end -->"


class NoPlace(Exception):
    """A page has no place for a table, or none that ends."""


def filled(page: str, tables: Iterable[Table]) -> str:
    """The page with each table in its place. Raises NoPlace where a table has none.

    >>> filled("a <!-- accuracy:x -->old<!-- end --> b", [Table("x", "", ("n",), (("1",),))])
    'a <!-- accuracy:x -->\\n| n |\\n| - |\\n| 1 |\\n<!-- end --> b'
    """
    for table in tables:
        begin = f"<!-- accuracy:{table.name} -->"
        before, found, rest = page.partition(begin)
        _, ended, after = rest.partition(_END)
        if not found or not ended:
            raise NoPlace(f"no `{begin}` … `{_END}` in the page")
        page = f"{before}{begin}\n{table.text()}\n{_END}{after}"
    return page


def write(path: Path, tables: Iterable[Table]) -> None:
    path.write_text(filled(path.read_text(encoding="utf-8"), tables), encoding="utf-8")
