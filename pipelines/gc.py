"""`gc`: what nobody names any more, shown, and deleted where that is asked for.

The order is what makes it safe: objects are listed (`gc_survey`), then commits, snapshots and releases are read, then
it is judged what may go (`gc_verdict`), and only then is anything deleted. A gc that dies on the way leaves less to the
next one and nothing half done: first every commit that makes objects orphans, then a snapshot without their rows, and
only then the objects. docs/decisions/008-what-gc-may-delete.md argues it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lake.lake import Lake
from lake.parquet_sql import files, open_duckdb, quoted, reading
from lake.reader import LakeReader
from lake.snapshots import newest_snapshot
from lake.storage import Denied, ObjectInfo, Root
from pipelines import gc_superseded, gc_uploads
from pipelines.gc_account import EXAMPLES, Account, Amount, Superseded, Wanted
from pipelines.gc_grace import settled, store_now
from pipelines.gc_names import Kind, Small, small_in_ledger
from pipelines.gc_survey import Listing, Records, list_lake, load, read_records
from pipelines.gc_verdict import JUDGED, SmallVerdicts, in_force
from pipelines.snapshot import snapshot

if TYPE_CHECKING:
    import duckdb

One = TypeVar("One")

_MEMORY = "400MB"
"""Of DuckDB, which spills beyond."""
_AT_ONCE = 16
_CHUNK = 1_000


Report = Callable[[str, int], None]
"""Told what is done, and how many there are of it so far."""


def _silent(_what: str, _count: int) -> None: ...


def gc(lake: Lake, wanted: Wanted, report: Report = _silent, now: datetime | None = None) -> Account:
    """Deletes what nobody names, or says what that is. `now`: instead of the store's own clock.

    Raises ConfigError for a grace that is too short, LakeError where something cannot be read: then nothing is deleted.
    """
    began = time.monotonic()
    grace = settled(lake, wanted.grace_s)
    at = now or store_now(lake.root)
    account = Account(grace, wanted.is_sure, superseded=Superseded() if wanted.superseded else None)
    if wanted.superseded and wanted.is_sure:
        snapshot(lake)  # so that what counts is read from few files
    with tempfile.TemporaryDirectory(prefix="provoice-gc-") as name:
        _Sweep(lake, wanted, account, at, Path(name), report).run()
    account.wall_s = round(time.monotonic() - began, 3)
    return account


class _Sweep:
    def __init__(
        self, lake: Lake, wanted: Wanted, account: Account, at: datetime, folder: Path, report: Report
    ) -> None:
        self.lake, self.wanted, self.account, self.folder = lake, wanted, account, folder
        self.at = at
        self.cutoff = at - timedelta(seconds=account.grace.grace_s)
        self.report = report

    def run(self) -> None:
        listing = list_lake(self.lake, self.folder, lambda count: self.report("listed", count))
        uploads = [one for root in self._roots() for one in gc_uploads.unfinished_uploads(root)]
        records = read_records(self.lake, self.folder)
        with reading(), open_duckdb(self.lake.root, _MEMORY) as connection:
            connection.execute(f"set temp_directory = {quoted(str(self.folder / 'spill'))}")
            connection.execute("set preserve_insertion_order = false")
            load(connection, self.lake, listing, records)
            self._supersede(connection)
            connection.execute(JUDGED, [self.cutoff])
            self._add_up(connection, listing)
            small = list(self._small(listing, records))
            old = [upload for upload in uploads if self._is_old(upload.began)]
            for upload in old:
                self._swept("upload").add(f"{upload.bucket}/{upload.key}", 0)
            if not self.wanted.is_sure:
                return
            late = self._seal(connection, records)
            if records.folded.replaced or (self.account.superseded and self.account.superseded.collected):
                snapshot(self.lake)  # before their objects go, no reader may be shown rows of units that were collected
                self._spare(connection)
            self._delete_small(small)
            self._each("ended", old, gc_uploads.abort)
            self._each("deleted", _unnamed(connection, late), self.lake.root.delete)

    def _roots(self) -> list[Root]:
        ledger = self.lake.ledger().root
        return [self.lake.root] + ([] if ledger.uri.startswith(self.lake.root.uri_of("")) else [ledger])

    def _is_old(self, modified: datetime) -> bool:
        return modified < self.cutoff

    def _swept(self, kind: Kind) -> Amount:
        return self.account.swept.setdefault(kind, Amount())

    # --- units ----------------------------------------------------------------------------------------------------

    def _supersede(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Makes `collected`, the units whose commits name no object from now on; writes these commits if that is
        asked for, and a snapshot without their rows."""
        said = self.account.superseded
        connection.execute("create table collected (run_id varchar, unit_id varchar)")
        if said is None:
            return
        gc_superseded.find(connection, LakeReader(self.lake), self.cutoff)
        figures = "count(*) filter (is_released), count(*) filter (not is_released and not is_replaced) from superseded"
        ((said.released, said.waiting),) = connection.execute(f"select {figures}").fetchall()
        chosen = "select run_id, unit_id from superseded where is_replaced and not is_released"
        if not self.wanted.is_sure:
            connection.execute(f"insert into collected {chosen}")
        else:
            units = [(unit[0], unit[1]) for unit in _rows(connection, f"{chosen} order by all")]
            for count, unit in enumerate(gc_superseded.collect(self.lake, units, self.at), 1):
                connection.execute("insert into collected values (?, ?)", unit)
                self.report("units collected", count)
        ((said.collected,),) = connection.execute("select count(*) from collected").fetchall()

    def _add_up(self, connection: duckdb.DuckDBPyConnection, listing: Listing) -> None:
        """Figures of the objects of units."""
        account = self.account
        account.foreign = Amount(listing.foreign, listing.foreign_bytes)
        query = (
            "select if(verdict = 'sealed', 'swept', verdict) as v, count(*), sum(size_bytes)::bigint, "
            f"min(path, {EXAMPLES}) from judged group by v"
        )
        for verdict, objects, size_bytes, paths in connection.execute(query).fetchall():
            amount = self._swept("unit") if verdict == "swept" else getattr(account, verdict)
            amount.objects += objects
            amount.size_bytes += size_bytes
            amount.examples += [self.lake.root.uri_of(path) for path in paths]

    def _spare(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Leaves to the next gc what the newest snapshot still names: a listing that was behind hid from it that a unit
        was collected, and readers follow the snapshot."""
        newest = newest_snapshot(self.lake)
        if newest is None:
            return
        held = files([self.lake.root.uri_of(newest.commits.path)])
        connection.execute(f"create table held as select o.path as path from (select unnest(objects) as o from {held})")
        spared = "verdict in ('swept', 'sealed') and path in (from held)"
        ((count, size_bytes),) = connection.execute(
            f"select count(*), coalesce(sum(size_bytes), 0)::bigint from judged where {spared}"
        ).fetchall()
        if count:
            connection.execute(f"update judged set verdict = 'waiting' where {spared}")
            for amount, sign in ((self._swept("unit"), -1), (self.account.waiting, 1)):
                amount.objects += sign * count
                amount.size_bytes += sign * size_bytes

    def _seal(self, connection: duckdb.DuckDBPyConnection, records: Records) -> set[tuple[str, str]]:
        """Ends the hold of closed runs on units of which objects lie there; units that were committed meanwhile."""
        runs = {run.run_id: run for run in records.runs}
        units = "select distinct run_id, unit_id from judged where verdict = 'sealed'"
        found = list(_rows(connection, units))
        return {
            (run_id, unit_id)
            for run_id, unit_id in found
            if not gc_superseded.seal(self.lake, runs[run_id], unit_id, self.at)
        }

    # --- everything else ------------------------------------------------------------------------------------------

    def _small(self, listing: Listing, records: Records) -> Iterator[tuple[Root, ObjectInfo]]:
        """What goes of it: heads first, for who reads one looks for its files."""
        snapshots, projections = set(records.heads), set(records.projections)
        if self.wanted.superseded:
            snapshots = in_force(records.heads, self.cutoff, records.released_snapshots)
            projections = in_force(records.projections, self.cutoff)
        verdict = SmallVerdicts(records, self.lake.ledger().root.uri, self.cutoff, snapshots, projections)
        for root, small, info in sorted(listing.small, key=_heads_first):
            said = verdict(root, small, info)
            if said == "swept":
                self._swept(small.kind).add(root.uri_of(info.path), info.size_bytes)
                yield root, info
            elif said != "named":
                amount = self.account.young if said == "young" else self.account.waiting
                amount.add(root.uri_of(info.path), info.size_bytes)

    def _delete_small(self, small: Sequence[tuple[Root, ObjectInfo]]) -> None:
        """A ledger's root may be create-only, or its objects under retention: what nothing needs there stays, then."""
        kept: list[tuple[Root, ObjectInfo]] = []

        def delete(one: tuple[Root, ObjectInfo]) -> None:
            root, info = one
            try:
                root.delete(info.path)
            except Denied:
                if root.uri == self.lake.root.uri:
                    raise
                kept.append(one)

        self._each("deleted", small, delete)
        for root, info in kept:
            found = small_in_ledger(info.path)
            if isinstance(found, Small):
                amount = self._swept(found.kind)
                amount.objects, amount.size_bytes = amount.objects - 1, amount.size_bytes - info.size_bytes
                if not amount.objects:
                    del self.account.swept[found.kind]
            self.account.refused.add(root.uri_of(info.path), info.size_bytes)

    def _each(self, what: str, things: Iterable[One], act: Callable[[One], None]) -> None:
        count = 0
        waiting = iter(things)
        with ThreadPoolExecutor(_AT_ONCE, "gc") as pool:
            while chunk := list(islice(waiting, _CHUNK)):
                for _ in pool.map(act, chunk):
                    count += 1
                self.report(what, count)


def _heads_first(one: tuple[Root, Small, ObjectInfo]) -> tuple[bool, str]:
    return not one[2].path.endswith(".json"), one[2].path


def _unnamed(connection: duckdb.DuckDBPyConnection, late: set[tuple[str, str]]) -> Iterator[str]:
    """Paths of the tars and parts that go."""
    query = "select path, run_id, unit_id from judged where verdict in ('swept', 'sealed')"
    return (path for path, run_id, unit_id in _rows(connection, query) if (run_id, unit_id) not in late)


def _rows(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[tuple[str, ...]]:
    for batch in connection.sql(query).to_arrow_reader(_CHUNK):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
