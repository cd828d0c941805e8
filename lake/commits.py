"""Commits: the truth about a unit. The first one created holds, for ever; only erasure adds a generation."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from lake import layout
from lake.lake import Lake
from lake.storage import Missing
from schemas.errors import AlreadyExists, ConfigError, LakeError
from schemas.model import parse
from schemas.records import Commit

_READERS = 16


def read_commit(lake: Lake, run_id: str, unit_id: str) -> Commit | None:
    """The unit's commit of the highest generation; None where it is not committed."""
    found: Commit | None = None
    generation = 0
    while (commit := _read(lake, run_id, unit_id, generation)) is not None:
        found, generation = commit, generation + 1
    return found


def create_commit(lake: Lake, commit: Commit) -> Commit:
    """Creates the commit, and returns the one that holds: this one, or an earlier writer's.

    A refusal whose holder bears this writer's token is a success whose acknowledgement was lost.
    """
    path = layout.commit_path(commit.run_id, commit.unit_id, commit.generation)
    try:
        lake.root.create(path, commit.model_dump_json().encode())
    except AlreadyExists:
        holder = _read(lake, commit.run_id, commit.unit_id, commit.generation)
        if holder is None:
            raise LakeError(f"{lake.root.uri_of(path)} refuses to be created and cannot be read") from None
        return holder
    return commit


def committed_units(lake: Lake, run_id: str) -> dict[str, int]:
    """Every committed unit of a run with its highest generation, from one listing."""
    units: dict[str, int] = {}
    for info in lake.root.list(layout.commit_folder(run_id)):
        unit_id, generation, _ = info.path.rsplit("/", 1)[-1].rsplit(".", 2)
        units[unit_id] = max(units.get(unit_id, 0), int(generation))
    return units


def read_commits(lake: Lake, run_id: str, unit_ids: Iterable[str] | None = None) -> Iterator[Commit]:
    """The current commits of a run, in order of unit; several are read at a time, for latency."""
    generations = committed_units(lake, run_id)
    wanted = sorted(generations if unit_ids is None else set(unit_ids) & set(generations))
    with ThreadPoolExecutor(_READERS) as pool:
        for commit in pool.map(lambda unit: _read(lake, run_id, unit, generations[unit]), wanted):
            if commit is not None:
                yield commit


def _read(lake: Lake, run_id: str, unit_id: str, generation: int) -> Commit | None:
    path = layout.commit_path(run_id, unit_id, generation)
    try:
        text = lake.root.read(path)
    except Missing:
        return None
    try:
        return parse(Commit, json.loads(text), lake.root.uri_of(path))
    except (ValueError, ConfigError) as error:
        raise LakeError(f"{lake.root.uri_of(path)} is not a commit: {error}") from None
