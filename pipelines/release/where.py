"""The choice by quality: one condition on an utterance, taken apart into its clauses by DuckDB's own parser.

A condition sees one row of `utterances` and nothing else, and means the same whenever it is asked: no subquery, no
window, no clock, no chance. So a release can be decided again, and spread over files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lake.lake import Lake
from lake.parquet_sql import open_duckdb
from schemas.errors import ConfigError
from schemas.tables import utterances_schema

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_REFUSED = {
    "SUBQUERY": "a subquery",
    "WINDOW": "a window function",
    "PARAMETER": "a parameter",
    "STAR": "`*`",
    "POSITIONAL_REFERENCE": "a column by its number",
}
_CHANGING = {
    "age", "getenv", "localtime", "localtimestamp", "current_localtime", "current_localtimestamp", "current_time",
    "current_timestamp", "current_role", "current_user", "session_user", "user",
}  # fmt: skip
"""Mean something else each time, and are no functions that DuckDB lists so."""
_LISTED = "select distinct lower(function_name) from duckdb_functions() where stability is distinct from 'CONSISTENT'"


@dataclass(frozen=True, slots=True)
class Where:
    """A condition and its clauses: all must hold. Without any, everything matches."""

    text: str | None = None
    clauses: tuple[str, ...] = ()
    columns: frozenset[str] = frozenset()
    """Columns of `utterances` that it reads."""
    own: Mapping[str, str] = field(default_factory=dict)
    """Columns of stages of one's own in this lake, and their types."""


def read_where(lake: Lake, text: str | None, own: Mapping[str, str]) -> Where:
    """The condition `text` over the columns every lake has and this lake's `own`. Raises ConfigError in one line."""
    if text is None:
        return Where(own=own)
    if not text.strip():
        raise _wrong("it is empty; leave it out to take everything that is allowed")
    with open_duckdb(lake.root) as connection:
        tree = _tree(connection, f"select ({text}\n)")
        node = tree["statements"][0]["node"]
        (expression,) = node["select_list"]
        # Whatever closes our bracket and goes on behind it is no condition.
        blank = _tree(connection, "select (true)")["statements"][0]["node"]
        if any(node[key] != blank[key] for key in blank if key not in ("select_list", "query_location")):
            raise _wrong("it is more than one condition")
        changing = _CHANGING | {
            name for (name,) in connection.execute(f"{_LISTED} and function_type = 'scalar'").fetchall()
        }
        for part in _nodes(expression):
            _check(part, changing)
        clauses = tuple(_written(connection, tree, clause) for clause in _conjuncts(expression))
        found = Where(text, clauses, _columns_in(expression, own), own)
        _check_binds(connection, found)
    return found


def masks_sql(where: Where) -> str:
    """A query over `rows` for a boolean column per clause, in the order of the rows; what is unknown does not match."""
    shown = ", ".join(f"coalesce(({clause})::boolean, false) as c{n}" for n, clause in enumerate(where.clauses))
    return f"select {shown} from ({_united(where)}) utterances"


def create_blank(connection: duckdb.DuckDBPyConnection, where: Where) -> None:
    """The empty table that gives rows the columns which they lack."""
    if where.columns:
        _create(connection, "blank", {name: kind for name, kind in _every(where).items() if name in where.columns})


def _every(where: Where) -> dict[str, str]:
    from lake.sql_types import columns_of

    return {**columns_of(utterances_schema()), **where.own}


def _create(connection: duckdb.DuckDBPyConnection, table: str, columns: Mapping[str, str]) -> None:
    connection.execute(
        f"create table {table} (" + ", ".join(f'"{name}" {kind}' for name, kind in columns.items()) + ")"
    )


def _united(where: Where) -> str:
    names = ", ".join(f'"{name}"' for name in sorted(where.columns))
    return f"select {names} from (from blank union all by name from rows)" if where.columns else "select 1 from rows"


def _check_binds(connection: duckdb.DuckDBPyConnection, where: Where) -> None:
    """Asks for nothing, so that a wrong name or type is told before anything is read."""
    import duckdb

    _create(connection, "utterances", _every(where))
    try:
        for clause in where.clauses:
            connection.execute(f"select 1 from utterances where {clause}").fetchall()
            (kind,) = connection.sql(f"select ({clause}) from utterances").types
            if str(kind) not in ("BOOLEAN", '"NULL"'):
                raise _wrong(f"{clause} is of type {kind}, and no condition")
    except duckdb.Error as error:
        raise _wrong(" ".join(str(error).split("\n\nLINE ")[0].split())) from None


def _tree(connection: duckdb.DuckDBPyConnection, query: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(connection.execute("select json_serialize_sql(?)", [query]).fetchall()[0][0])
    if found["error"] or len(found["statements"]) != 1:
        raise _wrong(found.get("error_message", "it is more than one condition"))
    if len(found["statements"][0]["node"].get("select_list", ())) != 1:
        raise _wrong("it is more than one condition; join them by AND")
    return found


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "class" in value:
            yield value
        for item in value.values():
            yield from _nodes(item)
    elif isinstance(value, list):
        for item in value:
            yield from _nodes(item)


def _check(node: Mapping[str, Any], changing: Set[str]) -> None:
    if node["class"] in _REFUSED:
        raise _wrong(f"{_REFUSED[node['class']]} has no place in a condition on one utterance")
    # `current_date` is written like a column, and is a function where no column is called so; none of ours is.
    names = node.get("column_names", ())
    name = str(node.get("function_name") or (names[0] if len(names) == 1 else "")).lower()
    if name in changing:
        raise _wrong(f"{name}() means something else each time; write the value out")


def _conjuncts(expression: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if expression["type"] == "CONJUNCTION_AND":
        for child in expression["children"]:
            yield from _conjuncts(child)
    else:
        yield expression


def _written(connection: duckdb.DuckDBPyConnection, tree: dict[str, Any], clause: dict[str, Any]) -> str:
    node = {**tree["statements"][0]["node"], "select_list": [clause]}
    one = {**tree, "statements": [{**tree["statements"][0], "node": node}]}
    text = connection.execute("select json_deserialize_sql(?)", [json.dumps(one)]).fetchall()[0][0]
    return str(text).removeprefix("SELECT ").rstrip(";")


def _columns_in(expression: dict[str, Any], own: Mapping[str, str]) -> frozenset[str]:
    """Of `utterances.snr_db`, `accent.label` and `snr_db`: the column, as the table spells it."""
    spelt = {name.lower(): name for name in (*utterances_schema().names, *own)}
    said = {word.lower() for node in _nodes(expression) for word in node.get("column_names", ())[:2]}
    return frozenset(spelt[word] for word in said if word in spelt)


def _wrong(said: str) -> ConfigError:
    return ConfigError(f"--where: {said}")


def own_columns(schemas: Iterator[pa.Schema]) -> dict[str, str]:
    """Columns that the table itself does not have, with DuckDB's names of their types."""
    from lake.sql_types import columns_of

    known = set(utterances_schema().names)
    return {name: kind for schema in schemas for name, kind in columns_of(schema).items() if name not in known}
