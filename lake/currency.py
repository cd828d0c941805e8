"""Which row of a source is current: one rule, for readers and for whoever makes a snapshot.

A recording counts in one run only, the highest-numbered one that emitted, held or finally rejected it; a retriable
rejection supersedes nothing, and an exploring run no other; a new version of the same path supersedes the old one.
The best of some rows stays the best of them when worse ones are left out: so what a snapshot found to be current stands
for all that it has seen, and only sources that came up since are ranked again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lake.parquet_sql import files, quoted
from schemas.records import RunRecord

COLUMNS = ("source_root", "source_path", "recording_id", "run_id", "status", "retriable")
"""Of `recordings`: all that the rule looks at, but for the run's number and whether it explores."""

_NARROW = ", ".join(COLUMNS)
_RANKED = """
select recording_id, run_id, row_number() over (
    partition by source_root, source_path
    order by (status = 'rejected' and coalesce(retriable, false)), is_explore, run_number desc, recording_id
) as place
from ({rows}) join ({runs}) using (run_id)
"""


def runs_sql(runs: Iterable[RunRecord]) -> str:
    """What the rule needs of the runs, as a query."""
    rows = [f"({run.number}, {quoted(run.run_id)}, {run.is_explore})" for run in runs]
    if not rows:
        return "select 0 as run_number, '' as run_id, false as is_explore where false"
    return f"select * from (values {', '.join(rows)}) as r(run_number, run_id, is_explore)"


def rows_of(uris: Sequence[str]) -> str:
    """The narrow columns of these files of `recordings`, as a query."""
    if not uris:
        return "select " + ", ".join(f"null::{_TYPES.get(name, 'varchar')} as {name}" for name in COLUMNS) + " limit 0"
    return f"select {_NARROW} from {files(uris)}"


_TYPES = {"retriable": "boolean"}


def ranked(rows: str, runs: str) -> str:
    """A query for `recording_id`, `run_id` and `place`, 1 for what is current, over queries for rows and runs."""
    return _RANKED.format(rows=rows, runs=runs)


def stale(new: str, held: str, runs: str) -> str:
    """A query for `recording_id` and `run_id` of rows that are not current, among `new` ones and the `held` rows whose
    sources `new` ones name; held rows are the current ones of a snapshot."""
    again = f"select {_NARROW} from ({held}) semi join ({new}) using (source_root, source_path)"
    rows = f"select {_NARROW} from ({new}) union all {again}"
    return f"select recording_id, run_id from ({ranked(rows, runs)}) where place > 1"
