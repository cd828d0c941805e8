"""Tables that people write: CSV, JSON lines and Parquet as (number, values), with the place of every fault named.

The number is the line of a text file, or the row of a Parquet file, counted from 1. Empty cells are left out.
"""

from __future__ import annotations

import csv
import json
import os
import zlib
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any, cast

from schemas.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

Values = dict[str, Any]

_CSV, _JSON = (".csv", ".tsv"), (".jsonl", ".ndjson", ".json")
_PARQUET = (".parquet", ".pq")
_BATCH_ROWS = 5_000
_FOREIGN_MARKS = (b"\xff\xfe", b"\xfe\xff")


def place(uri: str, number: int, column: str | None = None) -> str:
    """`FILE, line 7, column `text`` as faults are told."""
    unit = "row" if uri.lower().endswith(_PARQUET) else "line"
    return f"{uri}, {unit} {number}" + (f", column `{column}`" if column else "")


def read_rows(uri: str) -> Iterator[tuple[int, Values]]:
    """Rows of the table at `uri` (a path or any URI that fsspec opens), streamed. `.gz` is unpacked on the way.

    Raises ConfigError, naming file and line, for a file that is missing, empty, not UTF-8 or not what its name says.
    """
    stem = uri.lower().removesuffix(".gz")
    if stem.endswith(_PARQUET):
        rows = _parquet_rows(uri)
    elif stem.endswith(_JSON):
        rows = _json_rows(uri)
    elif stem.endswith(_CSV):
        rows = _csv_rows(uri, stem.endswith(".tsv"))
    else:
        raise ConfigError(f"{uri}: not a table that can be read; give .csv, .tsv, .jsonl (each also .gz) or .parquet")
    is_empty = True
    for row in rows:
        is_empty = False
        yield row
    if is_empty:
        raise ConfigError(f"{uri}: holds no row")


def open_binary(uri: str) -> IO[bytes]:
    """`uri` for reading bytes, unpacked when it ends with `.gz`. Raises ConfigError when it cannot be opened."""
    import fsspec

    try:
        is_packed = uri.lower().endswith(".gz")
        if "://" not in uri and not is_packed:
            return open(uri, "rb")
        return cast("IO[bytes]", fsspec.open(uri, "rb", compression="gzip" if is_packed else None).open())
    except Exception as error:
        # Every store's client has exceptions of its own, and all of them mean: this file cannot be read.
        raise _unreadable(uri, error) from error


def _unreadable(uri: str, error: BaseException) -> ConfigError:
    if isinstance(error, FileNotFoundError):
        return ConfigError(f"{uri}: no such file")
    return ConfigError(f"{uri}: cannot be read ({type(error).__name__}: {' '.join(str(error).split())})")


def beside(uri: str, path: str) -> str:
    """`path` relative to the folder of `uri`; a path that is absolute, or a URI, stands for itself."""
    if "://" in path or path.startswith("/"):
        return path
    head, slash, _ = uri.rpartition("/")
    return f"{head}{slash}{path}" if "://" in uri else os.path.normpath(os.path.join(head + slash, path))


def text_lines(uri: str) -> Iterator[str]:
    """Lines of a UTF-8 text with their ends, without a byte order mark. Raises ConfigError where it is not UTF-8."""
    with open_binary(uri) as file:
        number = 0
        try:
            for number, line in enumerate(file, start=1):
                if number == 1:
                    if line.startswith(_FOREIGN_MARKS):
                        raise ConfigError(f"{uri}: is UTF-16; save it as UTF-8")
                    line = line.removeprefix(b"\xef\xbb\xbf")
                yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            where = f"{place(uri, number)}, byte {error.start + 1}"
            raise ConfigError(f"{where}: not UTF-8 (0x{error.object[error.start]:02x}); save it as UTF-8") from None
        except (EOFError, OSError, zlib.error) as error:
            raise _unreadable(f"{place(uri, number)}", error) from error


def _csv_rows(uri: str, tabs: bool) -> Iterator[tuple[int, Values]]:
    lines = text_lines(uri)
    first = next(lines, "")
    delimiter = separator_of(first, tabs)
    reader = csv.reader(_chain(first, lines), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            is_long = "field larger" in str(error)
            said = (
                "a cell of more than 131,072 characters; put it in a file, named in `transcript`" if is_long else error
            )
            raise ConfigError(f"{place(uri, number)}: {said}") from None
        if not any(cells):
            continue
        if header is None:
            header = header_of(uri, cells)
        elif len(cells) != len(header):
            raise ConfigError(f"{place(uri, number)}: {len(cells)} cells under a header of {len(header)}")
        else:
            yield number, {name: cell for name, cell in zip(header, cells, strict=True) if cell}


def _chain(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def separator_of(first_line: str, tabs: bool) -> str:
    """Spreadsheets write `;` in half of Europe; what separates the names in the header separates everything."""
    return "\t" if tabs else max(",\t;", key=first_line.count)


def header_of(uri: str, cells: list[str]) -> list[str]:
    """Column names. Raises ConfigError for one that is empty or stands twice."""
    names = [cell.strip() for cell in cells]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or "" in names:
        raise ConfigError(
            f"{place(uri, 1)}: {f'column `{twice[0]}` stands twice' if any(twice) else 'a column has no name'}"
        )
    return names


def _json_rows(uri: str) -> Iterator[tuple[int, Values]]:
    for number, line in enumerate(text_lines(uri), start=1):
        if not line.strip():
            continue
        if number == 1 and line.lstrip().startswith("["):
            raise ConfigError(f"{uri}: a JSON list; write one object per line (JSON lines)")
        try:
            value = json.loads(line, object_pairs_hook=_once)
        except ValueError as error:
            raise ConfigError(f"{place(uri, number)}: not JSON ({error})") from None
        except RecursionError:
            raise ConfigError(f"{place(uri, number)}: nested too deeply") from None
        if not isinstance(value, dict):
            raise ConfigError(f"{place(uri, number)}: not a JSON object")
        yield number, {name: cell for name, cell in value.items() if cell is not None and cell != ""}


def _once(pairs: list[tuple[str, Any]]) -> Values:
    """An object whose keys are distinct: of two values, JSON's reader would silently keep the last."""
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key `{next(name for name in names if names.count(name) > 1)}` stands twice")
    return values


def _parquet_rows(uri: str) -> Iterator[tuple[int, Values]]:
    number = 0
    for batch in parquet_batches(uri, _BATCH_ROWS):
        for values in batch.to_pylist():
            number += 1
            yield number, {name: cell for name, cell in values.items() if cell is not None and cell != ""}


def parquet_batches(uri: str, rows: int = 65_536) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file, so many at a time. Raises ConfigError where it cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with open_binary(uri) as file:
        try:
            yield from pq.ParquetFile(file).iter_batches(rows)
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(uri, error) from error
