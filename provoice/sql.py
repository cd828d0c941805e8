"""A lake as SQL: DuckDB views over the parts that commits name, and over the ledger.

Current rows: a recording counts in one run only, the highest-numbered one that emitted, held or finally rejected it
(a retriable rejection supersedes nothing, and an exploring run supersedes no other); a new version of the same path
supersedes the old one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb
import pyarrow as pa

from lake.lake import Lake
from lake.reader import LakeReader
from schemas.tables import RECORDINGS_SCHEMA, utterances_schema
from transforms.consent import fold

VIEWS = {
    "utterances": "current utterances, one row each",
    "utterances_all": "utterances of every run, superseded ones too, with run_number",
    "recordings": "current sources, one row each, whatever became of them",
    "recordings_all": "sources of every run, with run_number",
    "runs": "runs in order, with their plans' sizes",
    "commits": "committed units: counts, hours, cost, place and time",
    "stage_seconds": "CPU seconds per committed unit and stage",
    "grants": "grants with their standing at the ledger's head",
    "events": "the ledger, event by event",
}

_CURRENT = """
create view recordings as
select * exclude (_rank) from (
    select r.*, row_number() over (
        partition by r.source_root, r.source_path
        order by (r.status = 'rejected' and r.retriable), runs.is_explore, r.run_number desc
    ) as _rank
    from recordings_all r join runs on runs.number = r.run_number
) where _rank = 1
"""

_CURRENT_UTTERANCES = """
create view utterances as
select u.* exclude (run_number) from utterances_all u
semi join (select recording_id, run_number from recordings where status = 'emitted') r
on u.recording_id = r.recording_id and u.run_number = r.run_number
"""


def connect(lake: Lake) -> duckdb.DuckDBPyConnection:
    """A connection with the views of VIEWS, as of now. It can read what the lake has committed, and nothing else."""
    reader = LakeReader(lake)
    connection = duckdb.connect(":memory:")
    if not lake.root.is_local:
        connection.register_filesystem(lake.root.filesystem)
    _parts(connection, reader, "utterances", utterances_schema())
    _parts(connection, reader, "recordings", RECORDINGS_SCHEMA)
    connection.register("runs", _runs(reader))
    connection.register("commits", _commits(reader))
    connection.register("stage_seconds", _stage_seconds(reader))
    connection.register("grants", _grants(lake))
    connection.register("events", _events(lake))
    connection.execute(_CURRENT)
    connection.execute(_CURRENT_UTTERANCES)
    return connection


def _parts(connection: duckdb.DuckDBPyConnection, reader: LakeReader, kind: str, schema: pa.Schema) -> None:
    """`{kind}_all` over the committed part files, united by name; typed and empty where there are none."""
    parts = list(reader.parts(kind))
    connection.register(f"_no_{kind}", schema.empty_table())
    if not parts:
        connection.execute(f"create view {kind}_all as select *, 0::int as run_number from _no_{kind}")
        return
    numbers = pa.table({"filename": [part.uri for part in parts], "run_number": [part.run_number for part in parts]})
    connection.register(f"_files_{kind}", numbers)
    files = ", ".join("'" + part.uri.replace("'", "''") + "'" for part in parts)
    # hive_partitioning off: `run=…` in the path is for people; the row itself says its run.
    connection.execute(
        f"create view {kind}_all as select p.* exclude (filename), f.run_number::int as run_number "
        f"from (select * from read_parquet([{files}], union_by_name=true, filename=true, hive_partitioning=false)) p "
        f"join _files_{kind} f on f.filename = p.filename"
    )


def _runs(reader: LakeReader) -> pa.Table:
    fields = ("number", "run_id", "recipe_sha256", "is_explore", "units", "sources", "ignored", "estimated_s", "is_closed", "created_at")
    values = {name: [getattr(run, name) for run in reader.runs] for name in fields}
    types = {"number": pa.int32(), "is_explore": pa.bool_(), "is_closed": pa.bool_(), "estimated_s": pa.float64()}
    text = ("run_id", "recipe_sha256")
    schema = pa.schema(
        [(n, types.get(n, pa.string() if n in text else _TIME if n == "created_at" else pa.int64())) for n in fields]
    )
    return pa.table(values, schema=schema)


_TIME = pa.timestamp("us", tz="UTC")
_COUNTED = ("sources", "emitted", "rejected_total", "held_total", "utterances", "source_bytes")
_HOURS = ("source_s", "speech_s", "utterance_s")


def _commits(reader: LakeReader) -> pa.Table:
    commits = [commit for _, commit in reader.commits]
    columns: dict[str, tuple[list[Any], pa.DataType]] = {
        "run_id": ([c.run_id for c in commits], pa.string()),
        "unit_id": ([c.unit_id for c in commits], pa.string()),
        "generation": ([c.generation for c in commits], pa.int32()),
        **{n.removesuffix("_total"): ([getattr(c.counts, n) for c in commits], pa.int64()) for n in _COUNTED},
        **{n: ([getattr(c.counts, n) for c in commits], pa.float64()) for n in _HOURS},
        "ledger_position": ([c.ledger_position for c in commits], pa.int64()),
        "committed_at": ([c.committed_at for c in commits], _TIME),
        "wall_s": ([c.wall_s for c in commits], pa.float64()),
        "cpu_s": ([round(sum(c.seconds.values()), 3) for c in commits], pa.float64()),
        "peak_memory_bytes": ([c.peak_memory_bytes for c in commits], pa.int64()),
        "host": ([c.host for c in commits], pa.string()),
        "cpu": ([c.cpu for c in commits], pa.string()),
        "attempt": ([c.attempt for c in commits], pa.int32()),
    }
    return pa.table({name: pa.array(values, kind) for name, (values, kind) in columns.items()})


def _stage_seconds(reader: LakeReader) -> pa.Table:
    rows = [(c.run_id, c.unit_id, stage, spent) for _, c in reader.commits for stage, spent in c.seconds.items()]
    run_ids, units, stages, seconds = zip(*rows, strict=True) if rows else ((), (), (), ())
    schema = pa.schema([("run_id", pa.string()), ("unit_id", pa.string()), ("stage", pa.string()), ("seconds", pa.float64())])
    return pa.table([list(run_ids), list(units), list(stages), list(seconds)], schema=schema)


def _grants(lake: Lake) -> pa.Table:
    held = list(fold(lake.ledger().events()).grants.values())
    columns = {
        "grant_id": [h.grant.grant_id for h in held],
        "subject_id": [h.grant.subject_id for h in held],
        "jurisdiction": [h.grant.jurisdiction for h in held],
        "ended": [h.ended.value if h.ended else None for h in held],
        "actions": [sorted({str(a) for r in h.grant.rules if r.effect == "permit" for a in r.action}) for h in held],
        "prohibited": [sorted({str(a) for r in h.grant.rules if r.effect != "permit" for a in r.action}) for h in held],
    }
    texts = pa.list_(pa.string())
    table = {n: pa.array(v, texts if n in ("actions", "prohibited") else pa.string()) for n, v in columns.items()}
    table["valid_from"] = pa.array([h.grant.valid_from for h in held], _TIME)
    table["valid_until"] = pa.array([h.grant.valid_until for h in held], _TIME)
    return pa.table(table)


def _events(lake: Lake) -> pa.Table:
    events = list(lake.ledger().events())
    columns: dict[str, Sequence[Any]] = {
        name: [getattr(event, name) for _, event in events]
        for name in ("event_id", "subject_id", "grant_id", "source_root", "source_path", "note")
    }
    table = {name: pa.array(values, pa.string()) for name, values in columns.items()}
    table["position"] = pa.array([position for position, _ in events], pa.int64())
    table["type"] = pa.array([event.type.value for _, event in events], pa.string())
    table["recorded_at"] = pa.array([event.recorded_at for _, event in events], _TIME)
    return pa.table(table)


