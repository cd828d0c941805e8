"""Tables as columns, block by block: ten million rows in seconds. What is not plain is left to the row reader.

A block is taken as columns only where that reader would find the very same cells, so every fault is told by one voice.
"""

from __future__ import annotations

import csv
import functools
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import IO, TYPE_CHECKING

import numpy as np

from pipelines.catalogue_formats import Values, header_of, open_binary, parquet_batches, read_rows, separator_of
from schemas.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK_BYTES = 16 << 20
_CELL_CHARACTERS = 131_072  # the row reader refuses longer ones
_ROWS = 5_000
_QUOTE = 0x22


@dataclass(frozen=True, slots=True)
class Columns:
    """Rows `first_number`, `first_number + 1`, … of a table. In a CSV every column is text, and an empty cell is ""."""

    first_number: int
    table: pa.Table

    def rows(self) -> Iterator[tuple[int, Values]]:
        """The same, as `read_rows` has them."""
        for number, values in enumerate(self.table.to_pylist(), start=self.first_number):
            kept = {name: cell for name, cell in values.items() if cell is not None and cell != ""}
            if kept:
                yield number, kept


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows that are no plain columns."""

    listed: list[tuple[int, Values]]

    def rows(self) -> Iterator[tuple[int, Values]]:
        yield from self.listed


def read_columns(uri: str) -> Iterator[Columns | Rows]:
    """The rows of `read_rows`, in the same order and with the same numbers; raises what it raises."""
    stem = uri.lower()
    if stem.endswith((".parquet", ".pq")):
        yield from _parquet_columns(uri)
    elif stem.removesuffix(".gz").endswith((".csv", ".tsv")):
        yield from _csv_columns(uri, stem.removesuffix(".gz").endswith(".tsv"))
    else:
        yield from _rows_from(uri, 1)


def in_pieces(rows: Iterable[tuple[int, Values]]) -> Iterator[Rows]:
    """Numbered rows, some thousand at a time."""
    rest = iter(rows)
    while listed := list(islice(rest, _ROWS)):
        yield Rows(listed)


def _rows_from(uri: str, first_number: int) -> Iterator[Rows]:
    return in_pieces(row for row in read_rows(uri) if row[0] >= first_number)


def _parquet_columns(uri: str) -> Iterator[Columns]:
    import pyarrow as pa

    number = 1
    for batch in parquet_batches(uri):
        yield Columns(number, pa.Table.from_batches([batch]))
        number += batch.num_rows
    if number == 1:
        raise ConfigError(f"{uri}: holds no row")


def _csv_columns(uri: str, tabs: bool) -> Iterator[Columns | Rows]:
    number = 2  # of the line that is next
    with open_binary(uri) as file:
        header = _plain_header(uri, file.readline(), tabs)
        while header is not None:
            names, delimiter = header
            try:
                block, is_last = _block(file)
            except (EOFError, OSError, zlib.error):
                break  # the row reader says where
            if not block and number > 2:
                return
            table = _plain_table(block, names, delimiter) if block else None
            if table is None:
                break
            yield Columns(number, table)
            number += table.num_rows
            if is_last:
                return
    yield from _rows_from(uri, number)


def _block(file: IO[bytes]) -> tuple[bytes, bool]:
    """Whole lines, some 16 MiB of them, and whether they are the last; then without the empty lines at the end."""
    pieces: list[bytes] = []
    while (missing := _BLOCK_BYTES - sum(map(len, pieces))) > 0 and (piece := file.read(missing)):
        pieces.append(piece)
    block, is_last = b"".join(pieces), missing > 0
    return (block.rstrip(b"\r\n"), True) if is_last else (block + file.readline(), False)


def _plain_header(uri: str, line: bytes, tabs: bool) -> tuple[list[str], str] | None:
    """Column names and the separator; None where the first line is not a plain header."""
    line = line.removeprefix(b"\xef\xbb\xbf")
    if not line.endswith(b"\n") or b'"' in line or b"\0" in line or b"\r" in line.removesuffix(b"\r\n"):
        return None
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        return None
    delimiter = separator_of(text, tabs)
    cells = next(csv.reader([text], delimiter=delimiter, strict=True))
    return (header_of(uri, cells), delimiter) if any(cells) else None


def _plain_table(block: bytes, names: list[str], delimiter: str) -> pa.Table | None:
    """The lines of `block` as columns of text; None where the row reader might see something else in them."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv as arrow_csv

    lines = block.count(b"\n") + (not block.endswith(b"\n"))
    if not _is_plain(block, delimiter):
        return None
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(block),
            arrow_csv.ReadOptions(column_names=names, use_threads=False, block_size=len(block) + 1),
            arrow_csv.ParseOptions(delimiter=delimiter, ignore_empty_lines=False, newlines_in_values=False),
            arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
        )
    except (pa.ArrowException, UnicodeDecodeError):
        return None
    if table.num_rows != lines:
        return None
    longest = max(pc.max(pc.utf8_length(column)).as_py() for column in table.columns)
    # A line of separators only is no row, and takes a number.
    is_blank = functools.reduce(pc.and_, [pc.equal(column, "") for column in table.columns])
    return table.combine_chunks() if longest <= _CELL_CHARACTERS and not pc.any(is_blank).as_py() else None


def _is_plain(block: bytes, delimiter: str) -> bool:
    if b"\0" in block or block.startswith((b"\n", b"\r\n")) or b"\n\n" in block or b"\n\r\n" in block:
        return False
    if b"\r" in block and block.count(b"\r") != block.count(b"\r\n"):
        return False
    return b'"' not in block or _has_plain_quotes(np.frombuffer(block, np.uint8), ord(delimiter))


def _has_plain_quotes(block: np.ndarray, delimiter: int) -> bool:
    """Every quote opens a cell, closes one, or is one of two within; no line ends within a cell."""
    quotes = np.flatnonzero(block == _QUOTE)
    if len(quotes) % 2:
        return False
    # As if line ends stood around it; CR counts as one, for it stands only before LF.
    padded = np.concatenate([[10], block, [10]])
    opening, closing = quotes[::2], quotes[1::2]
    ends = (delimiter, 10, 13)
    begins = np.isin(padded[opening], (delimiter, 10)) | (padded[opening] == _QUOTE)
    finishes = np.isin(padded[closing + 2], ends) | (padded[closing + 2] == _QUOTE)
    lines = np.flatnonzero(block == 10)
    within = np.searchsorted(quotes, lines) % 2
    return bool(begins.all() and finishes.all() and not within.any())
