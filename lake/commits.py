"""Commits: the truth about a unit. The first one created holds, for ever; only erasure adds a generation."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from itertools import tee

from lake import layout
from lake.lake import Lake
from lake.reading import read_each
from lake.storage import Missing, ObjectInfo
from schemas.errors import AlreadyExists, ConfigError, LakeError
from schemas.model import parse
from schemas.records import Commit

_NAME = re.compile(r"(?P<unit_id>[^/.]+)\.(?P<generation>\d+)\.json")


def read_commit(lake: Lake, run_id: str, unit_id: str) -> Commit | None:
    """The unit's commit of the highest generation; None where it is not committed."""
    found: Commit | None = None
    generation = 0
    while (commit := _read(lake, run_id, unit_id, generation)) is not None:
        found, generation = commit, generation + 1
    return found


def read_generation(lake: Lake, run_id: str, unit_id: str, generation: int) -> Commit | None:
    """One generation of the unit's commit, whether it holds or not; None where it was never made."""
    return _read(lake, run_id, unit_id, generation)


def create_commit(lake: Lake, commit: Commit) -> Commit:
    """Creates the commit, and returns the one that holds: this one, or an earlier writer's.

    Every object that it names is looked at first: a commit never promises what is not there. A refusal whose holder
    bears this writer's token is a success whose acknowledgement was lost.
    """
    path = layout.commit_path(commit.run_id, commit.unit_id, commit.generation)
    fault = _fault(lake, commit)
    if fault is not None:
        # Whoever comes so late that its objects are swept or erased already finds the commit of whoever was in time.
        holder = _read(lake, commit.run_id, commit.unit_id, commit.generation)
        if holder is None:
            raise LakeError(f"{lake.root.uri_of(path)} is not committed: {fault}")
        return holder
    try:
        lake.root.create(path, commit.model_dump_json().encode())
    except AlreadyExists:
        holder = _read(lake, commit.run_id, commit.unit_id, commit.generation)
        if holder is None:
            raise LakeError(f"{lake.root.uri_of(path)} refuses to be created and cannot be read") from None
        return holder
    return commit


def _fault(lake: Lake, commit: Commit) -> str | None:
    for stored in commit.objects:
        size = lake.root.size(stored.path)
        if size != stored.size_bytes:
            found = "does not exist" if size is None else f"has {size} bytes instead of {stored.size_bytes}"
            return f"{stored.path}, which it names, {found}"
    return None


def committed_units(lake: Lake, run_id: str) -> dict[str, int]:
    """Every committed unit of a run with its highest generation, from one listing."""
    return {unit_id: generation for unit_id, (generation, _) in _listed(lake, run_id).items()}


def read_commits(lake: Lake, run_id: str, unit_ids: Iterable[str] | None = None) -> Iterator[Commit]:
    """The current commits of a run, in order of unit; several are read at a time, for latency."""
    listed = _listed(lake, run_id)
    wanted = sorted(listed if unit_ids is None else set(unit_ids) & set(listed))
    yield from read_listed(lake, (listed[unit_id][1] for unit_id in wanted))


def list_commits(lake: Lake, run_id: str) -> Iterator[tuple[str, int, ObjectInfo]]:
    """Every commit of a run as it is listed: unit, generation, and where it lies; in no order, in bounded memory."""
    for info in lake.root.list(layout.commit_folder(run_id)):
        name = _NAME.fullmatch(info.path.rpartition("/")[2])
        if name is not None:  # else it is not ours: a file manager's, say
            yield name["unit_id"], int(name["generation"]), info


def read_listed(lake: Lake, infos: Iterable[ObjectInfo]) -> Iterator[Commit]:
    """The commits that lie there, in the order given; several are read at a time, for latency."""
    infos, again = tee(infos)
    for info, text in zip(infos, read_each(lake.root, again), strict=True):
        yield _parsed(lake, info.path, text)


def _listed(lake: Lake, run_id: str) -> dict[str, tuple[int, ObjectInfo]]:
    """The highest generation of every committed unit, and where it lies."""
    units: dict[str, tuple[int, ObjectInfo]] = {}
    for unit_id, generation, info in list_commits(lake, run_id):
        if unit_id not in units or generation > units[unit_id][0]:
            units[unit_id] = (generation, info)
    return units


def _read(lake: Lake, run_id: str, unit_id: str, generation: int) -> Commit | None:
    path = layout.commit_path(run_id, unit_id, generation)
    try:
        text = lake.root.read(path)
    except Missing:
        return None
    return _parsed(lake, path, text)


def _parsed(lake: Lake, path: str, text: bytes) -> Commit:
    try:
        return parse(Commit, json.loads(text), lake.root.uri_of(path))
    except (ValueError, ConfigError) as error:
        raise LakeError(f"{lake.root.uri_of(path)} is not a commit: {error}") from None
