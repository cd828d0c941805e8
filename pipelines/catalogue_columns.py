"""Catalogue rows as columns, where they are plain: an exact place within a root, and cells that many rows share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipelines.catalogue_formats import Values
from pipelines.catalogue_places import is_uri, nfc
from pipelines.catalogue_rows import OF_ONE_SOURCE, PLACES
from pipelines.csv_columns import Columns

if TYPE_CHECKING:
    import pyarrow as pa

_REMEMBERED_BYTES = 32 << 20
NumberOf = Callable[[int, Values], int]
"""The number of the entry that the row of this line says."""


@dataclass(frozen=True, slots=True)
class PlainRows:
    """Rows of which each names an exact place within a root: `keys` as listings spell them, `roots` or ""."""

    table: pa.Table
    first_number: int
    keys: pa.Array
    roots: pa.Array

    @property
    def numbers(self) -> np.ndarray:
        return np.arange(self.first_number, self.first_number + len(self.keys))


def plain_rows(piece: Columns) -> PlainRows | None:
    """The rows of a piece; None where one needs to be looked at by itself."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = _texts(piece.table)
    if table is None or "path" not in table.column_names:
        return None
    if any(_some(table[name]) for name in ("prefix", *OF_ONE_SOURCE) if name in table.column_names):
        return None
    paths = table["path"].combine_chunks()
    roots = table["root"].combine_chunks() if "root" in table.column_names else None
    odd = [pc.equal(paths, ""), is_uri(paths), pc.starts_with(paths, "."), pc.match_substring(paths, "..")]
    if any(pc.any(column).as_py() for column in odd):
        return None
    if roots is None:
        roots = pa.nulls(len(paths), pa.string()).fill_null("")
    elif any(name != name.strip() for name in pc.unique(roots).to_pylist()):
        return None
    return PlainRows(table, piece.first_number, nfc(paths), roots)


def _texts(table: pa.Table) -> pa.Table | None:
    """The table with "" for what is not there; None where some column is no text, number or truth, or stands twice."""
    import pyarrow as pa

    if len(set(table.column_names)) != len(table.column_names):
        return None
    for field in table.schema:
        is_place = field.name in PLACES
        if pa.types.is_string(field.type):
            continue
        if is_place or not (pa.types.is_boolean(field.type) or pa.types.is_integer(field.type)):
            return None
    columns = [column.fill_null("") if pa.types.is_string(column.type) else column for column in table.columns]
    return pa.table(columns, names=table.column_names)


def _some(column: pa.ChunkedArray) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string(column.type):
        return bool(pc.any(pc.not_equal(column, "")).as_py())
    return bool(column.null_count < len(column))


class SharedCells:
    """What rows say besides their place. Most say what another said, of another place: that is read once."""

    def __init__(self, number_of: NumberOf) -> None:
        self._number_of = number_of
        self._columns: list[str] = []
        self.clear()

    def clear(self) -> None:
        """Forgets what was said."""
        import pyarrow as pa

        self._said, self._numbers = pa.array([], pa.binary()), np.zeros(0, np.int32)

    def entries(self, rows: PlainRows) -> np.ndarray:
        """The number of each row's entry. Raises ConfigError as reading the rows one by one does."""
        import pyarrow as pa
        import pyarrow.compute as pc

        columns = [name for name in rows.table.column_names if name not in PLACES]
        if columns != self._columns or self._said.nbytes > _REMEMBERED_BYTES:
            self.clear()
            self._columns = columns
        said = _joined(rows.table.select(columns)) if columns else _blank(len(rows.keys))
        found = said.dictionary_encode()
        texts = found.dictionary
        known = pc.index_in(texts, value_set=self._said)
        numbers = np.append(self._numbers, -1)[known.fill_null(-1).to_numpy()].astype(np.int32)
        new = np.flatnonzero(numbers < 0)
        if len(new):
            codes = found.indices.to_numpy()
            first = np.empty(len(texts), np.int64)
            first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
            numbers[new] = self._read(rows, first[new])
            self._said = pa.concat_arrays([self._said, texts.take(new)])
            self._numbers = np.concatenate([self._numbers, numbers[new]])
        of_rows: np.ndarray = numbers[found.indices.to_numpy()]
        return of_rows

    def _read(self, rows: PlainRows, at: np.ndarray) -> list[int]:
        listed = rows.table.take(at).to_pylist()
        kept = [{name: cell for name, cell in values.items() if cell is not None and cell != ""} for values in listed]
        return [self._number_of(rows.first_number + int(row), values) for row, values in zip(at, kept, strict=True)]


def _joined(table: pa.Table) -> pa.Array:
    """One text per row, which two rows share only if all their cells are the same."""
    import pyarrow.compute as pc

    pieces: list[object] = []
    for column in table.columns:
        text = column.combine_chunks().cast("string").fill_null("")
        pieces += [pc.binary_length(text).cast("string").cast("binary"), text.cast("binary")]
    return pc.binary_join_element_wise(*pieces, b":")


def _blank(count: int) -> pa.Array:
    import pyarrow as pa

    return pa.array([b""] * count, pa.binary())
