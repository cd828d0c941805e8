"""Parquet parts: the same rows give the same bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from lake.storage import Root
from schemas.errors import LakeError
from schemas.quick_arrow import never_import_pandas_for_a_question

_ROW_GROUP_ROWS = 65_536


def write_part(path: Path, rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> tuple[int, str]:
    """Writes `rows` (sorting them is the caller's) to a new file; returns its size and SHA-256.

    Maps are lists of pairs, in the order in which they shall be stored. A column that the schema does not know, a value
    that does not fit, and a number that is none (NaN, infinity) are LakeErrors; a column that a row lacks is null.
    """
    never_import_pandas_for_a_question()
    known = set(schema.names)
    unknown = {name for row in rows for name in row if name not in known}
    if unknown:
        raise LakeError(f"rows of `{_table(schema)}` have columns that its schema does not know: {sorted(unknown)}")
    columns = [_column(rows, field) for field in schema]
    return write_table(path, pa.Table.from_arrays(columns, schema=schema), _ROW_GROUP_ROWS)


def write_table(
    path: Path, table: pa.Table, row_group_rows: int, repeating: Sequence[str] | None = None, *,
    encodings: Mapping[str, str] | None = None, statistics: Sequence[str] | None = None,
) -> tuple[int, str]:  # fmt: skip
    """Writes a table as it is to a new file; returns its size and SHA-256. `repeating` names the leaves whose values
    are worth a dictionary; all are tried unless told, which costs time where none comes twice. `encodings` are names of
    Parquet, for leaves that have no dictionary; `statistics` names the leaves that get them, all unless told."""
    import pyarrow.parquet as pq

    with path.open("xb") as file:
        pq.write_table(
            table,
            file,
            compression="zstd",
            version="2.6",
            row_group_size=row_group_rows,
            use_dictionary=True if repeating is None else list(repeating),
            store_schema=True,
            write_statistics=True if statistics is None else list(statistics),
            column_encoding=None if encodings is None else dict(encodings),
        )
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


def read_part(root: Root, path: str, columns: Sequence[str] | None = None) -> pa.Table:
    """A part of the lake as a table, or some of its columns. Raises Missing, and LakeError where it is not Parquet."""
    import pyarrow.parquet as pq

    with root.open(path) as file:
        try:
            part = pq.ParquetFile(file, pre_buffer=True)
            return part.read(None if columns is None else list(columns), use_threads=False)
        except (OSError, pa.ArrowInvalid) as error:
            said = " ".join(str(error).split())
            raise LakeError(f"{root.uri_of(path)} cannot be read as Parquet: {said}") from error


def _column(rows: Sequence[Mapping[str, Any]], field: pa.Field) -> pa.Array:
    try:
        column = pa.array([row.get(field.name) for row in rows], type=field.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise LakeError(f"column `{field.name}` takes {field.type}: {error}") from None
    if not field.nullable and column.null_count:
        raise LakeError(f"column `{field.name}` may not be null, and {column.null_count} rows leave it so")
    if pa.types.is_floating(field.type) and not _is_finite(column):
        raise LakeError(f"column `{field.name}` holds NaN or infinity; what could not be measured is null")
    return column


def _is_finite(column: pa.Array) -> bool:
    import pyarrow.compute as pc

    return bool(pc.all(pc.is_finite(column), min_count=0).as_py())


def _table(schema: pa.Schema) -> str:
    return str((schema.metadata or {}).get(b"table", b"?"), "utf-8")
