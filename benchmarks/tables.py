"""Tables for a terminal and for Markdown: the same text serves both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with its columns aligned: the first to the left, figures to the right.

    >>> print(table(["", "CPU s"], [["decode", "2.4"], ["vad", "13.5"]]))
    |        | CPU s |
    | ------ | ----: |
    | decode |   2.4 |
    | vad    |  13.5 |
    """
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    is_number = [all(row[column][:1] in "0123456789–-" for row in rows) for column in range(len(head))]
    is_number[0] = False

    def line(cells: Sequence[str]) -> str:
        placed = [c.rjust(w) if n else c.ljust(w) for c, w, n in zip(cells, widths, is_number, strict=True)]
        return "| " + " | ".join(placed) + " |"

    rule = ["-" * (width - 1) + (":" if number else "-") for width, number in zip(widths, is_number, strict=True)]
    return "\n".join([line(head), line(rule), *map(line, rows)])


def stage_table(stages: Mapping[str, Mapping[str, float]], hours: float) -> str:
    """CPU seconds per hour of audio: a row per stage, a column per contender; `–` where it has no such stage."""
    names = list(stages)
    order = dict.fromkeys(stage for spent in stages.values() for stage in spent)
    rows = [
        [stage, *(f"{stages[name][stage] / hours:.2f}" if stage in stages[name] else "–" for name in names)]
        for stage in order
    ]
    total = ["sum", *(f"{sum(stages[name].values()) / hours:.2f}" for name in names)]
    return table(["CPU s per audio-h", *names], [*rows, total])
