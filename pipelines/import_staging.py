"""Events on their way into the ledger, checked one by one and kept on this machine's disk until all of them are.

Worker processes check; what they find is kept twice: the lines as the ledger will have them, and narrow columns, by
which DuckDB finds what is said twice or contradicts itself.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import datetime
from hashlib import blake2b
from multiprocessing import get_context
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lake.projection import digests
from pipelines.grants import Lines, events_in, read_lines
from schemas.errors import LakeError
from schemas.ledger import Event, EventType

NARROW = pa.schema(
    [
        ("n", pa.int64()),
        ("file", pa.int32()),
        ("line", pa.int64()),
        ("type", pa.string()),
        ("subject_id", pa.string()),
        ("grant_id", pa.string()),
        ("e_high", pa.uint64()),
        ("e_low", pa.uint64()),
        ("g_high", pa.uint64()),
        ("g_low", pa.uint64()),
        ("words", pa.binary(16)),
    ]
)
"""An event as it is compared: which one of the import it is, where it stands, the names of its id and of its grant
(`lake.projection.name_of`), and for a given grant a digest of its words."""

_TEXTS = pa.schema([("text", pa.binary())])
_LZ4 = pa.ipc.IpcWriteOptions(compression="lz4")
_GRANT = b'"grant":{'
_ALONE_BYTES = 16 << 20
"""Files of no more in all are checked without worker processes, which take a second to start."""


class Staging:
    """Checked events on disk, numbered from 0 in the order of the files."""

    def __init__(self, folder: Path) -> None:
        self.narrow = folder / "narrow.parquet"
        self.events = 0
        self.files: list[str] = []
        self._texts = folder / "texts"
        self._blocks: list[tuple[int, int, int]] = []
        """First event, offset and size of each block of texts."""

    def fill(self, paths: Sequence[Path], recorded_at: datetime, report: Callable[[int], None]) -> None:
        """Checks and keeps every event of the files. `report` is told of events as they are checked.

        Raises ConfigError naming file and line of the first that is refused.
        """
        self.files = [str(path) for path in paths]
        chunks = ((number, lines) for number, path in enumerate(paths) for lines in read_lines(path))
        is_small = sum(path.stat().st_size for path in paths if path.is_file()) <= _ALONE_BYTES
        checked = _here(chunks, recorded_at) if is_small else _in_processes(chunks, recorded_at)
        with pq.ParquetWriter(self.narrow, NARROW, compression="none") as narrow, self._texts.open("wb") as texts:
            for number, (columns, block) in checked:
                table = pa.ipc.open_stream(columns).read_all()
                n = pa.array(np.arange(self.events, self.events + len(table)))
                file = pa.array(np.full(len(table), number, np.int32))
                narrow.write_table(table.add_column(0, "file", file).add_column(0, "n", n).cast(NARROW))
                self._keep(texts, block, len(table))
                report(self.events)

    def _keep(self, texts: BinaryIO, block: bytes, events: int) -> None:
        self._blocks.append((self.events, texts.tell(), len(block)))
        texts.write(block)
        self.events += events

    def texts(self, but: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Iterator[list[bytes]]:
        """Lines of the ledger, some thousand at a time, without the events of these numbers, which are sorted."""
        with self._texts.open("rb") as file:
            for first, offset, size in self._blocks:
                table = _block(file, offset, size)
                gone = but[np.searchsorted(but, first) : np.searchsorted(but, first + len(table))] - first
                kept = np.ones(len(table), bool)
                kept[gone] = False
                yield table.filter(pa.array(kept))["text"].to_pylist() if len(gone) else table["text"].to_pylist()

    def event(self, n: int) -> Event:
        """The event of this number, whole."""
        first, offset, size = next(block for block in reversed(self._blocks) if block[0] <= n)
        with self._texts.open("rb") as file:
            return Event.model_validate_json(_block(file, offset, size)["text"][n - first].as_py())


def _block(file: BinaryIO, offset: int, size: int) -> pa.Table:
    file.seek(offset)
    return pa.ipc.open_stream(file.read(size)).read_all()


Checked = tuple[bytes, bytes]
"""Narrow columns without `n` and `file`, and texts, each as an Arrow stream."""


def check(lines: Lines, recorded_at: datetime) -> Checked:
    """Events as they are kept. Raises ConfigError naming file and line of the first that is refused."""
    numbers: list[int] = []
    events: list[Event] = []
    texts: list[bytes] = []
    for number, event, text in events_in(lines, recorded_at):
        numbers.append(number)
        events.append(event)
        texts.append(text)
    columns = {
        "line": pa.array(numbers, pa.int64()),
        "type": pa.array([event.type.value for event in events], pa.string()),
        "subject_id": pa.array([event.subject_id for event in events], pa.string()),
        "grant_id": pa.array([event.grant_id for event in events], pa.string()),
        **_halves("e", [event.event_id for event in events]),
        **_halves("g", [event.grant_id for event in events]),
        "words": pa.array([words_of(event, text) for event, text in zip(events, texts, strict=True)], pa.binary(16)),
    }
    return _stream(pa.table(columns), None), _stream(pa.table({"text": texts}, _TEXTS), _LZ4)


def text_of(event: Event) -> bytes:
    """The event as a line of the ledger, without its end."""
    return event.model_dump_json(exclude_none=True).encode()


def words_of(event: Event, text: bytes) -> bytes | None:
    """A digest of the words of the grant that is given, and of what stands behind them in the line."""
    if event.type is not EventType.GIVEN:
        return None
    return blake2b(text[text.index(_GRANT) :], digest_size=16).digest()


def _halves(prefix: str, words: Sequence[str | None]) -> dict[str, pa.Array]:
    names = np.frombuffer(digests(prefix, [word or "" for word in words]), ">u8").astype(np.uint64).reshape(-1, 2)
    nobody = np.array([word is None for word in words], bool)
    return {
        f"{prefix}_high": pa.array(names[:, 0], mask=nobody),
        f"{prefix}_low": pa.array(names[:, 1], mask=nobody),
    }


def _stream(table: pa.Table, options: pa.ipc.IpcWriteOptions | None) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _here(chunks: Iterable[tuple[int, Lines]], recorded_at: datetime) -> Iterator[tuple[int, Checked]]:
    return ((number, check(lines, recorded_at)) for number, lines in chunks)


def _in_processes(chunks: Iterable[tuple[int, Lines]], recorded_at: datetime) -> Iterator[tuple[int, Checked]]:
    """In order, a few chunks ahead of whoever asks, by as many processes as there are cores."""
    cores = len(os.sched_getaffinity(0))
    waiting: deque[tuple[int, Future[Checked]]] = deque()
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        try:
            for number, lines in chunks:
                if len(waiting) > 2 * cores:
                    done, future = waiting.popleft()
                    yield done, future.result()
                waiting.append((number, pool.submit(check, lines, recorded_at)))
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        except BrokenProcessPool:
            raise LakeError("a process that checked lines was ended from outside; nothing was written") from None
        finally:
            for _, future in waiting:
                future.cancel()
