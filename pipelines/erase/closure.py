"""What was made from some people's voices: every recording in which one of them is heard, in every run, whatever
became of it.

A recording is theirs when a plan's catalogue row, a row of `recordings` or a row of `utterances` names one of them, in
any run; and when it was made from such a recording. In a run that knew of them, only what carries their names goes; in
one that did not (another catalogue row), nobody can tell where they speak, so all of it goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lake.lake import Lake
from lake.parquet_sql import files, open_duckdb, quoted, reading
from lake.reader import LakeReader
from schemas.records import RunRecord
from schemas.snapshots import CURRENT

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_MEMORY = "1GB"

COLUMNS = (
    "run_id", "unit_id", "recording_id", "people", "is_whole", "is_planned", "is_committed", "with_others",
    "source_root", "source_path", "source_version", "source_sha256",
)  # fmt: skip
_ASKED = "getvariable('asked')"
_PLANNED = """
select {run} as run_id, unit_id, recording_id, source_root, source_path, source_version,
    coalesce(json_extract_string(catalogue_row, '$.subjects[*].subject_id'), []) as names,
    coalesce(json_extract_string(catalogue_row, '$.complete') = 'true', false) as is_complete
from {files} where recording_id is not null
"""
_COMMITTED = """
select run_id, unit_id, recording_id, source_root, source_path, source_version, source_sha256,
    list_transform(coalesce(consent, []), lambda c: c.subject_id) as names
from {files}
"""
_SPOKEN = """
select lineage.run_id as run_id, recording_id, key, coalesce(duration_s, 0) as duration_s,
    list_transform(coalesce(consent, []), lambda c: c.subject_id) as names, lineage.parents as parents
from {files}
"""
_LINKED = f"""
create table linked as
select distinct recording_id, subject_id from (
    select recording_id, unnest(names) as subject_id from planned
    union all select recording_id, unnest(names) as subject_id from committed
    union all select recording_id, unnest(names) as subject_id from spoken
) where subject_id in (select unnest({_ASKED}))
"""
_DERIVED = """
select distinct s.recording_id, l.subject_id
from (select recording_id, unnest(parents) as parent from spoken where len(parents) > 1 or parents[1] <> recording_id) s
join linked l on l.recording_id = s.parent
anti join linked k on k.recording_id = s.recording_id and k.subject_id = l.subject_id
"""
_TOUCHED = f"""
create table touched as
with p as (from planned semi join linked using (recording_id)),
c as (from committed semi join linked using (recording_id)),
whose as (select recording_id, list_sort(list(distinct subject_id)) as people from linked group by all),
both_of as (
    select coalesce(p.run_id, c.run_id) as run_id, coalesce(p.unit_id, c.unit_id) as unit_id,
        coalesce(p.recording_id, c.recording_id) as recording_id, p.run_id is not null as is_planned,
        c.run_id is not null as is_committed, list_concat(coalesce(p.names, []), coalesce(c.names, [])) as names,
        coalesce(c.names, []) as committed_names, coalesce(p.is_complete, false) as is_complete,
        coalesce(c.source_root, p.source_root) as source_root, coalesce(c.source_path, p.source_path) as source_path,
        coalesce(c.source_version, p.source_version) as source_version, c.source_sha256
    from p full join c on p.run_id = c.run_id and p.unit_id = c.unit_id and p.recording_id = c.recording_id
)
select run_id, unit_id, recording_id, people,
    coalesce(k.is_whole, not list_has_all(names, people)) as is_whole, is_planned, is_committed,
    not is_complete or not list_has_all({_ASKED}, names) as with_others,
    source_root, source_path, source_version, source_sha256
from both_of join whose using (recording_id) left join known k using (run_id, recording_id)
where is_planned or coalesce(k.is_whole, not list_has_all(names, people)) or list_has_any(committed_names, people)
    or not is_committed
"""
_GONE = f"""
select count(*), coalesce(sum(duration_s), 0.0), count(distinct recording_id),
    len(list_filter(list_distinct(flatten(list(names))), lambda n: not list_contains({_ASKED}, n)))
from spoken s join touched t using (run_id, recording_id)
where t.is_whole or list_has_any(s.names, {_ASKED})
"""
_STAYS = f"""
select count(*), count(distinct recording_id) from spoken s join touched t using (run_id, recording_id)
where not (t.is_whole or list_has_any(s.names, {_ASKED}))
"""


@dataclass(frozen=True)
class Closure:
    """Recordings of some people, one row per run and unit (COLUMNS), and what of them is in tars."""

    subjects: tuple[str, ...]
    touched: pa.Table
    utterances: int = 0
    audio_s: float = 0.0
    others: int = 0
    """Other people of whom something goes, for they cannot be told apart from those who are erased."""
    kept: int = 0
    """Utterances of other people that stay, of recordings in which one of those who are erased is heard, too."""
    kept_recordings: int = 0

    def __bool__(self) -> bool:
        return bool(self.touched.num_rows)

    def units(self, *, committed: bool) -> list[tuple[str, str]]:
        """Run and unit of each unit that is committed with one of the recordings; or is planned with one, and not
        committed with it."""
        import pyarrow.compute as pc

        mask = self.touched["is_committed"] if committed else pc.invert(self.touched["is_committed"])
        rows = self.touched.filter(mask).select(["run_id", "unit_id"]).to_pylist()
        return sorted({(row["run_id"], row["unit_id"]) for row in rows})

    def recordings(self) -> set[str]:
        return set(self.touched["recording_id"].to_pylist())


def find(lake: Lake, subjects: Sequence[str], known: pa.Table | None = None) -> Closure:
    """Looks through all plans, and all rows of all runs, current or not. `known` is what earlier looks found to be
    theirs (`Closure.touched`): what says so may be erased by now."""
    reader = LakeReader(lake)
    with reading(), open_duckdb(lake.root, _MEMORY) as connection:
        _load(connection, reader, subjects)
        connection.execute(_LINKED)
        _add(connection, known)
        while found := connection.execute(_DERIVED).fetchall():
            connection.executemany("insert into linked values (?, ?)", found)
        connection.execute(_TOUCHED)
        order = "order by run_id, unit_id, recording_id"
        touched = connection.sql(f"select {', '.join(COLUMNS)} from touched {order}").to_arrow_table()
        if not touched.num_rows:
            return Closure(tuple(subjects), touched)
        utterances, audio_s, _, others = connection.execute(_GONE).fetchall()[0]
        kept, kept_recordings = connection.execute(_STAYS).fetchall()[0]
    return Closure(tuple(subjects), touched, utterances, round(audio_s, 6), others or 0, kept, kept_recordings)


def still_there(lake: Lake, touched: pa.Table) -> int:
    """Recordings that are not gone, for others are heard in them, too."""
    names = set(touched["recording_id"].to_pylist())
    reader = LakeReader(lake)
    with reading(), open_duckdb(lake.root, _MEMORY) as connection:
        parts = [f"select distinct recording_id from {name}" for name in _parts(reader, "recordings")]
        rows = connection.execute(" union ".join(parts)).fetchall() if parts and names else []
    return len({name for (name,) in rows} & names)


def _load(connection: duckdb.DuckDBPyConnection, reader: LakeReader, subjects: Sequence[str]) -> None:
    connection.execute("set variable asked = ?::varchar[]", [list(subjects)])
    plans = [_PLANNED.format(run=quoted(run.run_id), files=_plan_of(reader, run)) for run in reader.runs]
    empty = _PLANNED.format(run="''", files=_NO_PLAN)
    connection.execute(f"create view planned as {' union all '.join([empty, *plans])}")
    committed = [_COMMITTED.format(files=name) for name in _parts(reader, "recordings")]
    connection.execute(f"create view committed as {' union all '.join([_NO_RECORDINGS, *committed])}")
    spoken = [_SPOKEN.format(files=name) for name in _parts(reader, "utterances")]
    connection.execute(f"create view spoken as {' union all '.join([_NO_UTTERANCES, *spoken])}")


_NO_PLAN = """(select '' as unit_id, null::varchar as recording_id, '' as source_root, '' as source_path,
    '' as source_version, '{}'::varchar as catalogue_row)"""
_NO_RECORDINGS = """select '' as run_id, '' as unit_id, '' as recording_id, '' as source_root, '' as source_path,
    '' as source_version, '' as source_sha256, []::varchar[] as names where false"""
_NO_UTTERANCES = """select '' as run_id, '' as recording_id, '' as key, 0.0::double as duration_s,
    []::varchar[] as names, []::varchar[] as parents where false"""


def _plan_of(reader: LakeReader, run: RunRecord) -> str:
    return files([reader.lake.root.uri_of(run.plan.path)])


def _parts(reader: LakeReader, kind: str) -> Iterator[str]:
    """Merged files and parts, superseded rows too, as many together as have one schema."""
    groups: dict[object, list[str]] = {}
    for name in (kind, CURRENT[kind]):
        for file in reader.merged(name):
            groups.setdefault((file.schema_version, *sorted(file.own.items())), []).extend(reader.uris([file]))
    recipe_of = {run.run_id: run.recipe_sha256 for run in reader.runs}
    for part in reader.parts(kind):
        groups.setdefault(recipe_of[part.run_id], []).append(part.uri)
    yield from (files(uris) for uris in groups.values())


def _add(connection: duckdb.DuckDBPyConnection, known: pa.Table | None) -> None:
    """What was theirs stays theirs; and what was looked through with their names in hand is not judged by their
    absence."""
    connection.execute("create table known (run_id varchar, recording_id varchar, is_whole boolean)")
    if known is None:
        return
    connection.register("found_before", known)
    connection.execute(
        "insert into known select run_id, recording_id, bool_or(is_whole) from found_before where is_committed "
        "group by all"
    )
    connection.execute("insert into linked select distinct recording_id, unnest(people) from found_before")
