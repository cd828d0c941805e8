"""A short document as sections of sentences and tables, written as text for a terminal, Markdown, or an HTML page."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH = 96
_STYLE = """
body { font: 16px/1.5 Georgia, serif; max-width: 52em; margin: 3em auto; padding: 0 1em; color: #222; }
h1 { font-size: 1.6em; }
h2 { font-size: 1.15em; margin-top: 2em; }
table { border-collapse: collapse; width: 100%; font-size: .9em; }
td, th { text-align: left; vertical-align: top; padding: .3em .8em .3em 0; border-bottom: 1px solid #ddd; }
td { overflow-wrap: anywhere; }
@media (max-width: 40em) {
body { margin: 1em auto; }
tr:first-child { display: none; }
tr, td { display: block; }
tr { border-bottom: 1px solid #ddd; padding: .5em 0; }
td { border: 0; padding: .1em 0; }
td::before { content: attr(data-name) ": "; color: #666; }
}
"""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, sentences, and perhaps a table below them; with `head`, its columns have names."""

    title: str
    sentences: tuple[str, ...] = ()
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """A document."""

    title: str
    sections: tuple[Section, ...]


def as_text(page: Page) -> str:
    """For a terminal: nothing is cut off, and ids stay whole."""
    return "\n".join([page.title, *(line for one in page.sections for line in _text(one))]) + "\n"


def _text(section: Section) -> Iterator[str]:
    yield ""
    yield section.title
    for sentence in section.sentences:
        lines = textwrap.wrap(sentence, _WIDTH - 2, break_long_words=False, break_on_hyphens=False)
        yield from (f"  {line}" for line in lines)
    table = [section.head, *section.rows] if section.rows else []
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        yield "  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def as_markdown(page: Page) -> str:
    lines = [f"# {_plain(page.title)}"]
    for section in page.sections:
        lines += ["", f"## {_plain(section.title)}", ""]
        lines += [line for sentence in section.sentences for line in (_plain(sentence), "")]
        if section.rows:
            cells = [section.head, tuple("---" for _ in section.head), *section.rows]
            lines += ["| " + " | ".join(_plain(cell).replace("|", "\\|") for cell in row) + " |" for row in cells]
    return "\n".join(lines).rstrip("\n") + "\n"


def as_html(page: Page) -> str:
    """No script, no picture, nothing from elsewhere."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>{escape(page.title)}</title><style>{_STYLE}</style>",
        f"<h1>{escape(page.title)}</h1>",
    ]
    for section in page.sections:
        parts.append(f"<h2>{escape(section.title)}</h2>")
        parts += [f"<p>{escape(sentence)}</p>" for sentence in section.sentences]
        if section.rows:
            head = f"<tr>{''.join(f'<th>{escape(name)}</th>' for name in section.head)}</tr>"
            parts.append(f"<table>{head}{''.join(_row(section.head, row) for row in section.rows)}</table>")
    return "\n".join([*parts, "</html>", ""])


def _row(head: Sequence[str], cells: Sequence[str]) -> str:
    """Each cell knows its column's name, for on a phone they stand one below the other."""
    named = (f'<td data-name="{escape(name)}">{escape(cell)}</td>' for name, cell in zip(head, cells, strict=True))
    return f"<tr>{''.join(named)}</tr>"


def _plain(text: str) -> str:
    """Words of others do not become marks of Markdown, nor HTML within it."""
    found = text.replace("\\", "\\\\").replace("<", "&lt;").replace("\n", " ")
    for mark in "`*_[]":
        found = found.replace(mark, f"\\{mark}")
    return found
