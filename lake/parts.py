"""Parquet parts: the same rows give the same bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from schemas.errors import LakeError

_ROW_GROUP_ROWS = 65_536


def write_part(path: Path, rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> tuple[int, str]:
    """Writes `rows` (sorting them is the caller's) to a new file; returns its size and SHA-256.

    A column that the schema does not know is a LakeError; one that a row does not name is null.
    """
    import pyarrow.parquet as pq

    known = set(schema.names)
    unknown = {name for row in rows for name in row} - known
    if unknown:
        raise LakeError(f"rows of `{_table(schema)}` have columns that its schema does not know: {sorted(unknown)}")
    columns = [_column(rows, field) for field in schema]
    pq.write_table(
        pa.Table.from_arrays(columns, schema=schema),
        path,
        compression="zstd",
        version="2.6",
        row_group_size=_ROW_GROUP_ROWS,
        store_schema=True,
        write_statistics=True,
    )
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


def _column(rows: Sequence[Mapping[str, Any]], field: pa.Field) -> pa.Array:
    try:
        column = pa.array([row.get(field.name) for row in rows], type=field.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise LakeError(f"column `{field.name}` takes {field.type}: {error}") from None
    if not field.nullable and column.null_count:
        raise LakeError(f"column `{field.name}` may not be null, and {column.null_count} rows leave it so")
    return column


def _table(schema: pa.Schema) -> str:
    return (schema.metadata or {}).get(b"table", b"?").decode()
