"""A scan from its first listing to its report, on any engine, in a folder of its own in which it can be resumed.

    scan.json                what was asked, and when the first listing began
    listings/<n>.json        the batches of one listing, written when it is done
    batches/, receipts/      what is to be looked through, and what was found

What goes away before it is looked at may lie elsewhere by now, under the name that a writer gave it in the end. So the
roots are listed again, and what is new is looked through, until nothing goes away meanwhile; five times at most.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from lake.storage import Missing, Root
from pipelines.engines.contract import Engine, Settings, Task
from pipelines.verify.needles import Needles
from pipelines.verify.report import ScanReport
from pipelines.verify.scan import LISTINGS, folded, still_moving, targets
from pipelines.verify.work import ScanWork, put_batches, targets_of
from schemas.errors import AlreadyExists, ConfigError, LakeError, RunStopped

_BEGUN = "scan.json"

Show = Callable[[int, int], None]
"""Told how many batches are done, of how many that are known so far."""


def scan_on(
    engine: Engine, settings: Settings, roots: Sequence[Root], needles: Needles, work: ScanWork,
    asked: Mapping[str, Any], show: Show = lambda _done, _known: None,
) -> ScanReport:  # fmt: skip
    """Looks through everything below `roots`, or goes on with it. `asked`, as JSON, tells this scan from others.

    Raises ConfigError where the folder holds another scan; RunStopped and LakeError where it must be started again, and
    then it goes on with what has no receipt yet.
    """
    folder = Root(work.folder_uri)
    listed_at = _begin(folder, asked)
    parts: dict[str, ScanReport] = {}
    last: dict[str, ScanReport] = {}
    for number in range(LISTINGS):
        tasks = _listed(folder, number)
        if tasks is None:
            tasks = _list(folder, number, targets(roots, work.without, _looked_at(folder, parts)))
        last = _looked(engine, settings, work, tasks, show, len(parts))
        parts |= last
        if not any(part.gone for part in last.values()):
            break
    return folded([*parts.values(), *still_moving(last.values(), roots)], roots, needles, work.without, listed_at)


def clear(folder: Root) -> None:
    """Removes what a scan that is done has left in its folder."""
    for info in sorted(folder.list(), key=lambda info: info.path == _BEGUN):
        folder.delete(info.path)


def _begin(folder: Root, asked: Mapping[str, Any]) -> datetime:
    """When its first listing began. Its beginning is the first thing in the folder, and the last that goes."""
    begun = {"asked": dict(asked), "listed_at": datetime.now(UTC).isoformat()}
    held = _json(folder, _BEGUN)
    if held is None:
        if next(iter(folder.list()), None) is not None:
            raise ConfigError(f"{folder.uri} holds something else than a scan; name a folder that is empty or absent")
        with suppress(AlreadyExists):
            folder.create(_BEGUN, json.dumps(begun).encode())
        held = _json(folder, _BEGUN) or begun
    if held.get("asked") != begun["asked"]:
        raise ConfigError(f"{folder.uri} holds a scan for other needles or of other places; name another folder")
    return datetime.fromisoformat(held["listed_at"])


def _list(folder: Root, number: int, found: Iterable[Any]) -> list[Task]:
    tasks = list(put_batches(folder, number, found))
    with suppress(AlreadyExists):
        folder.create(_listing(number), json.dumps([[task.name, task.estimated_s] for task in tasks]).encode())
    return _listed(folder, number) or tasks


def _listed(folder: Root, number: int) -> list[Task] | None:
    held = _json(folder, _listing(number))
    return None if held is None else [Task(name, size) for name, size in held]


def _listing(number: int) -> str:
    return f"listings/{number}.json"


def _looked_at(folder: Root, parts: Mapping[str, ScanReport]) -> set[int]:
    """The places that have been looked at, by their hashes."""
    gone = {one for part in parts.values() for one in part.gone}
    every = (target.place.hashed(target.root) for batch in parts for target in targets_of(folder, batch))
    return {place for place in every if place not in gone}


def _looked(
    engine: Engine, settings: Settings, work: ScanWork, tasks: Sequence[Task], show: Show, before: int
) -> dict[str, ScanReport]:
    """The receipt of every task, from the store, whatever the engine says."""
    wanted = {task.name for task in tasks}
    held = {name: part for name, part in work.receipts() if name in wanted}
    left = [task for task in tasks if task.name not in held]
    if left:
        with contextlib.closing(engine(left, work, settings)) as receipts:
            for done, _ in enumerate(receipts, len(held) + 1):
                show(before + done, before + len(tasks))
    held |= {name: part for name, part in work.receipts(held) if name in wanted}
    if missing := wanted - held.keys():
        raise RunStopped(f"{len(missing)} of {len(wanted)} batches have no receipt; start the same scan again")
    return held


def _json(folder: Root, path: str) -> Any:
    try:
        return json.loads(folder.read(path))
    except Missing:
        return None
    except ValueError as error:
        raise LakeError(f"{folder.uri_of(path)} is no part of a scan: {error}") from None
