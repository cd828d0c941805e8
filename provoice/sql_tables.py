"""The small tables of a lake's SQL: runs, commits since the snapshot and grants, filled from JSON with stated types."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import duckdb

from schemas.records import Commit, Counts, RunRecord

_ROWS_AT_ONCE = 5_000

Columns = Mapping[str, str]
Rows = Iterable[Mapping[str, Any]]

RUNS: Columns = {
    "run_number": "INTEGER", "run_id": "VARCHAR", "generation": "INTEGER", "recipe_sha256": "VARCHAR",
    "is_explore": "BOOLEAN", "is_closed": "BOOLEAN", "units": "BIGINT", "sources": "BIGINT", "ignored": "BIGINT",
    "estimated_s": "DOUBLE", "created_at": "TIMESTAMPTZ", "roots": "MAP(VARCHAR, VARCHAR)", "report": "VARCHAR",
}  # fmt: skip
COMMITS: Columns = {
    "run_number": "INTEGER", "run_id": "VARCHAR", "unit_id": "VARCHAR", "generation": "INTEGER",
    "sources": "BIGINT", "emitted": "BIGINT", "rejected": "BIGINT", "held": "BIGINT", "erased": "BIGINT",
    "utterances": "BIGINT", "source_bytes": "BIGINT", "source_s": "DOUBLE", "speech_s": "DOUBLE",
    "utterance_s": "DOUBLE", "rejected_by_reason": "MAP(VARCHAR, BIGINT)", "held_by_reason": "MAP(VARCHAR, BIGINT)",
    "utterances_rejected": "MAP(VARCHAR, BIGINT)", "ledger_position": "BIGINT", "decided_at": "TIMESTAMPTZ",
    "committed_at": "TIMESTAMPTZ", "wall_s": "DOUBLE", "cpu_s": "DOUBLE", "seconds": "MAP(VARCHAR, DOUBLE)",
    "peak_memory_bytes": "BIGINT", "host": "VARCHAR", "cpu": "VARCHAR", "attempt": "INTEGER",
    "collected_at": "TIMESTAMPTZ",
}  # fmt: skip


def fill(connection: duckdb.DuckDBPyConnection, name: str, columns: Columns, rows: Rows = ()) -> None:
    """Creates the table `name` with these columns and rows, some thousands of rows at a time."""
    connection.execute(f"create table {name} ({', '.join(f'{c} {kind}' for c, kind in columns.items())})")
    structure = json.dumps([dict(columns)])
    waiting = iter(rows)
    while batch := list(islice(waiting, _ROWS_AT_ONCE)):
        connection.execute(
            f"insert into {name} by name select s.* from (select unnest(from_json(?, ?)) as s)",
            [json.dumps(batch), structure],
        )


def run_rows(runs: Iterable[RunRecord]) -> Iterator[dict[str, Any]]:
    for run in runs:
        yield {**run.model_dump(mode="json", include=set(RUNS)), "run_number": run.number}


def commit_rows(commits: Iterable[tuple[RunRecord, Commit]]) -> Iterator[dict[str, Any]]:
    for run, commit in commits:
        yield _commit_row(run, commit)


def _commit_row(run: RunRecord, commit: Commit) -> dict[str, Any]:
    counts = commit.counts
    return {
        **commit.model_dump(mode="json", include=set(COMMITS)),
        **counts.model_dump(mode="json", include=set(COMMITS) & set(Counts.model_fields)),
        "run_number": run.number,
        "rejected": counts.rejected_total,
        "held": counts.held_total,
        "rejected_by_reason": counts.rejected,
        "held_by_reason": counts.held,
        "cpu_s": round(sum(commit.seconds.values()), 3),
    }
