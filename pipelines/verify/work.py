"""A scan as tasks that any engine maps: batches of objects, each with a receipt of what was found in it.

Receipts lie in a folder of the scan's own, outside the lake. Workers open the seal where it lies, for what travels
through an engine may stay behind in its spill. Each batch runs in a child process: a decoder that dies on an object
takes a child with it, and the object is then searched for words alone, and named as not opened.
"""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
import os
import tempfile
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lake.storage import Missing, Root
from pipelines.engines.contract import Task
from pipelines.verify.needles import Needles
from pipelines.verify.places import Place
from pipelines.verify.report import NotOpened, ScanReport, merged
from pipelines.verify.scan import Expectation, Target, look_at
from pipelines.verify.seal import key_from_environment, read_seal
from pipelines.verify.walk import Walker
from schemas.errors import AlreadyExists, LakeError, ProvoiceError, RunStopped
from schemas.model import parse

log = logging.getLogger("provoice.verify")

_BATCH_BYTES = 512 << 20
_BATCH_OBJECTS = 20_000
_TRIES = 4
"""Deaths of one batch's children, each of which names its culprit, before the scan gives up."""


@dataclass(frozen=True, slots=True)
class ScanWork:
    """Everything that a worker on any machine needs, as plain values; no needle is among them."""

    seal_uri: str
    folder_uri: str
    """Where batches and receipts lie."""
    expectations: tuple[Expectation, ...] = ()
    without: frozenset[str] = frozenset()

    def open(self, processes: int | None = None) -> ScanWorker:
        return ScanWorker(self, processes or os.cpu_count() or 1)

    def receipts(self, known: Collection[str] = ()) -> Iterator[tuple[str, ScanReport]]:
        folder = Root(self.folder_uri)
        for info in folder.list("receipts"):
            name = info.path.removeprefix("receipts/").removesuffix(".json")
            if name not in known:
                yield name, _read(folder, info.path)


class ScanWorker:
    """Looks through batches in child processes, at most `processes` at a time."""

    def __init__(self, work: ScanWork, processes: int) -> None:
        self.processes = processes
        self._work, self._folder = work, Root(work.folder_uri)
        self._free = threading.Semaphore(processes)
        self._children: set[multiprocessing.process.BaseProcess] = set()

    def run(self, task: Task) -> ScanReport:
        """The batch's receipt. Raises LakeError for the store, RunStopped where children die again and again."""
        path = f"receipts/{task.name}.json"
        with suppress(Missing):
            return _read(self._folder, path)
        with self._free, tempfile.TemporaryDirectory(prefix="provoice-scan-") as name:
            deadly: list[int] = []
            for _ in range(_TRIES):
                said = self._in_child(task.name, Path(name), deadly)
                if said is None:
                    return _read(self._folder, path)
                deadly.append(said)
        raise RunStopped(f"scanning batch {task.name} ended {_TRIES} child processes; run it again with --traceback")

    def close(self) -> None:
        for child in list(self._children):
            child.kill()

    def _in_child(self, batch: str, folder: Path, deadly: list[int]) -> int | None:
        """None when it is done; else the number of the object on which the child died."""
        in_hand, error = folder / "in_hand", folder / "error"
        in_hand.write_text("-1")
        context = multiprocessing.get_context("spawn")
        child = context.Process(target=_batch, args=(self._work, batch, tuple(deadly), str(in_hand), str(error)))
        child.start()
        self._children.add(child)
        child.join()
        self._children.discard(child)
        if child.exitcode == 0:
            return None
        if error.exists():
            raise LakeError(error.read_text())
        culprit = int(in_hand.read_text())
        if culprit < 0 or culprit in deadly:
            raise RunStopped(f"a child process of batch {batch} ended with {child.exitcode} between objects")
        log.warning("batch %s: a child process ended with %s on object %d", batch, child.exitcode, culprit)
        return culprit


def put_batches(folder: Root, listing: int, targets: Iterable[Target]) -> Iterator[Task]:
    """Writes what a listing shows as batches of half a gigabyte or so; a task for each."""
    batch: list[Target] = []
    held = 0
    for target in targets:
        if batch and (held + target.place.size_bytes > _BATCH_BYTES or len(batch) >= _BATCH_OBJECTS):
            yield _put(folder, listing, batch)
            batch, held = [], 0
        batch.append(target)
        held += target.place.size_bytes
    if batch:
        yield _put(folder, listing, batch)


def _put(folder: Root, listing: int, batch: list[Target]) -> Task:
    lines = [
        json.dumps([one.root.uri, one.place.path, one.place.size_bytes, one.place.state, one.place.version])
        for one in batch
    ]
    text = "\n".join(lines).encode()
    name = f"{listing}-{hashlib.sha256(text).hexdigest()[:24]}"
    with suppress(AlreadyExists):  # of a listing that was broken off
        folder.create(f"batches/{name}.jsonl", text)
    return Task(name, float(sum(one.place.size_bytes for one in batch) + len(batch)))


def targets_of(folder: Root, batch: str) -> Iterator[Target]:
    """What a batch holds."""
    roots: dict[str, Root] = {}
    for line in folder.read(f"batches/{batch}.jsonl").decode().splitlines():
        uri, path, size, state, version = json.loads(line)
        roots.setdefault(uri, Root(uri))
        yield Target(roots[uri], Place(path, size, state, version))


def _batch(work: ScanWork, batch: str, deadly: tuple[int, ...], in_hand: str, error: str) -> None:
    """What a child does. What ends it, other than a decoder, is left in the file `error`."""
    _silence()
    try:
        needles = read_seal(work.seal_uri, key_from_environment())
        report = merged(_looked(work, needles, batch, deadly, Path(in_hand)))
        with suppress(AlreadyExists):  # another worker had the same batch
            Root(work.folder_uri).create(f"receipts/{batch}.json", report.model_dump_json().encode())
    except Exception as said:  # noqa: BLE001 - handed to the parent, which says it; in here nobody hears
        name = "" if isinstance(said, ProvoiceError) else f"{type(said).__name__}: "
        Path(error).write_text(f"{name}{said}")
        raise SystemExit(1) from None


def _silence() -> None:
    """Decoders write what they think of a file to standard error by themselves."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def _looked(
    work: ScanWork, needles: Needles, batch: str, deadly: tuple[int, ...], in_hand: Path
) -> Iterator[ScanReport]:
    walker = Walker(needles, work.without)
    for number, target in enumerate(targets_of(Root(work.folder_uri), batch)):
        in_hand.write_text(str(number))
        is_deadly = number in deadly
        part = look_at(walker, target, work.expectations, work.without, words_only=is_deadly)
        if is_deadly:
            shown = target.root.uri_of(walker.redacted(target.place.path))
            missed = NotOpened(object=shown, state=target.place.state, version=target.place.version, reason=_DEADLY)
            part = part.model_copy(update={"not_opened": (*part.not_opened, missed)})
        yield part


_DEADLY = "a process that unpacked or decoded it died; it was searched as it lies, for words alone"


def _read(folder: Root, path: str) -> ScanReport:
    return parse(ScanReport, json.loads(folder.read(path)), folder.uri_of(path))
