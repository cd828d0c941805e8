"""Processes that fetch and decode ahead of the one that has the models, so that a GPU does not wait for a codec.

They are a help and never the last word: what a decoder does not bring (it died, ran out of memory, failed), the worker
fetches and decodes itself, where its supervisor sees whose fault it is.
"""

from __future__ import annotations

import logging
import os
import pickle
import resource
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from pipelines.child import die_with
from pipelines.fetch import fetch
from schemas.errors import Rejected
from schemas.source import Source
from transforms.decode import DecodeConfig
from transforms.decode.stage import decode
from transforms.items import Decoded

log = logging.getLogger("provoice.worker")


class NotDecoded(Exception):
    """The decoder brought nothing; why does not matter, for the source is decoded again."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A source to fetch and decode. `folder` exists and is its own; what is fetched and decoded lies in it."""

    root_uri: str
    source: Source
    folder: Path
    config: DecodeConfig


@dataclass(frozen=True, slots=True)
class Brought:
    """The bytes on this machine, their SHA-256, what they decode to, and the CPU seconds of each step.

    `decoded` is None where decoding rejects it: the worker comes to that itself, in its own order.
    """

    local_path: Path
    source_sha256: str
    decoded: Decoded | None
    seconds: Mapping[str, float]


class Decoders:
    """`count` processes with one source in hand each. `memory_bytes` bounds the data of each."""

    def __init__(self, count: int, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="decoder")
        self._own = threading.local()
        self._all: set[subprocess.Popen[bytes]] = set()

    def ask(self, asked: Asked) -> Future[Brought | Rejected]:
        """What becomes of it: Rejected by fetching, or what was brought. The future raises NotDecoded."""
        return self._threads.submit(self._answer, asked)

    def close(self) -> None:
        """Ends the processes; what they have in hand is NotDecoded."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in tuple(self._all):
            process.kill()
            process.wait()
        self._threads.shutdown(wait=True)

    def _answer(self, asked: Asked) -> Brought | Rejected:
        try:
            connection = self._connection()
            connection.send(asked)
            answer = connection.recv()
        except (OSError, EOFError, pickle.PickleError) as error:
            self._drop()
            raise NotDecoded(str(error)) from None
        if isinstance(answer, Brought | Rejected):
            return answer
        log.debug("a decoder failed at %s: %s", asked.source.path, answer)
        raise NotDecoded(str(answer))

    def _connection(self) -> Connection[Asked, object]:
        """This thread's decoder, started where it has none."""
        if getattr(self._own, "process", None) is None:
            ours, theirs = Pipe()
            # A plain process: the worker is a daemon of multiprocessing's, and those may have no children of that kind.
            code = f"from {__name__} import main; main()"
            command = [sys.executable, "-c", code, *map(str, (theirs.fileno(), os.getpid(), self._memory_bytes))]
            path = os.pathsep.join(entry for entry in sys.path if entry)
            process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], env={**os.environ, "PYTHONPATH": path}, stdin=subprocess.DEVNULL
            )
            theirs.close()
            self._all.add(process)
            self._own.process, self._own.connection = process, ours
        return self._own.connection  # type: ignore[no-any-return]

    def _drop(self) -> None:
        process = getattr(self._own, "process", None)
        if process is not None:
            self._own.connection.close()
            process.kill()
            process.wait()
            self._all.discard(process)
            self._own.process = None


def serve(connection: Connection[object, Asked]) -> None:
    """Answers until the other end closes: Brought, Rejected, or one line about a failure."""
    while True:
        try:
            asked = connection.recv()
        except (EOFError, OSError):
            return
        try:
            connection.send(_brought(asked))
        except Rejected as rejected:
            connection.send(rejected)
        except Exception as error:  # noqa: BLE001 - whatever it is, the worker tries again, and is heard
            connection.send(f"{type(error).__name__}: {error}")


def _brought(asked: Asked) -> Brought:
    seconds: dict[str, float] = defaultdict(float)
    with _timed(seconds, "fetch"):
        path, sha256 = fetch(asked.root_uri, asked.source, asked.folder, asked.config.max_bytes)
    with _timed(seconds, "decode"):
        try:
            decoded: Decoded | None = decode(path, asked.folder, asked.config)
        except Rejected:
            decoded = None
    return Brought(path, sha256, decoded, dict(seconds))


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    began = time.process_time()
    try:
        yield
    finally:
        seconds[name] += time.process_time() - began


def main() -> None:
    """A decoder's whole life; it ends with the worker that started it."""
    descriptor, worker_pid, memory_bytes = map(int, sys.argv[1:])
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    threading.Thread(target=die_with, args=(worker_pid,), daemon=True, name="watch").start()
    serve(Connection(descriptor))
