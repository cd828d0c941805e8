"""The rows behind `provoice why`: of an utterance or a source, over all runs, and where its consent stands now."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb

from lake.lake import Lake
from lake.runs import list_runs
from provoice.sql import connect, records
from schemas.errors import ConfigError
from schemas.records import RunRecord

Row = dict[str, Any]

_HISTORY = """
select r.*, c.run_number is not null as is_current, u.ledger_position, u.decided_at, u.committed_at
from recordings_all r
left join (select recording_id, run_number from recordings) c using (recording_id, run_number)
left join commits u on u.run_number = r.run_number and u.unit_id = r.unit_id
where {where} order by r.source_root, r.source_path, r.run_number desc
"""
_UTTERANCES = """
select u.*, c.run_number is not null as is_current
from utterances_all u left join (select key, run_number from utterances) c using (key, run_number)
where {where} order by u.run_number desc, u.key
"""
_SIMILAR = """
with planned as (select distinct source_path as path, regexp_extract(source_path, '[^/]*$') as base from plans),
scored as (
    select path, greatest(
        jaro_winkler_similarity(path, $1), jaro_winkler_similarity(base, regexp_extract($1, '[^/]*$'))
    ) as likeness from planned
)
select path from scored where likeness > 0.8 order by likeness desc, path limit 3
"""


@dataclass(frozen=True)
class SourceStory:
    """One source: its rows over the runs, newest first, and the utterances of the newest of them."""

    root: str
    path: str
    rows: Sequence[Row] = ()
    utterances: Sequence[Row] = ()
    waiting_in: Sequence[Row] = ()
    """Where it is planned and not committed yet: run_id and unit_id."""


@dataclass(frozen=True)
class Story:
    """Everything that is told: the utterance that was asked for, if it was one, and its source (or sources)."""

    sources: Sequence[SourceStory]
    utterance: Row | None = None
    standing: Mapping[str, Row] = field(default_factory=dict)
    """Grant to what the ledger says of it now."""


def find(lake: Lake, name: str) -> Story:
    """The rows behind the answer. Raises ConfigError, with what is near, where nothing bears that name."""
    runs = list_runs(lake)
    with connect(lake, "utterances recordings commits") as connection:
        asked = records(connection, _UTTERANCES.format(where="u.key = $1"), [name])
        places = _places(name, runs)
        rows = _history(connection, asked[0]["recording_id"] if asked else name, places)
        sources = [_with_utterances(connection, place, rows) for place in _each_place(rows)]
        if not sources:
            waiting = _waiting(lake, name, places)
            if not waiting:
                raise ConfigError(_unknown(connection, lake, name))
            sources = [
                SourceStory(root, path, waiting_in=[row for row in waiting if _place(row) == (root, path)])
                for root, path in _each_place(waiting)
            ]
    utterance = asked[0] if asked else None
    return Story(sources, utterance, _standing(lake, [*asked, *(row for source in sources for row in source.rows)]))


def _places(name: str, runs: Sequence[RunRecord]) -> list[tuple[str | None, str]]:
    """(root, path) pairs that `name` may mean: a path under any root, or a URI below a root that a run has read."""
    spelt = name.removeprefix("file://")
    uris = {spelt} if "://" in spelt else {spelt, os.path.abspath(os.path.expanduser(spelt))}
    found: dict[tuple[str | None, str], None] = {(None, name): None}
    for run in runs:
        for root, uri in run.roots.items():
            base = uri.removeprefix("file://").rstrip("/") + "/"
            found |= {(root, asked.removeprefix(base)): None for asked in sorted(uris) if asked.startswith(base)}
    return list(found)


def _where(name: str, places: Sequence[tuple[str | None, str]]) -> tuple[str, list[Any]]:
    """A condition on `source_root`, `source_path` and `recording_id`, with its values."""
    terms, values = ["recording_id = ?"], [name]
    for root, path in places:
        terms.append("source_path = ?" if root is None else "(source_path = ? and source_root = ?)")
        values += [path] if root is None else [path, root]
    return " or ".join(terms), values


def _history(connection: duckdb.DuckDBPyConnection, name: str, places: Sequence[tuple[str | None, str]]) -> list[Row]:
    """Rows of every version of the source, in every run."""
    where, values = _where(name, places)
    hits = f"select source_root, source_path from recordings_all where {where}"
    return records(connection, _HISTORY.format(where=f"(source_root, source_path) in ({hits})"), values)


def _with_utterances(connection: duckdb.DuckDBPyConnection, place: tuple[str, str], rows: Sequence[Row]) -> SourceStory:
    mine = [row for row in rows if _place(row) == place]
    told = next((row for row in mine if row["is_current"]), mine[0])
    query = _UTTERANCES.format(where="u.recording_id = $1 and u.run_number = $2")
    return SourceStory(*place, mine, records(connection, query, [told["recording_id"], told["run_number"]]))


def _place(row: Row) -> tuple[str, str]:
    return row["source_root"], row["source_path"]


def _each_place(rows: Sequence[Row]) -> list[tuple[str, str]]:
    return list(dict.fromkeys(map(_place, rows)))


def _waiting(lake: Lake, name: str, places: Sequence[tuple[str | None, str]]) -> list[Row]:
    """Where the source is planned, by the newest run; nothing of it is committed, else it would have rows."""
    where, values = _where(name, places)
    query = (
        f"select source_root, source_path, run_id, unit_id, is_closed from plans join runs using (run_number, run_id) "
        f"where {where} order by run_number desc"
    )
    with connect(lake, "plans runs") as connection:
        return records(connection, query, values)


def _unknown(connection: duckdb.DuckDBPyConnection, lake: Lake, name: str) -> str:
    cut_of = records(connection, "select source_path from recordings_all where recording_id = $1", [name.split("-")[0]])
    if cut_of:
        return f"{lake.root.uri} has no utterance {name}; its recording is {cut_of[0]['source_path']}, ask about that"
    with connect(lake, "plans") as planned:
        near = [row["path"] for row in records(planned, _SIMILAR, [name])]
    said = f"; near it: {', '.join(near)}" if near else ""
    return f"{lake.root.uri} knows no utterance, recording, path or URI {name}{said}"


def _standing(lake: Lake, rows: Sequence[Row]) -> dict[str, Row]:
    """What the ledger says now of the grants that the rows name; the ledger is read only where they name one."""
    grants = sorted({link["grant_id"] for row in rows for link in row["consent"] or () if link["grant_id"]})
    if not grants:
        return {}
    query = "select grant_id, standing, valid_until from grants where list_contains($1, grant_id)"
    with connect(lake, "grants") as connection:
        return {row["grant_id"]: row for row in records(connection, query, [grants])}
