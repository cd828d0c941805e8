"""Removing what was replaced: old objects of units, plans, reports, indexes, snapshots, and what nobody ever named.

Everything new is in place before this begins, so whoever reads now follows what is named now. What nobody names may
have been left by a writer that died, with the same voices in it: it goes, too, as soon as no writer can name it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa

from lake import layout
from lake.commits import read_commit
from lake.lake import Lake
from lake.local_create import is_unfinished
from lake.merging import row_groups, table_of
from lake.parts import read_part
from lake.releases import list_releases
from lake.runs import list_runs
from lake.snapshots import newest_snapshot, read_snapshot
from lake.storage import ObjectInfo, Root
from pipelines import gc_uploads
from pipelines.erase.members import member_names
from pipelines.erase.releases import Gone
from pipelines.gc_grace import settled
from pipelines.gc_names import UNIT_OBJECT
from pipelines.gc_superseded import seal
from pipelines.snapshot_rows import RowSet
from schemas.errors import LakeError
from schemas.records import RunRecord

if TYPE_CHECKING:
    from schemas.snapshots import MergedFile, SnapshotHead

_UNIT = re.compile(UNIT_OBJECT)
_SNAPSHOT = re.compile(r"snapshots/(?P<number>\d{8,})/[^/]+")
_RELEASE = re.compile(r"releases/(?P<name>[^/]+)/(?P<version>[1-9]\d*)/(?P<rest>.+)")
_MAKING = timedelta(hours=1)
"""How long a release may be in the making without having its record."""
_COLUMNS = {"utterances": ["recording_id", "lineage.run_id"], "recordings": ["recording_id", "run_id"]}


@dataclass
class Swept:
    """What was removed, and what could not be yet."""

    removed: list[tuple[Root, ObjectInfo]] = field(default_factory=list)
    young: list[str] = field(default_factory=list)
    """Where somebody may still be writing: looked at again."""
    foreign: list[str] = field(default_factory=list)
    """What lies in our folders under names that are not ours, and can be read neither as a tar nor as a part."""
    again_at: datetime | None = None

    @property
    def size_bytes(self) -> int:
        return sum(info.size_bytes for _, info in self.removed)

    def wait(self, what: str, until: datetime) -> None:
        self.young.append(what)
        self.again_at = max(until, self.again_at) if self.again_at is not None else until


class Sweep:
    """One look's removal. `touched` is all that this erasure has found; `is_past`: whether workers that began before
    the plans were rewritten can commit nothing any more."""

    def __init__(self, lake: Lake, touched: pa.Table, gone: Gone, now: datetime, *, is_past: bool) -> None:
        self.lake = lake
        self.touched = touched
        self.gone = gone
        self.now = now
        self.is_past = is_past
        self.swept = Swept()
        self.recordings = frozenset(touched["recording_id"].to_pylist())
        self.units: dict[str, set[str]] = {}
        for row in touched.select(["run_id", "unit_id"]).to_pylist():
            self.units.setdefault(row["run_id"], set()).add(row["unit_id"])

    def run(self) -> Swept:
        """Removes it all. What is gone already counts as removed, by whoever came first."""
        runs = [run for run in list_runs(self.lake) if run.run_id in self.units]
        self._snapshots()
        self._releases()
        for run in runs:
            self._run(run)
            self._units(run)
        self._unfinished()
        return self.swept

    def _delete(self, info: ObjectInfo, root: Root | None = None) -> None:
        root = root or self.lake.root
        root.delete(info.path)
        self.swept.removed.append((root, info))

    # --- units and runs -------------------------------------------------------------------------------------------

    def _run(self, run: RunRecord) -> None:
        for info in list(self.lake.root.list(layout.run_folder(run.number))):
            name = info.path.rpartition("/")[2]
            if name.startswith(("plan-", "report-")) and info.path not in (run.plan.path, run.report):
                self._delete(info)

    def _units(self, run: RunRecord) -> None:
        units = self.units[run.run_id]
        named: dict[str, frozenset[str] | None] = {}
        for info in list(self._objects_of(run)):
            found = _UNIT.fullmatch(info.path)
            if found is None:
                self._foreign(info)
                continue
            if found[2] not in units:
                continue
            if found[2] not in named:
                named[found[2]] = self._named(run, found[2])
            kept = named[found[2]]
            if kept is not None:
                if info.path not in kept:
                    self._delete(info)
            elif self._holds(info.path):
                if self.is_past:
                    self._delete(info)
                else:
                    self.swept.young.append(self.lake.root.uri_of(info.path))

    def _foreign(self, info: ObjectInfo) -> None:
        """A copy that somebody put there under a name of their own: it goes if it can be read and has something in it
        of what goes."""
        if is_unfinished(info.path):
            return
        try:
            if self._holds(info.path):
                self._delete(info)
        except LakeError:
            self.swept.foreign.append(self.lake.root.uri_of(info.path))

    def _objects_of(self, run: RunRecord) -> Iterator[ObjectInfo]:
        for folder in (f"shards/{run.run_id}", f"utterances/run={run.run_id}", f"recordings/run={run.run_id}"):
            yield from self.lake.root.list(folder)

    def _named(self, run: RunRecord, unit_id: str) -> frozenset[str] | None:
        """What the unit's commit names; None where somebody may still commit it. In a closed run nobody may, from here
        on."""
        commit = read_commit(self.lake, run.run_id, unit_id)
        if commit is None and run.is_closed:
            if seal(self.lake, run, unit_id, self.now):
                return frozenset()
            commit = read_commit(self.lake, run.run_id, unit_id)
        return None if commit is None else frozenset(stored.path for stored in commit.objects)

    def _holds(self, path: str) -> bool:
        """Whether an object that nobody names has something of what goes in it."""
        if path.endswith(".tar"):
            return any(name.partition("-")[0] in self.recordings for name in member_names(self.lake.root, path))
        rows = read_part(self.lake.root, path, ["recording_id"])
        return not self.recordings.isdisjoint(rows["recording_id"].to_pylist())

    # --- snapshots ------------------------------------------------------------------------------------------------

    def _snapshots(self) -> None:
        """Heads that list a file with one of the rows; then every file that no head lists, up to the newest number."""
        newest = newest_snapshot(self.lake)
        if newest is None:
            return
        listed = list(self.lake.root.list("snapshots"))
        found = (_SNAPSHOT.fullmatch(info.path) for info in listed if info.path.endswith("/snapshot.json"))
        heads = {(n := int(one["number"])): read_snapshot(self.lake, n) for one in found if one}
        rows = RowSet(self.touched.select(["run_id", "recording_id"]))
        clean = {file.path for file in newest.files}
        earlier = sorted(heads.keys() - {newest.number})
        out = {number for number in earlier if self._is_theirs(heads[number], rows, clean)}
        named: set[str] = set()
        for number in heads.keys() - out:
            named |= _named_by(heads[number])
        gone = [info for info in listed if info.path not in named and _is_up_to(info.path, newest.number)]
        # Heads first: who reads one looks for its files.
        for info in sorted(gone, key=lambda one: (not one.path.endswith("/snapshot.json"), one.path)):
            self._delete(info)

    def _is_theirs(self, head: SnapshotHead, rows: RowSet, clean: set[str]) -> bool:
        """Whether a file of the head has one of the rows; what has none is remembered in `clean`."""
        for file in head.files:
            if file.path in clean:
                continue
            if self._has_row(file, rows):
                return True
            clean.add(file.path)
        return False

    def _has_row(self, file: MergedFile, rows: RowSet) -> bool:
        columns = _COLUMNS[table_of(file.kind)]
        return any(bool(rows.mask(table, file.kind).any()) for table in row_groups(self.lake, file, columns))

    # --- releases -------------------------------------------------------------------------------------------------

    def _releases(self) -> None:
        known = {(one.name, one.version): one for one in list_releases(self.lake)}
        for info in list(self.lake.root.list("releases")):
            found = _RELEASE.fullmatch(info.path)
            if found is None:
                continue
            record = known.get((found["name"], int(found["version"])))
            is_index = found["rest"].startswith("index/")
            if record is None:
                if is_index:
                    self._of_no_release(info)
            elif record.replaced is not None:
                if is_index or found["rest"] == "croissant.json":
                    self._delete(info)
            elif is_index and info.path not in {stored.path for stored in record.index}:
                self._delete(info)

    def _of_no_release(self, info: ObjectInfo) -> None:
        """A part of a version that was never finished, or is being made."""
        try:
            rows = read_part(self.lake.root, info.path, ["run_id", "recording_id", "subject_ids"])
        except LakeError:
            return  # gone meanwhile, or not ours
        if not any(self.gone.mask(rows).to_pylist()):
            return
        if info.modified is not None and self.now - info.modified > _MAKING:
            self._delete(info)
        else:
            self.swept.wait(self.lake.root.uri_of(info.path), (info.modified or self.now) + _MAKING)

    # --- what writers leave behind --------------------------------------------------------------------------------

    def _unfinished(self) -> None:
        """Temporary files and uploads in parts: whose they are nobody can tell, so those of dead writers go."""
        cutoff = self.now - timedelta(seconds=settled(self.lake, None).least_s)
        for root in _roots(self.lake):
            # Only on a disk are there temporary files; a bucket need not be listed whole for them.
            for info in list(root.list(unfinished=True)) if root.is_local else ():
                if not is_unfinished(info.path):
                    continue
                if info.modified is not None and info.modified < cutoff:
                    self._delete(info, root)
                else:
                    self.swept.young.append(root.uri_of(info.path))
            for upload in gc_uploads.unfinished_uploads(root):
                if upload.began < cutoff:
                    gc_uploads.abort(upload)
                else:
                    self.swept.young.append(f"{upload.bucket}/{upload.key}")


def _roots(lake: Lake) -> Sequence[Root]:
    ledger = lake.ledger().root
    return [lake.root] if ledger.uri.startswith(lake.root.uri_of("")) else [lake.root, ledger]


def _named_by(head: SnapshotHead) -> set[str]:
    manifests = {layout.snapshot_manifest_path(head.number, kind) for kind in {file.kind for file in head.files}}
    files = {file.path for file in head.files}
    return {layout.snapshot_head_path(head.number), head.commits.path, *manifests, *files}


def _is_up_to(path: str, number: int) -> bool:
    """Whether it belongs to a snapshot whose number is taken: whoever still makes one of that number has lost it."""
    found = _SNAPSHOT.fullmatch(path)
    return found is not None and int(found["number"]) <= number
