"""Runs: a run's number is its place in the one order; whoever creates its record first has it."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from lake import layout
from lake.lake import Lake
from lake.plans import PlannedUnit, plan_batches, read_plan_units, read_unit
from lake.reading import read_each
from lake.storage import Missing, ObjectInfo
from schemas.errors import AlreadyExists, ConfigError, LakeError
from schemas.model import parse
from schemas.records import RunRecord, StoredObject

__all__ = [
    "PlannedUnit", "create_run", "find_run", "list_runs", "plan_batches", "put_plan", "read_plan_units", "read_run",
    "read_unit", "reread_run", "revise_run",
]  # fmt: skip

_RECORD = re.compile(r"runs/(?P<number>\d{6,})/run\.(?P<generation>\d+)\.json")


def list_runs(lake: Lake) -> list[RunRecord]:
    """Every run in its highest generation, in order of number.

    A listing may be behind what was written. Numbers have no gaps, so what it leaves out is asked for by name, and
    so is the one after the last.
    """
    newest: dict[int, tuple[int, ObjectInfo]] = {}
    for info in lake.root.list("runs"):
        name = _RECORD.fullmatch(info.path)
        if name is None:
            continue  # a plan, a report, or not ours
        number, generation = int(name["number"]), int(name["generation"])
        if number not in newest or generation > newest[number][0]:
            newest[number] = (generation, info)
    infos = [newest[number][1] for number in sorted(newest)]
    found = [_parsed(lake, info.path, text) for info, text in zip(infos, read_each(lake.root, infos), strict=True)]
    left_out = [number for number in range(1, max(newest, default=0)) if number not in newest]
    found += [run for number in left_out if (run := _run_or_none(lake, number)) is not None]
    last = max(newest, default=0)
    while (run := _run_or_none(lake, last + 1)) is not None:
        found.append(run)
        last = run.number
    return sorted(found, key=lambda run: run.number)


def _run_or_none(lake: Lake, number: int) -> RunRecord | None:
    try:
        return read_run(lake, number)
    except Missing:
        return None


def find_run(lake: Lake, run_id: str) -> RunRecord | None:
    """The run called `run_id`."""
    return next((run for run in list_runs(lake) if run.run_id == run_id), None)


def read_run(lake: Lake, number: int) -> RunRecord:
    """The run of that number in its highest generation; costs no listing. Raises Missing where there is none."""
    path = layout.run_path(number, 0)
    return reread_run(lake, _parsed(lake, path, lake.root.read(path)))


def reread_run(lake: Lake, run: RunRecord) -> RunRecord:
    """The highest generation of a run that is known already; costs no listing."""
    while lake.root.exists(layout.run_path(run.number, run.generation + 1)):
        path = layout.run_path(run.number, run.generation + 1)
        run = _parsed(lake, path, lake.root.read(path))
    return run


def create_run(lake: Lake, record: RunRecord) -> RunRecord:
    """Creates the run under its number. Raises AlreadyExists when another planner has that number."""
    path, text = layout.run_path(record.number, record.generation), _json(record)
    try:
        lake.root.create(path, text)
    except AlreadyExists:
        # The same bytes are our own: the store had created them, and the answer was lost.
        if lake.root.read(path) != text:
            raise
    return record


def revise_run(lake: Lake, record: RunRecord) -> RunRecord:
    """Writes `record` as the next generation of its run. Raises AlreadyExists when another revision came first."""
    return create_run(lake, record.model_copy(update={"generation": record.generation + 1}))


def put_plan(lake: Lake, local_path: Path, number: int) -> StoredObject:
    """Stores a finished plan under its digest, and gives up the local file; a run record names it afterwards."""
    with local_path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    size = local_path.stat().st_size
    path = layout.plan_path(number, sha256)
    lake.root.put(path, local_path, sha256)
    return StoredObject(kind="plan", path=path, size_bytes=size, sha256=sha256)


def _json(record: RunRecord) -> bytes:
    return record.model_dump_json(indent=1).encode()


def _parsed(lake: Lake, path: str, text: bytes) -> RunRecord:
    try:
        return parse(RunRecord, json.loads(text), lake.root.uri_of(path))
    except (ValueError, ConfigError) as error:
        raise LakeError(f"{lake.root.uri_of(path)} is not a run: {error}") from None
