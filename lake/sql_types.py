"""Arrow's types as DuckDB names them."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa


def columns_of(schema: pa.Schema) -> Mapping[str, str]:
    """The columns of an Arrow schema with DuckDB's names of their types."""
    return {field.name: _duckdb_type(field.type) for field in schema}


_PLAIN = {
    pa.string(): "VARCHAR", pa.float64(): "DOUBLE", pa.int32(): "INTEGER", pa.int64(): "BIGINT", pa.bool_(): "BOOLEAN",
    pa.timestamp("us", tz="UTC"): "TIMESTAMPTZ",
}  # fmt: skip


def _duckdb_type(kind: pa.DataType) -> str:
    if pa.types.is_struct(kind):
        members = (f"{kind.field(n).name} {_duckdb_type(kind.field(n).type)}" for n in range(kind.num_fields))
        return f"STRUCT({', '.join(members)})"
    if pa.types.is_map(kind):
        return f"MAP({_duckdb_type(kind.key_type)}, {_duckdb_type(kind.item_type)})"
    if pa.types.is_list(kind):
        return f"{_duckdb_type(kind.value_type)}[]"
    return _PLAIN[kind]
