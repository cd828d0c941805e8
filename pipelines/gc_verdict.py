"""Whether an object may go: it is old, nothing names it, and nothing can come to name it any more.

The last is what makes deleting safe beside writers at work. Names are by content, so a writer may find that an object
"exists already", left over by one who died, and go on to name it: an age says nothing about that. But every record is
created exclusively under a name of its own. So an object is deleted only when the one record that could name it is
there already, and does not:

- a tar or part: the unit is committed, or all of its run is. A later generation is made by whoever erases, from
  objects of its own. A unit of a closed run that is not committed gets an empty commit first (`seal`), which a worker
  who wakes up late finds. What belongs to a unit of an open run that is not committed is left: whoever tries the unit
  again may need it.
- a plan or report: the run's number is taken.
- a file of a snapshot: a snapshot of this number or a later one is there; new ones list files of their own number and
  what the newest lists.
- a part of a release's index: the release of that version is there.
- a file of the projection: a newer one covers as many events; what is built on always covers more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any, Literal

from lake import layout
from lake.storage import ObjectInfo, Root
from pipelines.gc_names import UNIT_OBJECT, Small
from pipelines.gc_survey import Records

Verdict = Literal["named", "swept", "young", "waiting"]


class SmallVerdicts:
    """Of everything but the objects of units. `kept` are the snapshots and projections that count as naming."""

    def __init__(
        self,
        records: Records,
        ledger_uri: str,
        cutoff: datetime,
        snapshots: Collection[int],
        projections: Collection[int],
    ) -> None:
        self._ledger_uri, self._cutoff = ledger_uri, cutoff
        self._runs = {run.number for run in records.runs}
        self._releases = {(release.name, release.version) for release in records.releases}
        self._newest = max(records.heads, default=0)
        self._covered = max((head.position for head, _ in records.projections.values()), default=0)
        self._named = _named_in_lake(records, snapshots)
        self._projected = _named_in_ledger(records, projections)

    def __call__(self, root: Root, small: Small, info: ObjectInfo) -> Verdict:
        named = self._projected if root.uri == self._ledger_uri else self._named
        if info.path in named:
            return "named"
        if info.modified is None or info.modified >= self._cutoff:
            return "young"
        return "swept" if self._is_settled(small) else "waiting"

    def _is_settled(self, small: Small) -> bool:
        """Whether no record can come to name it."""
        if small.kind in ("plan", "report"):
            return small.number in self._runs
        if small.kind == "snapshot":
            return small.number <= self._newest
        if small.kind == "release":
            return (small.name, small.number) in self._releases
        if small.kind == "projection":
            return small.number <= self._covered
        return True


def _named_in_lake(records: Records, snapshots: Collection[int]) -> set[str]:
    named = {run.plan.path for run in records.runs} | {run.report for run in records.runs if run.report}
    named |= {stored.path for release in records.releases for stored in release.index}
    for number in snapshots:
        head, info = records.heads[number]
        named |= {info.path, head.commits.path, *(file.path for file in head.files)}
        named |= {layout.snapshot_manifest_path(number, kind) for kind in {file.kind for file in head.files}}
    return named


def _named_in_ledger(records: Records, projections: Collection[int]) -> set[str]:
    kept = [records.projections[number] for number in projections]
    return {info.path for _, info in kept} | {file.path for head, _ in kept for file in head.files}


def in_force(heads: Mapping[int, tuple[Any, ObjectInfo]], cutoff: datetime, named: Collection[int] = ()) -> set[int]:
    """Of numbered heads: the newest, those that a reader may still have open, for the one that followed is younger than
    the grace, and those that are `named` elsewhere."""
    numbers = sorted(heads)
    kept = set(numbers[-1:]) | (set(numbers) & set(named))
    for number, following in pairwise(numbers):
        modified = heads[following][1].modified
        if modified is None or modified >= cutoff:
            kept.add(number)
    return kept


JUDGED = f"""
create table judged as
with named as (
    select o.path as path from (
        select unnest(objects) as o from commits anti join collected using (run_id, unit_id)
    ) union all select path from released
),
unnamed as (
    select path, size_bytes, modified,
        regexp_extract(path, '{UNIT_OBJECT}', 1) as run_id, regexp_extract(path, '{UNIT_OBJECT}', 2) as unit_id
    from found anti join named using (path)
),
units as (select run_id, unit_id, true as is_committed from commits)
select path, size_bytes, run_id, unit_id,
    case when r.run_id is null then 'foreign'
         when modified is null or modified >= $1 then 'young'
         when is_committed or r.is_complete then 'swept'
         when r.is_closed then 'sealed'
         else 'waiting' end as verdict
from unnamed left join runs r using (run_id) left join units using (run_id, unit_id)
"""
"""Over `found`, `commits`, `runs`, `released` (gc_survey.load) and `collected`, the units whose objects are to go."""
