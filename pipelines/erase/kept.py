"""What stores keep by themselves of what was deleted: older versions go, and what cannot go is named, with its end."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from lake import versions
from lake.commits import read_commit
from lake.lake import Lake
from lake.local_create import is_unfinished
from lake.releases import list_releases
from lake.runs import list_runs
from lake.snapshots import newest_snapshot
from lake.storage import ObjectInfo, Root
from pipelines.erase.certificate import Remaining
from pipelines.gc_names import UNIT_FOLDERS, UNIT_OBJECT
from schemas.errors import LakeError

_UNIT = re.compile(UNIT_OBJECT)
_OURS = (*UNIT_FOLDERS, "runs/", "snapshots/", "releases/")
_RECORDS = re.compile(r"runs/\d+/(?:run\.\d+\.json|config\.yaml)|releases/[^/]+/\d+/(?:release|replaced)\.json")
_SHOWN = 20


@dataclass
class Kept:
    """Versions that were removed, and everything that a store does not let go."""

    versions: int = 0
    size_bytes: int = 0
    remaining: list[Remaining] = field(default_factory=list)


def purge_lake(lake: Lake, removed: int, now: datetime) -> Kept:
    """Removes versions of what nothing in the lake names any more. What somebody deleted by mistake, and a commit still
    names, is left: its versions are all there is of it."""
    return _purge(lake.root, _Unnamed(lake), removed, now)


def purge_paths(root: Root, paths: Iterable[str], now: datetime) -> Kept:
    """Removes versions of these objects, which were deleted."""
    wanted = frozenset(paths)
    return _purge(root, wanted.__contains__, len(wanted), now, sorted(wanted))


def _purge(
    root: Root, is_wanted: Callable[[str], bool], removed: int, now: datetime, prefixes: Iterable[str] = ("",)
) -> Kept:
    kept = Kept()
    try:
        keeps = versions.keeps(root)
    except LakeError as error:
        why = f"what {root.uri} keeps of deleted objects may not be asked: {error}"
        kept.remaining.append(Remaining(what="unknown versions", count=removed, why=why))
        return kept
    if keeps.versions:
        for prefix in prefixes:
            kept.remaining += _removed(root, prefix, is_wanted, kept)
    if keeps.soft_delete_s and removed + kept.versions:
        why = f"{root.uri} brings back what was deleted, for {keeps.soft_delete_s:,} s; nobody can shorten that"
        until = now + keeps.soft_delete
        count = removed + kept.versions
        kept.remaining.append(Remaining(what="soft-deleted objects", count=count, why=why, recoverable_until=until))
    return kept


def _removed(root: Root, prefix: str, is_wanted: Callable[[str], bool], kept: Kept) -> Iterator[Remaining]:
    refused: list[versions.Refused] = []
    for version in versions.noncurrent(root, prefix):
        if not is_wanted(version.path):
            continue
        said = versions.delete_version(root, version)
        if said is not None:
            refused.append(said)
        elif not version.is_marker:
            kept.versions += 1
            kept.size_bytes += version.size_bytes
    held = [one for one in refused if not one.version.is_marker]
    if held:
        ends = [one.until for one in held]
        yield Remaining(
            what="versions that the store holds", count=len(held), why=held[0].why,
            where=tuple(root.uri_of(one.version.path) for one in held[:_SHOWN]),
            recoverable_until=None if None in ends else max(end for end in ends if end is not None),
        )  # fmt: skip


class _Unnamed:
    """Whether a path is one of ours, and nothing names it."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._units: dict[tuple[str, str], frozenset[str]] = {}
        self._small: frozenset[str] | None = None

    def __call__(self, path: str) -> bool:
        if is_unfinished(path):
            return True
        if not path.startswith(_OURS) or _RECORDS.fullmatch(path):
            return False
        found = _UNIT.fullmatch(path)
        if found is not None:
            return path not in self._of_unit(found[1], found[2])
        if path.startswith(UNIT_FOLDERS):
            return True
        if self._small is None:
            self._small = _named(self._lake)
        return path not in self._small

    def _of_unit(self, run_id: str, unit_id: str) -> frozenset[str]:
        unit = run_id, unit_id
        if unit not in self._units:
            commit = read_commit(self._lake, run_id, unit_id)
            objects = commit.objects if commit is not None else ()
            self._units[unit] = frozenset(stored.path for stored in objects)
        return self._units[unit]


def _named(lake: Lake) -> frozenset[str]:
    """Plans, reports, files of the newest snapshot, indexes."""
    named = {run.plan.path for run in list_runs(lake)} | {run.report for run in list_runs(lake) if run.report}
    named |= {stored.path for release in list_releases(lake) for stored in release.index}
    head = newest_snapshot(lake)
    if head is not None:
        named |= {head.commits.path, *(file.path for file in head.files)}
        named |= {info.path for info in _listed(lake, "snapshots")}
    return frozenset(named)


def _listed(lake: Lake, folder: str) -> Iterator[ObjectInfo]:
    """What is there now is current, whatever names it."""
    yield from lake.root.list(folder)
