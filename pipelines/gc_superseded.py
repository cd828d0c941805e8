"""Units of which nothing counts any more, for newer runs made all of it again.

Such a unit gets another generation of its commit, which names no object and keeps the account; from then on its objects
are orphans. It is created exclusively, so whoever erases at the same moment has either come first, and then nothing is
collected, or finds this generation.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from lake import currency
from lake.commits import create_commit, read_commit
from lake.lake import Lake
from lake.parquet_sql import files
from lake.reader import LakeReader
from pipelines.gc_names import UNIT_OBJECT
from schemas.records import Commit, Counts, RunRecord

if TYPE_CHECKING:
    import duckdb

_AT_ONCE = 16
_CHUNK = 1_000

Unit = tuple[str, str]
"""Run and unit."""

_ROWS = (
    "recording_id, run_id, unit_id, md5_number(source_root || chr(0) || source_path) as source, "
    "status = 'rejected' and coalesce(retriable, false) as is_retriable"
)
_NO_ROWS = """
select '' as run_id, '' as unit_id, md5_number('') as source, false as is_current, false as is_retriable where false
"""
# What supersedes: a current row, but not one that explores, that is to be tried again, or that is so new that a release
# may be in the making which was chosen before it came.
_STRONG = """
create table strong as select distinct source from (
    select run_id, unit_id, source from ranked_rows where is_current and not is_retriable
) anti join (
    select run_id, unit_id from commits where committed_at >= $1
    union all select c.run_id, c.unit_id from commits c join runs r using (run_id) where r.is_explore
) using (run_id, unit_id)
"""
_COLLECTED = """
create table superseded as
with whole as (
    select run_id, unit_id, bool_or(is_current) as has_current, bool_and(s.source is not null) as is_replaced
    from ranked_rows left join strong s using (source) group by run_id, unit_id
)
select run_id, unit_id, is_replaced, coalesce(is_released, false) as is_released
from whole semi join (select run_id, unit_id from commits where len(objects) > 0) using (run_id, unit_id)
left join ({released}) using (run_id, unit_id)
where not has_current
"""
_RELEASED = f"""
select distinct regexp_extract(path, '{UNIT_OBJECT}', 1) as run_id, regexp_extract(path, '{UNIT_OBJECT}', 2) as unit_id,
    true as is_released from released
"""


def find(connection: duckdb.DuckDBPyConnection, reader: LakeReader, cutoff: datetime) -> None:
    """Makes the table `superseded`: units without a current row, and of each whether all of it is replaced for good
    (`is_replaced`), and whether a release names it (`is_released`). Needs the tables of `gc_survey.load`."""
    current = reader.uris(reader.merged("recordings")) + [part.uri for part in reader.parts("recordings")]
    others = reader.uris(reader.merged("recordings_superseded"))
    stale = reader.stale_sql() or f"select recording_id, run_id from ({currency.rows_of([])})"
    connection.execute(f"create table stale as {stale}")
    rows = [_NO_ROWS]
    if current:
        rows.append(
            f"select r.run_id, r.unit_id, r.source, s.run_id is null, r.is_retriable "
            f"from (select {_ROWS} from {files(current)}) r left join stale s using (recording_id, run_id)"
        )
    if others:
        rows.append(f"select run_id, unit_id, source, false, is_retriable from (select {_ROWS} from {files(others)})")
    connection.execute(f"create table ranked_rows as {' union all '.join(rows)}")
    connection.execute(_STRONG, [cutoff])
    connection.execute(_COLLECTED.format(released=_RELEASED))
    connection.execute("drop table ranked_rows; drop table strong; drop table stale")


def collect(lake: Lake, units: Iterable[Unit], at: datetime) -> Iterator[Unit]:
    """Gives each unit its generation without objects; yields those that have it now. Several at a time, for latency."""
    with ThreadPoolExecutor(_AT_ONCE, "collect") as pool:
        waiting = iter(units)
        while chunk := list(islice(waiting, _CHUNK)):
            done = pool.map(lambda unit: _collect(lake, unit, at), chunk)
            yield from (unit for unit, is_collected in zip(chunk, done, strict=True) if is_collected)


def _collect(lake: Lake, unit: Unit, at: datetime) -> bool:
    commit = read_commit(lake, *unit)
    if commit is None or not commit.objects:
        return commit is not None and commit.collected_at is not None
    values = {
        "generation": commit.generation + 1, "objects": (), "collected_at": at, "writer": secrets.token_hex(16),
    }  # fmt: skip
    mine = commit.model_copy(update=values)
    return create_commit(lake, mine).collected_at is not None


def seal(lake: Lake, run: RunRecord, unit_id: str, at: datetime) -> bool:
    """Commits a unit of a closed run without objects and without an account, so that nobody can commit it any more;
    False where a worker came first."""
    commit = Commit(
        run_id=run.run_id, unit_id=unit_id, collected_at=at, writer=secrets.token_hex(16),
        recipe_sha256=run.recipe_sha256, objects=(), counts=Counts(), ledger_position=0, decided_at=at,
        committed_at=datetime.now(UTC),
    )  # fmt: skip
    holder = create_commit(lake, commit)
    return holder.collected_at is not None
