"""The rows behind `provoice why`: of an utterance or a source, over all runs, and where its consent stands now."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

import duckdb

from lake.commits import read_commit
from lake.lake import Lake
from lake.reader import LakeReader
from provoice.sql import connect, records
from schemas.errors import ConfigError
from schemas.records import Commit, RunRecord

Row = dict[str, Any]

_KEY = re.compile(r"([0-9a-f]{32})-c[0-9]+-.*")
# Plans say in which units a source is, so that only these units' parts are opened, and not a million.
_PLANNED = """
select source_root, source_path, run_id, unit_id, is_closed from plans join runs using (run_number, run_id)
where (source_root, source_path) in (select source_root, source_path from plans where {where}) order by run_number desc
"""
_ROWS = """
select r.*, c.run_number is not null as is_current, u.ledger_position, u.decided_at, u.committed_at
from recordings_all r left join commits u using (run_number, unit_id)
left join (select recording_id, run_number from recordings) c using (recording_id, run_number)
where source_root = $1 and source_path = $2 order by run_number desc
"""
_UTTERANCES = "select * from utterances_all where recording_id = $1 and run_number = $2 order by key"
_UTTERANCE = """
select u.*, c.run_number is not null as is_current
from utterances_all u left join (select recording_id, run_number from recordings) c using (recording_id, run_number)
where key = $1 order by run_number desc
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
    collected_in: Sequence[Row] = ()
    """Of which runs `provoice gc` removed its rows and bytes, for newer ones replaced them: run_id, unit_id and
    collected_at."""


@dataclass(frozen=True)
class Story:
    """Everything that is told: the utterance that was asked for, if it was one, and its source (or sources)."""

    sources: Sequence[SourceStory]
    utterance: Row | None = None
    standing: Mapping[str, Row] = field(default_factory=dict)
    """Grant to what the ledger says of it now."""


class _OfUnits(LakeReader):
    """Reads the commits of some units only, by their names and from their own parts, merged or not. Of a source, that
    is enough to tell what is current: all that any run has made of it lies in the units that its plans name."""

    def __init__(self, whole: LakeReader, planned: Sequence[Row]) -> None:
        super().__init__(whole.lake)
        self.snapshot = None
        self.runs = whole.runs
        self._units = sorted({(row["run_id"], row["unit_id"]) for row in planned})

    @cached_property
    def tail(self) -> list[tuple[RunRecord, Commit]]:
        run_of = {run.run_id: run for run in self.runs}
        found = ((run_of[run_id], read_commit(self.lake, run_id, unit_id)) for run_id, unit_id in self._units)
        pairs = [(run, commit) for run, commit in found if commit is not None]
        return sorted(pairs, key=lambda pair: (pair[0].number, pair[1].unit_id))

    @property
    def collected(self) -> dict[tuple[str, str], datetime]:
        """Run and unit to when gc collected it; sealed units of closed runs never had anything."""
        at = {(run.run_id, commit.unit_id): commit.collected_at for run, commit in self.tail if commit.counts.sources}
        return {unit: when for unit, when in at.items() if when is not None}


def find(lake: Lake, name: str) -> Story:
    """The rows behind the answer. Raises ConfigError, with what is near, where nothing bears that name."""
    whole = LakeReader(lake)
    key = _KEY.fullmatch(name)
    planned = _planned(whole, name, *_where(key[1] if key else name, _places(name, whole.runs)))
    reader = _OfUnits(whole, planned)
    with connect(lake, "utterances_all recordings recordings_all commits", reader=reader) as connection:
        sources = [_story(connection, place, planned, reader.collected) for place in _each_place(planned)]
        utterance = next(iter(records(connection, _UTTERANCE, [name])), None) if key else None
    if key and utterance is None:
        raise ConfigError(f"{lake.root.uri} has no utterance {name}{_gone(sources[0])}")
    return Story(sources, utterance, _standing(reader, [row for source in sources for row in source.rows]))


def _planned(reader: LakeReader, name: str, where: str, values: Sequence[str]) -> list[Row]:
    """Units in which the source is planned, newest run first. Raises ConfigError where there is none."""
    with connect(reader.lake, "plans runs", reader=reader) as connection:
        found = records(connection, _PLANNED.format(where=where), values)
        near = [] if found else [row["path"] for row in records(connection, _SIMILAR, [name])]
    if not found:
        said = f"; near it: {', '.join(near)}" if near else ""
        raise ConfigError(f"{reader.lake.root.uri} knows no utterance, recording, path or URI {name}{said}")
    return found


def _story(
    connection: duckdb.DuckDBPyConnection,
    place: tuple[str, str],
    planned: Sequence[Row],
    collected: Mapping[tuple[str, str], datetime],
) -> SourceStory:
    """The source's rows, and the utterances of the row that is told: the current one, else the newest."""
    rows = records(connection, _ROWS, place)
    units = [row for row in planned if _place(row) == place]
    gone = [
        {
            "run_id": unit["run_id"],
            "unit_id": unit["unit_id"],
            "collected_at": collected[unit["run_id"], unit["unit_id"]],
        }
        for unit in units
        if (unit["run_id"], unit["unit_id"]) in collected
    ]
    if not rows:
        names = {unit["run_id"] for unit in gone}
        return SourceStory(*place, waiting_in=[u for u in units if u["run_id"] not in names], collected_in=gone)
    told = next((row for row in rows if row["is_current"]), rows[0])
    utterances = records(connection, _UTTERANCES, [told["recording_id"], told["run_number"]])
    return SourceStory(*place, rows, utterances, collected_in=gone)


def _gone(source: SourceStory) -> str:
    """Why an utterance of the source may not be there, and what to ask instead."""
    said = f"its recording is {source.path}, ask about that"
    if not source.collected_in:
        return f"; {said}"
    last = source.collected_in[0]
    return (
        f"; what run {last['run_id']} made of its recording was replaced by a newer run, and removed by `provoice gc` "
        f"on {last['collected_at']:%Y-%m-%d}; {said}"
    )


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


def _where(name: str, places: Sequence[tuple[str | None, str]]) -> tuple[str, list[str]]:
    """A condition on `source_root`, `source_path` and `recording_id`, with its values."""
    terms, values = ["recording_id = ?"], [name]
    for root, path in places:
        terms.append("source_path = ?" if root is None else "(source_path = ? and source_root = ?)")
        values += [path] if root is None else [path, root]
    return " or ".join(terms), values


def _place(row: Row) -> tuple[str, str]:
    return row["source_root"], row["source_path"]


def _each_place(rows: Sequence[Row]) -> list[tuple[str, str]]:
    return list(dict.fromkeys(map(_place, rows)))


def _standing(reader: LakeReader, rows: Sequence[Row]) -> dict[str, Row]:
    """What the ledger says now of the grants that the rows name; the ledger is read only where they name one."""
    grants = sorted({link["grant_id"] for row in rows for link in row["consent"] or () if link["grant_id"]})
    if not grants:
        return {}
    query = "select grant_id, standing, valid_until from grants where list_contains($1, grant_id)"
    with connect(reader.lake, "grants", reader=reader) as connection:
        return {row["grant_id"]: row for row in records(connection, query, [grants])}
