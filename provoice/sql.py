"""A lake as SQL: DuckDB views over the parts that commits name, over runs and plans, and over the ledger.

Current rows: a recording counts in one run only, the highest-numbered one that emitted, held or finally rejected it
(a retriable rejection supersedes nothing, and an exploring run no other); a new version of the same path supersedes
the old one. The files are listed one by one from the commits: a glob over the folders would see orphans.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa

from lake.lake import Lake
from lake.reader import LakeReader
from provoice import sql_tables as tables
from schemas.errors import ConfigError, LakeError
from schemas.quick_arrow import never_import_pandas_for_a_question
from schemas.tables import PLAN_SCHEMA, RECORDINGS_SCHEMA, utterances_schema
from transforms.consent import ConsentState

VIEWS = {
    "utterances": "current utterances, one row each",
    "utterances_all": "utterances of every run, superseded ones too, with run_number",
    "recordings": "current sources, one row each, whatever became of them",
    "recordings_all": "sources of every run, with run_number",
    "runs": "runs in order, with the size of their plans",
    "plans": "sources of every run's plan, done or not, with run_id and run_number",
    "commits": "committed units: counts, hours, cost, place and time",
    "stage_seconds": "CPU seconds per committed unit and stage",
    "grants": "grants with their rules, and where each stands now",
    "events": "the ledger, event by event",
}
"""Every view, and what it holds."""

_NEEDS = {
    "utterances": ("utterances_all", "recordings"),
    "recordings": ("recordings_all",),
    "recordings_all": ("runs",),
    "utterances_all": ("runs",),
    "stage_seconds": ("commits",),
}

# Ranked over narrow columns, and kept: the wide rows are read only for what is current.
_CURRENT = """
create table provoice.current as select recording_id, run_number from (
    select recording_id, run_number, row_number() over (
        partition by source_root, source_path
        order by (status = 'rejected' and coalesce(retriable, false)), is_explore, run_number desc
    ) as place
    from recordings_all join (select run_number, is_explore from runs) using (run_number)
) where place = 1
"""
_ONLY_CURRENT = "create view {0} as select * from {0}_all semi join provoice.current using (recording_id, run_number)"
_STAGE_SECONDS = """
create view stage_seconds as
select run_number, run_id, unit_id, unnest(map_keys(seconds)) as stage, unnest(map_values(seconds)) as seconds
from commits
"""
_GRANTS = """
create view grants as select *, case when ended is not null then ended when now() >= valid_until then 'expired'
when now() < valid_from then 'not_yet_valid' else 'valid' end as standing from provoice.grants
"""


def connect(lake: Lake, query: str | None = None, *, reader: LakeReader | None = None) -> duckdb.DuckDBPyConnection:
    """A connection with the views of VIEWS as of now, or only those that `query` speaks of.

    It reads within the lake, reaches nothing else, and its settings are locked. Another `reader` than one of the whole
    lake decides which commits count. Raises ConsentError where the ledger is asked for and cannot be read.
    """
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
    if not lake.root.is_local:
        connection.register_filesystem(lake.root.filesystem)
    with explained():
        _create(connection, reader or LakeReader(lake), _asked(query))
    connection.execute(f"set allowed_directories = [{_quoted(lake.root.uri)}]")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    return connection


def select(
    connection: duckdb.DuckDBPyConnection, query: str, values: Sequence[Any] = ()
) -> tuple[list[str], Iterator[list[tuple[Any, ...]]]]:
    """Names of the columns, and the rows of one SELECT in batches. Raises ConfigError for what is no good question.

    Rows come by way of Arrow: DuckDB itself hands out instants only where pytz is installed.
    """
    with explained():
        kinds = [statement.type for statement in connection.extract_statements(query)]
        if kinds != [duckdb.StatementType.SELECT]:
            raise ConfigError("SQL: ask one SELECT (or WITH, FROM, DESCRIBE, SUMMARIZE); nothing can be changed here")
        reader = connection.sql(query, params=list(values) or None).to_arrow_reader(4096)
    return list(reader.schema.names), _batches(reader)


def records(connection: duckdb.DuckDBPyConnection, query: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """All rows of one SELECT, each as name to value."""
    names, batches = select(connection, query, values)
    return [dict(zip(names, row, strict=True)) for batch in batches for row in batch]


def _batches(reader: pa.RecordBatchReader) -> Iterator[list[tuple[Any, ...]]]:
    with explained():
        for batch in reader:
            columns = (column.to_pylist(maps_as_pydicts="lossy") for column in batch.columns)
            yield list(zip(*columns, strict=True))


@contextmanager
def explained() -> Iterator[None]:
    """What DuckDB says, in one line: a question that is wrong is a ConfigError, a file that fails a LakeError."""
    try:
        yield
    except duckdb.IOException as error:
        raise LakeError(_said(error)) from None
    except (duckdb.Error, pa.ArrowException) as error:
        raise ConfigError(f"SQL: {_said(error)}") from None


def _said(error: Exception) -> str:
    # After an empty line DuckDB quotes the query and points into it, which takes several lines.
    return " ".join(str(error).split("\n\nLINE ")[0].split())


def _asked(query: str | None) -> set[str]:
    """The views whose names stand in `query`, and what they are made of; all where none does (`show tables`)."""
    asked = {name for name in VIEWS if query is not None and re.search(rf"\b{name}\b", query, re.IGNORECASE)}
    waiting = list(asked or VIEWS)
    needed: set[str] = set()
    while waiting:
        needed.add(name := waiting.pop())
        waiting += _NEEDS.get(name, ())
    return needed


def _create(connection: duckdb.DuckDBPyConnection, reader: LakeReader, views: set[str]) -> None:
    """Runs before parts, parts before what is current; what nobody asked for is neither listed nor read."""
    # What views are made of lies in a schema of its own, so that `show tables` lists what people ask for.
    connection.execute("create schema provoice")
    if "runs" in views:
        tables.fill(connection, "runs", tables.RUNS, tables.run_rows(reader.runs))
    if "commits" in views:
        tables.fill(connection, "commits", tables.COMMITS, tables.commit_rows(reader))
    if "stage_seconds" in views:
        connection.execute(_STAGE_SECONDS)
    if "plans" in views:
        _plans(connection, reader)
    for kind, schema, run_id in (
        ("recordings", RECORDINGS_SCHEMA, "run_id"),
        ("utterances", utterances_schema(), "lineage.run_id"),
    ):
        if f"{kind}_all" in views:
            _parts(connection, reader, kind, schema, run_id)
        if kind in views:
            if kind == "recordings":
                connection.execute(_CURRENT)
            connection.execute(_ONLY_CURRENT.format(kind))
    if views & {"grants", "events"}:
        _ledger(connection, reader.lake)


def _parts(
    connection: duckdb.DuckDBPyConnection, reader: LakeReader, kind: str, schema: pa.Schema, run_id: str
) -> None:
    """`{kind}_all` over the committed parts and the columns every lake has; `run_id` is where a row says its run."""
    tables.fill(connection, f"provoice.no_{kind}", tables.columns_of(schema))
    recipe_of = {run.run_id: run.recipe_sha256 for run in reader.runs}
    files: dict[str, list[str]] = {}
    for part in reader.parts(kind):
        files.setdefault(recipe_of[part.run_id], []).append(part.uri)
    every = f"select * from provoice.no_{kind}" + "".join(map(_read, files.values()))
    connection.execute(
        f"create view {kind}_all as select p.*, runs.run_number from ({every}) p join runs on runs.run_id = p.{run_id}"
    )


def _plans(connection: duckdb.DuckDBPyConnection, reader: LakeReader) -> None:
    columns = {"run_number": "INTEGER", "run_id": "VARCHAR", **tables.columns_of(PLAN_SCHEMA)}
    tables.fill(connection, "provoice.no_plans", columns)
    parts = ""
    for run in reader.runs:
        names = f"{run.number}::int as run_number, {_quoted(run.run_id)} as run_id, "
        parts += _read([reader.lake.root.uri_of(run.plan.path)], names)
    connection.execute(f"create view plans as select * from provoice.no_plans{parts}")


def _read(uris: Sequence[str], own: str = "") -> str:
    """`union all by name select … from` these files, which have one schema: that of their recipe.

    DuckDB's own `union_by_name` would open every file each time a view is bound, not only those of which it needs rows.
    """
    # hive_partitioning off: `run=…` in the path is for people; the row itself says its run.
    files = ", ".join(map(_quoted, uris))
    return f" union all by name select {own}* from read_parquet([{files}], hive_partitioning=false)"


def _ledger(connection: duckdb.DuckDBPyConnection, lake: Lake) -> None:
    state = ConsentState()
    tables.fill(connection, "events", tables.EVENTS, tables.event_rows(lake, state))
    tables.fill(connection, "provoice.grants", tables.GRANTS, tables.grant_rows(state))
    connection.execute(_GRANTS)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
