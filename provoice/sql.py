"""A lake as SQL: DuckDB views over the newest snapshot and the parts that commits name since, over runs and plans, and
over the ledger.

Current rows are those of `lake.currency`. The files are listed one by one: a glob over the folders would see orphans.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa

from lake.lake import Lake
from lake.parquet_sql import files, open_duckdb, quoted
from lake.reader import LakeReader
from lake.sql_types import columns_of
from provoice import sql_accents, sql_ledger, sql_releases, sql_uses
from provoice import sql_tables as tables
from schemas.errors import ConfigError, LakeError
from schemas.snapshots import CURRENT
from schemas.tables import PLAN_SCHEMA, RECORDINGS_SCHEMA, utterances_schema

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
    **sql_releases.VIEWS,
    **sql_uses.VIEWS,
    **sql_accents.VIEWS,
}
"""Every view, and what it holds."""

_NEEDS = {"stage_seconds": ("commits",), **sql_releases.NEEDS, **sql_uses.NEEDS, **sql_accents.NEEDS}
_RUN_ID = {"utterances": "lineage.run_id", "recordings": "run_id"}
"""Where a row says its run."""

_STAGE_SECONDS = """
create view stage_seconds as
select run_number, run_id, unit_id, unnest(map_keys(seconds)) as stage, unnest(map_values(seconds)) as seconds
from commits
"""


def connect(lake: Lake, query: str | None = None, *, reader: LakeReader | None = None) -> duckdb.DuckDBPyConnection:
    """A connection with the views of VIEWS as of now, or only those that `query` speaks of.

    It reads within the lake, reaches nothing else, and its settings are locked. Another `reader` than one of the whole
    lake decides which commits count. Raises ConsentError where the ledger is asked for and cannot be read.
    """
    connection = open_duckdb(lake.root)
    with explained():
        _create(connection, reader or LakeReader(lake), _asked(query))
    connection.execute(f"set allowed_directories = [{quoted(lake.root.uri)}]")
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
    """Each view that is asked for; of what nobody asked for nothing is listed or read."""
    # What views are made of lies in a schema of its own, so that `show tables` lists what people ask for.
    connection.execute("create schema provoice")
    if "runs" in views:
        tables.fill(connection, "runs", tables.RUNS, tables.run_rows(reader.runs))
    if "commits" in views:
        _commits(connection, reader)
    if "stage_seconds" in views:
        connection.execute(_STAGE_SECONDS)
    if "plans" in views:
        _plans(connection, reader)
    if views & set(CURRENT):
        _stale(connection, reader)
    for kind, schema in (("recordings", RECORDINGS_SCHEMA), ("utterances", utterances_schema())):
        if views & {kind, f"{kind}_all"}:
            tables.fill(connection, f"provoice.no_{kind}", columns_of(schema))
        if f"{kind}_all" in views:
            connection.execute(f"create view {kind}_all as {_rows(reader, kind, [kind, CURRENT[kind]])}")
        if kind in views:
            current = f"anti join provoice.stale s on s.recording_id = p.recording_id and s.run_id = p.{_RUN_ID[kind]}"
            is_any = reader.stale_sql() is not None
            connection.execute(f"create view {kind} as {_rows(reader, kind, [kind])} {current if is_any else ''}")
    if views & {"grants", "events"}:
        sql_ledger.create(connection, reader.lake.ledger(), views)
    sql_releases.create(connection, reader, views)
    sql_uses.create(connection, reader, views, datetime.now(UTC))
    sql_accents.create(connection, views)


def _commits(connection: duckdb.DuckDBPyConnection, reader: LakeReader) -> None:
    """Folded commits are read from the snapshot, the others from their files."""
    if reader.snapshot is None:
        tables.fill(connection, "commits", tables.COMMITS, tables.commit_rows(reader.tail))
        return
    tables.fill(connection, "provoice.tail", tables.COMMITS, tables.commit_rows(reader.tail))
    names, folded = ", ".join(tables.COMMITS), files(reader.uris([reader.snapshot.commits]))
    # By name: a snapshot of an earlier version has fewer columns.
    every = f"select * from provoice.tail union all by name select * from {folded}"
    connection.execute(f"create view commits as select {names} from ({every})")


def _stale(connection: duckdb.DuckDBPyConnection, reader: LakeReader) -> None:
    """Ranked over narrow columns, and kept: the wide rows are read only for what is current."""
    if query := reader.stale_sql():
        connection.execute(f"create table provoice.stale as {query}")


def _rows(reader: LakeReader, kind: str, merged: Sequence[str]) -> str:
    """All rows of the snapshot's files of these kinds and of the parts since, with the columns that every lake has."""
    groups: dict[object, list[str]] = {}
    for file in (file for name in merged for file in reader.merged(name)):
        # Files of one schema are read together, and so are parts of one recipe, which have one schema.
        groups.setdefault((file.schema_version, *sorted(file.own.items())), []).extend(reader.uris([file]))
    recipe_of = {run.run_id: run.recipe_sha256 for run in reader.runs}
    for part in reader.parts(kind):
        groups.setdefault(recipe_of[part.run_id], []).append(part.uri)
    every = f"select * from provoice.no_{kind}" + "".join(map(_read, groups.values()))
    return f"select p.*, {_run_number(reader, f'p.{_RUN_ID[kind]}')} as run_number from ({every}) p"


def _run_number(reader: LakeReader, run_id: str) -> str:
    """Looked up and not joined: a question that does not ask for it reads no column for its sake."""
    ids, numbers = [quoted(run.run_id) for run in reader.runs], [str(run.number) for run in reader.runs]
    return f"map([{', '.join(ids)}]::varchar[], [{', '.join(numbers)}]::integer[])[{run_id}]"


def _plans(connection: duckdb.DuckDBPyConnection, reader: LakeReader) -> None:
    columns = {"run_number": "INTEGER", "run_id": "VARCHAR", **columns_of(PLAN_SCHEMA)}
    tables.fill(connection, "provoice.no_plans", columns)
    parts = ""
    for run in reader.runs:
        names = f"{run.number}::int as run_number, {quoted(run.run_id)} as run_id, "
        parts += _read([reader.lake.root.uri_of(run.plan.path)], names)
    connection.execute(f"create view plans as select * from provoice.no_plans{parts}")


def _read(uris: Sequence[str], own: str = "") -> str:
    return f" union all by name select {own}* from {files(uris)}"
