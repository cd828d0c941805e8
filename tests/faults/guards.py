"""The guards of the protocol. Each can be taken away by itself (`remove`), and then its scenario does not hold."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lake import chain, commits, layout, ledger, local_create, snapshots, storage
from lake.reader import LakeReader, Part
from lake.storage import Root
from pipelines import gc, gc_superseded, snapshot, unit
from pipelines.gc_grace import Grace
from schemas.errors import AlreadyExists, RunStopped
from tests.faults import scenarios

Patch = pytest.MonkeyPatch


@dataclass(frozen=True)
class Guard:
    """`remove` takes it away for one test."""

    name: str
    remove: Callable[[Patch], None]
    scenario: Callable[[Path], None]


def _overwriting(patch: Patch) -> None:
    patch.setattr(local_create, "_take_name", os.replace)


def _no_look_at_the_holder(patch: Patch) -> None:
    patch.setattr(commits, "_read", lambda *_: None)


def _own_commit_taken_for_granted(patch: Patch) -> None:
    patch.setattr(gc_superseded, "create_commit", lambda _, commit: commit)


def _objects_unseen(patch: Patch) -> None:
    patch.setattr(commits, "_fault", lambda *_: None)


def _any_bytes_will_do(patch: Patch) -> None:
    def put(self: Root, path: str, data: bytes | Path, _: str) -> None:
        with contextlib.suppress(AlreadyExists):
            self._create(path, data, may_move=True)

    patch.setattr(Root, "put", put)


def _bytes_not_synced(patch: Patch) -> None:
    patch.setattr(local_create, "os", _SyncsOnlyFolders())


class _SyncsOnlyFolders:
    """`os`, which forgets to sync files."""

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def fsync(self, descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            os.fsync(descriptor)


def _names_not_synced(patch: Patch) -> None:
    real = local_create._sync
    patch.setattr(local_create, "_sync", lambda path: None if path.is_dir() else real(path))


def _moved_bytes_not_synced(patch: Patch) -> None:
    real = local_create._sync
    patch.setattr(local_create, "_sync", lambda path: real(path) if path.is_dir() else None)


def _written_in_place(patch: Patch) -> None:
    def create(path: Path, data: bytes) -> None:
        local_create._make_folders(path.parent)
        with path.open("xb") as file:
            file.write(data)
            os.fsync(file.fileno())
        local_create._sync(path.parent)

    patch.setattr(storage.local_create, "create", create)


def _number_taken_twice(patch: Patch) -> None:
    def create(self: Root, path: str, data: bytes) -> None:
        Path(self.uri, path).parent.mkdir(parents=True, exist_ok=True)
        Path(self.uri, path).write_bytes(data)

    patch.setattr(Root, "create", create)


def _no_deadline(patch: Patch) -> None:
    def check(self: unit.UnitJob, _unit: unit.Unit, _began: float) -> None:
        if unit.reread_run(self.lake, self.run).is_closed:
            raise RunStopped("closed")

    patch.setattr(unit.UnitJob, "_check_may_commit", check)


def _closed_unseen(patch: Patch) -> None:
    patch.setattr(unit, "reread_run", lambda _, run: run)


def _by_glob(patch: Patch) -> None:
    def parts(self: LakeReader, kind: str) -> Iterator[Part]:
        for info in self.lake.root.list(kind):
            yield Part(1, "r", "", self.lake.root.uri_of(info.path), info.path, 0)

    patch.setattr(LakeReader, "parts", parts)


def _number_fixed_late(patch: Patch) -> None:
    real = snapshot.create_snapshot

    def create(lake: Any, head: Any) -> None:
        real(lake, head.model_copy(update={"number": snapshots.next_number(lake)}))

    patch.setattr(snapshot, "create_snapshot", create)


def _head_first(patch: Patch) -> None:
    def create(lake: Any, head: Any) -> None:
        lake.root.create(layout.snapshot_head_path(head.number), head.model_dump_json(indent=1).encode())
        for kind in sorted({file.kind for file in head.files}):
            lake.root.create(layout.snapshot_manifest_path(head.number, kind), b"uris\n")

    patch.setattr(snapshot, "create_snapshot", create)


def _no_second_try(patch: Patch) -> None:
    patch.setattr(chain, "_APPEND_RACES", 1)


def _own_segment_unknown(patch: Patch) -> None:
    real, segment = Root.read, layout.segment_path(0)
    calls = [0]

    def read(self: Root, path: str, *span: Any) -> bytes:
        calls[0] += path == segment
        return b"" if path == segment and calls[0] == 1 else real(self, path, *span)

    patch.setattr(Root, "read", read)


def _nothing_expected(patch: Patch) -> None:
    patch.setattr(ledger.Ledger, "expect", lambda *_: None)


def _records_before_objects(patch: Patch) -> None:
    listed, read, held = gc.list_lake, gc.read_records, []

    def list_lake(lake: Any, folder: Path, report: Any) -> Any:
        held.append(read(lake, folder))
        return listed(lake, folder, report)

    # What a scenario replaces is `gc.list_lake`: it takes this one for the real one.
    patch.setattr(gc, "list_lake", list_lake)
    patch.setattr(gc, "read_records", lambda *_: held[-1])
    patch.setattr(gc_superseded, "seal", lambda *_: True)


def _no_grace(patch: Patch) -> None:
    patch.setattr(gc, "settled", lambda *_: Grace(0.0, 0.0, (), 0.0))


S = scenarios
GUARDS = (
    Guard("a create is refused when it is not the first", _overwriting, S.the_first_commit_holds),
    Guard("who is refused reads the holder", _no_look_at_the_holder, S.a_commit_whose_answer_was_lost_is_ours),
    Guard("gc asks who holds what it seals", _own_commit_taken_for_granted, S.a_seal_knows_a_worker),
    Guard("objects are looked at before the commit", _objects_unseen, S.a_commit_names_what_is_there),
    Guard("exists already is success if the bytes agree", _any_bytes_will_do, S.other_bytes_under_a_name_are_told),
    Guard("bytes are synced before they get a name", _bytes_not_synced, S.power_that_fails_leaves_whole_files_or_none),
    Guard("moved bytes are synced, too", _moved_bytes_not_synced, S.power_that_fails_leaves_whole_files_or_none),
    Guard("a name is synced before it is relied on", _names_not_synced, S.power_that_fails_leaves_whole_files_or_none),
    Guard("written elsewhere, then linked", _written_in_place, S.power_that_fails_leaves_whole_files_or_none),
    Guard("a run's number is taken exclusively", _number_taken_twice, S.a_number_is_taken_once),
    Guard("a worker past its deadline never commits", _no_deadline, S.who_is_late_does_not_commit),
    Guard("a worker looks whether its run is closed", _closed_unseen, S.who_works_for_a_closed_run_does_not_commit),
    Guard("readers follow commits", _by_glob, S.readers_follow_commits_only),
    Guard("a snapshot's number is fixed before it reads", _number_fixed_late,
          S.of_two_snapshots_the_later_has_looked_later),
    Guard("a snapshot's head is created last", _head_first, S.a_snapshot_is_there_when_all_of_it_is),
    Guard("who loses a segment tries the next", _no_second_try, S.both_of_two_who_append_at_once_are_heard),
    Guard("who is refused a segment compares it with its own", _own_segment_unknown,
          S.an_append_whose_answer_was_lost_is_not_made_twice),
    Guard("a ledger is as long as what was decided on it", _nothing_expected,
          S.a_ledger_that_has_lost_its_end_is_refused),
    Guard("gc reads commits after it has listed objects, and seals", _records_before_objects,
          S.gc_spares_who_commits_while_it_looks),
    Guard("gc has a grace", _no_grace, S.gc_spares_what_is_young),
)  # fmt: skip
