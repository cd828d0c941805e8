"""Snapshots: commits folded and unit parts merged, so that a lake of a million units opens in seconds.

Nothing that a snapshot names is ever changed, and its head is created last: whoever dies on the way leaves the earlier
snapshot in force, and objects that nobody names.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lake.lake import Lake
from lake.merging import SMALL_BYTES, Merger, group_of, row_groups
from lake.runs import list_runs
from lake.snapshots import create_snapshot, newest_snapshot, next_number, put_file
from pipelines.snapshot_commits import Folded, Unit, fold, write_commits
from pipelines.snapshot_rows import moves, read_parts
from schemas.errors import AlreadyExists, LakeError
from schemas.records import RunRecord, StoredObject
from schemas.snapshots import CURRENT, MergedFile, SnapshotHead

_RACES = 20


@dataclass(frozen=True)
class Taken:
    """What a snapshot did; `number` is None where there was nothing to do."""

    number: int | None
    commits_folded: int
    commits: int
    files_kept: int
    files_made: int
    files_replaced: int
    """Files of the earlier snapshot that this one lists no longer: small ones, and those with rows that moved."""
    bytes_made: int
    rows: dict[str, int]
    """Rows by kind of file."""
    wall_s: float


def take_snapshot(lake: Lake) -> SnapshotHead | None:
    """Makes a snapshot if anything has come since the last; returns the newest, None for a lake without a commit."""
    snapshot(lake)
    return newest_snapshot(lake)


def snapshot(lake: Lake, known: Mapping[Unit, int] | None = None) -> Taken:
    """Makes a snapshot if anything has come since the last. Raises LakeError.

    `known`: units and the generation that the caller has seen of each, for a listing may be behind, and who is about to
    delete what an earlier generation names must not leave a snapshot that still holds it.

    It sorts on this machine's disk, in the folder for temporary files: some gigabytes for a file of two million rows.
    """
    began = time.monotonic()
    for _ in range(_RACES):
        try:
            return _snapshot(lake, known or {}, began)
        except AlreadyExists:
            continue  # another has the number: read what it folded, and start over
        except OSError as error:
            said = f"no snapshot was made, for {tempfile.gettempdir()} failed (TMPDIR names another): {error}"
            raise LakeError(f"{lake.root.uri}: {said}") from error
    raise LakeError(f"{lake.root.uri}: others took the snapshot's number again and again; start the command once more")


def _snapshot(lake: Lake, known: Mapping[Unit, int], began: float) -> Taken:
    # Before the first commit is read: of two snapshots the one with the higher number has looked later.
    number = next_number(lake)
    previous = newest_snapshot(lake)
    runs = list_runs(lake)
    with tempfile.TemporaryDirectory(prefix="provoice-snapshot-") as name:
        folder = Path(name)
        folded = fold(lake, previous, runs, folder, known)
        if not folded.commits and (previous is None or previous.runs == folded.runs):
            return _taken(previous, None, folded, began)
        path = folder / "commits.parquet"
        rows = write_commits(lake, previous, folded, path)
        where, size, sha256 = put_file(lake, number, "commits", path)
        kept, made = _merge(lake, previous, folded, runs, number, folder)
    head = SnapshotHead(
        number=number,
        previous=previous.number if previous else None,
        created_at=datetime.now(UTC),
        runs=folded.runs,
        commits=StoredObject(kind="commits", path=where, size_bytes=size, sha256=sha256, rows=rows),
        files=(*kept, *made),
    )
    create_snapshot(lake, head)
    return _taken(previous, head, folded, began)


def _merge(
    lake: Lake, previous: SnapshotHead | None, folded: Folded, runs: Sequence[RunRecord], number: int, folder: Path
) -> tuple[list[MergedFile], list[MergedFile]]:
    """Files of the earlier snapshot that still hold, and new ones with everything else."""
    kept = list(previous.files) if previous else []
    if not folded.commits:
        return kept, []
    run_numbers = {run.run_id: run.number for run in runs}
    found = moves(lake, previous, folded, runs, folder)
    moving = [file for file in kept if found.concern(lake, file, run_numbers)]
    with Merger(lake, number, folder, run_numbers) as merger:
        for file in moving:
            for rows in row_groups(lake, file):
                merger.add_each(found.of_file(file.kind, rows))
        for kind in CURRENT:
            for rows in read_parts(lake, folded.parts(kind)):
                merger.add_each(found.of_part(kind, rows))
        waiting = set(merger.waiting())
        small = [f for f in kept if f.size_bytes < SMALL_BYTES and group_of(f) in waiting and f not in moving]
        for file in small:
            for rows in row_groups(lake, file):
                merger.add(file.kind, rows)
        merger.finish()
    return [file for file in kept if file not in moving and file not in small], merger.files


def _taken(previous: SnapshotHead | None, head: SnapshotHead | None, folded: Folded, began: float) -> Taken:
    before = {file.path for file in previous.files} if previous else set()
    now = head or previous
    listed = list(now.files) if now else []
    made = [file for file in listed if file.path not in before]
    return Taken(
        number=head.number if head else None,
        commits_folded=folded.commits,
        commits=(now.commits.rows or 0) if now else 0,
        files_kept=len(listed) - len(made),
        files_made=len(made),
        files_replaced=len(before - {file.path for file in listed}),
        bytes_made=sum(file.size_bytes for file in made),
        rows={kind: sum(file.rows for file in listed if file.kind == kind) for kind in (*CURRENT, *CURRENT.values())},
        wall_s=round(time.monotonic() - began, 3),
    )
