"""Rewriting units as work that any engine can do: a task is a unit, its receipt the commit without what goes."""

from __future__ import annotations

import secrets
import tempfile
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from lake.commits import create_commit, read_commit
from lake.lake import Lake
from lake.storage import Root
from pipelines.engines.contract import Task
from pipelines.erase.record import open_erasure
from pipelines.erase.rewrite import Going, Left, rewritten
from pipelines.supervisor import cores
from schemas.errors import LakeError
from schemas.records import Commit

if TYPE_CHECKING:
    import pyarrow as pa

_RACES = 20
_OLD = timedelta(minutes=20)
"""An object that nobody names may be taken by gc once it is an hour old; one as old as this is made anew."""

Unit = tuple[str, str]


@dataclass(frozen=True, slots=True)
class EraseWork:
    """The units of one look of an erasure, as plain values; what goes stands in the erasure's own record."""

    lake_uri: str
    number: int
    look: int

    def open(self, processes: int | None = None) -> EraseWorker:
        """The worker of this process: units are mostly read and written, so threads do."""
        return EraseWorker(self, processes or cores())

    def receipts(self, known: Collection[str] = ()) -> Iterator[tuple[str, Commit]]:
        """Commits of units that were rewritten and are not in `known`."""
        lake = Lake.open(self.lake_uri)
        touched = _touched(lake, self)
        for unit in sorted(going_by_unit(touched, ())):
            name = task_name(unit)
            if name not in known and (commit := read_commit(lake, *unit)) is not None and commit.generation:
                yield name, commit


class EraseWorker:
    """Rewrites `processes` units at a time, at most."""

    def __init__(self, work: EraseWork, processes: int) -> None:
        self.processes = processes
        self._room = threading.BoundedSemaphore(processes)
        self._lake = Lake.open(work.lake_uri)
        erasure = open_erasure(self._lake.ledger().root, work.number)
        self._going = going_by_unit(_touched(self._lake, work), erasure.started.subjects)

    def run(self, task: Task) -> Commit:
        """The unit's commit without what goes: the one that is there already, or the one that this call creates."""
        with self._room:
            unit = unit_of(task.name)
            return erase_from_unit(self._lake, unit, self._going[unit])

    def close(self) -> None:
        """Nothing was started that goes on."""


def task_name(unit: Unit) -> str:
    return "/".join(unit)


def unit_of(name: str) -> Unit:
    run_id, _, unit_id = name.partition("/")
    return run_id, unit_id


def going_by_unit(touched: pa.Table, subjects: Iterable[str]) -> Mapping[Unit, Going]:
    """What goes from each unit that is committed."""
    named = frozenset(subjects)
    found: dict[Unit, dict[str, bool]] = {}
    rows = touched.filter(touched["is_committed"]) if touched.num_rows else touched
    for row in rows.select(["run_id", "unit_id", "recording_id", "is_whole"]).to_pylist():
        found.setdefault((row["run_id"], row["unit_id"]), {})[row["recording_id"]] = row["is_whole"]
    return {unit: Going(named, recordings) for unit, recordings in found.items()}


def erase_from_unit(lake: Lake, unit: Unit, going: Going) -> Commit:
    """Makes the unit's next generation, until the one that holds has nothing of what goes. Its old objects stay."""
    for _ in range(_RACES):
        held = read_commit(lake, *unit)
        if held is None:
            raise LakeError(f"unit {unit[1]} of run {unit[0]} has no commit any more; commits are never deleted")
        if not held.objects:
            return held
        with tempfile.TemporaryDirectory(prefix="provoice-erase-") as folder:
            left = rewritten(lake, held, going, Path(folder) / "unit")
            if left is None:
                return held
            mine = _next(held, left)
            for done in left.made:
                _put(lake.root, done.stored.path, done.local_path, done.stored.sha256)
            if create_commit(lake, mine).writer == mine.writer:
                return mine
    raise LakeError(f"others committed unit {unit[1]} of run {unit[0]} again and again; start the command once more")


def _next(held: Commit, left: Left) -> Commit:
    """When it was decided, and committed, and what it cost stays: nothing is decided anew about what is left."""
    return held.model_copy(
        update={
            "generation": held.generation + 1, "writer": secrets.token_hex(16), "objects": left.objects,
            "counts": left.counts,
        }
    )  # fmt: skip


def _put(root: Root, path: str, local: Path, sha256: str) -> None:
    """An orphan of that name, left over from an attempt that died, may be old enough for gc to take it before it has a
    commit again: it is made anew."""
    modified = root.modified(path)
    if modified is not None and datetime.now(UTC) - modified > _OLD:
        root.delete(path)
    root.put(path, local, sha256)


def _touched(lake: Lake, work: EraseWork) -> pa.Table:
    found = open_erasure(lake.ledger().root, work.number).closure(work.look)
    if found is None:
        raise LakeError(f"erasure {work.number} has no look {work.look}, or is finished")
    return found
