"""Parquet files of a lake within DuckDB: a connection that reaches them, and the words that name them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lake.ranged import RangedFileSystem
from lake.storage import Root
from schemas.errors import LakeError
from schemas.quick_arrow import never_import_pandas_for_a_question

if TYPE_CHECKING:
    import duckdb

_READ_AHEAD = 256 << 10
"""Bytes that are fetched at least. The stores' clients would read 5 to 50 MB with every footer."""


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def files(uris: Iterable[str]) -> str:
    """`read_parquet(…)` of these files, whose columns are those of the first.

    DuckDB's own `union_by_name` would open every file each time a view is bound, not only those of which it needs rows;
    so files of one schema are named together, and what differs is united by name in SQL.
    """
    # hive_partitioning off: `run=…` in the path is for people; the row itself says its run.
    return f"read_parquet([{', '.join(map(quoted, uris))}], hive_partitioning=false)"


def open_duckdb(root: Root, memory_limit: str | None = None) -> duckdb.DuckDBPyConnection:
    """A connection in UTC that reads what lies below `root`; it spills to a folder of the process's own."""
    import duckdb

    never_import_pandas_for_a_question()
    connection = duckdb.connect(
        config={
            # Else a table name that we do not have would be looked up among the variables of our own functions.
            "python_enable_replacements": "false",
            "autoinstall_known_extensions": "false",
            "parquet_metadata_cache": "true",
            "temp_directory": os.path.join(tempfile.gettempdir(), f"provoice-sql-{os.getpid()}"),
        }
    )
    connection.execute("set TimeZone = 'UTC'")
    connection.execute("set enable_progress_bar = false")
    if memory_limit is not None:
        connection.execute(f"set memory_limit = {quoted(memory_limit)}")
    if not root.is_local:
        connection.register_filesystem(RangedFileSystem(root.filesystem, _READ_AHEAD))
    return connection


@contextmanager
def reading() -> Iterator[None]:
    """Whatever DuckDB says while it reads what we wrote is the lake's fault: a LakeError of one line."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise LakeError(" ".join(str(error).split("\n\nLINE ")[0].split())) from None
