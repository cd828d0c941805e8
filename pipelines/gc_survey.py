"""What lies in a lake, and what is named there: objects are listed first, and only then is read what names them.

Whoever names an object has created it before, so a record that comes after the listing names objects that were listed
or are newer: the first are seen to be named, for records are read last, and the others are not in the list.

Objects of units go to a file on this machine's disk, for there may be ten million; DuckDB compares them with what
commits and releases name. Everything else is few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lake import layout
from lake.lake import Lake
from lake.merging import Spool
from lake.parquet_sql import files, quoted
from lake.projection import Projection, ProjectionHead
from lake.releases import list_releases
from lake.runs import list_runs
from lake.snapshots import newest_snapshot, read_snapshot
from lake.storage import ObjectInfo, Root
from pipelines.gc_names import Small, is_of_unit, small_in_lake, small_in_ledger
from pipelines.snapshot_commits import Folded, fold
from schemas.records import RunRecord
from schemas.releases import ReleaseRecord
from schemas.snapshots import SnapshotHead

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_ROWS_AT_ONCE = 65_536


@dataclass
class Listing:
    """What was found. `small` has the root, what the name says, and the object."""

    units: Path
    """Parquet: `path`, `size_bytes`, `modified` of every object in the folders of tars and parts."""
    small: list[tuple[Root, Small, ObjectInfo]] = field(default_factory=list)
    foreign: int = 0
    foreign_bytes: int = 0


def list_lake(lake: Lake, folder: Path, report: Callable[[int], None] | None = None) -> Listing:
    """Lists the lake and its ledger; `report` is told now and then how many objects of units there are so far."""
    import pyarrow as pa

    schema = pa.schema([("path", pa.string()), ("size_bytes", pa.int64()), ("modified", pa.timestamp("us", "UTC"))])
    listing = Listing(folder / "found.parquet")
    ledger = lake.ledger().root
    inside = (
        ledger.uri.removeprefix(lake.root.uri_of("")) + "/" if ledger.uri.startswith(lake.root.uri_of("")) else None
    )
    with Spool(listing.units, schema) as spool:
        held: list[ObjectInfo] = []
        for info in lake.root.list(unfinished=True):
            if inside is not None and info.path.startswith(inside):
                continue
            if is_of_unit(info.path) and not _is_small(listing, lake.root, info, _unfinished_only):
                held.append(info)
                if len(held) >= _ROWS_AT_ONCE:
                    spool.add(_table(held, schema))
                    held = []
                    if report is not None:
                        report(spool.rows)
            elif not is_of_unit(info.path):
                _is_small(listing, lake.root, info, small_in_lake)
        spool.add(_table(held, schema))
    for info in ledger.list(unfinished=True):
        _is_small(listing, ledger, info, small_in_ledger)
    return listing


def _unfinished_only(path: str) -> Any:
    found = small_in_lake(path)
    return found if isinstance(found, Small) else None


def _is_small(listing: Listing, root: Root, info: ObjectInfo, what: Callable[[str], Any]) -> bool:
    found = what(info.path)
    if isinstance(found, Small):
        listing.small.append((root, found, info))
    elif found is not None:
        listing.foreign += 1
        listing.foreign_bytes += info.size_bytes
    return found is not None


def _table(held: list[ObjectInfo], schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    columns = ([info.path for info in held], [info.size_bytes for info in held], [info.modified for info in held])
    return pa.Table.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )


@dataclass(frozen=True)
class Records:
    """What names objects, read after they were listed."""

    runs: list[RunRecord]
    newest: SnapshotHead | None
    heads: dict[int, tuple[SnapshotHead, ObjectInfo]]
    """Every snapshot by its number."""
    releases: list[ReleaseRecord]
    projections: dict[int, tuple[ProjectionHead, ObjectInfo]]
    folded: Folded

    @property
    def released_snapshots(self) -> set[int]:
        """Snapshots that a release names as what it was chosen from."""
        return {release.snapshot for release in self.releases if release.snapshot is not None}


def read_records(lake: Lake, folder: Path) -> Records:
    """Reads runs, snapshots, commits, releases and the projection's heads. Raises LakeError and ConsentError where one
    of them cannot be read: nothing is deleted on doubt."""
    newest = newest_snapshot(lake)
    runs = list_runs(lake)
    folded = fold(lake, newest, runs, folder)
    heads = {number: (read_snapshot(lake, number), info) for number, info in _numbered(lake.root, "snapshots")}
    ledger = lake.ledger().root
    projections = {n: (Projection.read(ledger, n).head, info) for n, info in _numbered(ledger, "projection")}
    return Records(runs, newest, heads, list_releases(lake), projections, folded)


def _numbered(root: Root, folder: str) -> Iterator[tuple[int, ObjectInfo]]:
    """Heads of snapshots or of projections, by number."""
    for info in root.list(folder):
        words = info.path.split("/")
        number = words[1].removesuffix(".json") if folder == "projection" else words[1]
        if not number.isdigit():
            continue
        head = layout.snapshot_head_path if folder == "snapshots" else layout.projection_head_path
        if info.path == head(int(number)):
            yield int(number), info


def load(connection: duckdb.DuckDBPyConnection, lake: Lake, listing: Listing, records: Records) -> None:
    """Within DuckDB: `found` as listed, `commits` that hold, `runs`, and `released`, the shards that releases name."""
    import pyarrow as pa

    names = "run_number, run_id, unit_id, committed_at, objects"
    raised = [(n, unit_id) for n, units in records.folded.replaced.items() for unit_id in units]
    columns = zip(*raised, strict=True) if raised else ((), ())
    types = (pa.int32(), pa.string())
    arrays = [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)]
    connection.register("raised", pa.Table.from_arrays(arrays, names=["run_number", "unit_id"]))
    commits = f"select {names} from {files([str(records.folded.path)])}"
    if records.newest is not None:
        held = files([lake.root.uri_of(records.newest.commits.path)])
        commits += f" union all select {names} from {held} anti join raised using (run_number, unit_id)"
    connection.execute(f"create view commits as {commits}")
    rows = [
        f"({run.number}, {quoted(run.run_id)}, {run.is_closed}, {run.is_explore}, {run.units})" for run in records.runs
    ]
    connection.execute(
        "create table planned (run_number int, run_id varchar, is_closed boolean, is_explore boolean, units bigint)"
    )
    if rows:
        connection.execute(f"insert into planned values {', '.join(rows)}")
    done = "select run_number, count(*) as n from commits group by all"
    connection.execute(
        "create table runs as select run_id, is_closed, is_explore, coalesce(n >= units, false) as is_complete "
        f"from planned left join ({done}) using (run_number)"
    )
    connection.execute(f"create view found as from {files([str(listing.units)])}")
    parts = [lake.root.uri_of(stored.path) for release in records.releases for stored in release.index]
    shards = f"select distinct shard as path from {files(parts)}" if parts else "select '' as path where false"
    connection.execute(f"create table released as {shards}")
