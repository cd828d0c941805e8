"""What an erasure must remember to go on where it stopped: in `<ledger>/erasures/<number>/`, each file created once.

`started.json` says whom it is about; `closure-<look>.parquet` is what a look found, written before anything is changed,
for afterwards the lake itself does not know any more; `looked-<look>.json` says that all of it is done, and when to
look again. At the end `finished.json` is all that is said: closures, which name paths and recordings, go before it,
and `started.json`, which names people, after it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from lake import layout
from lake.lake import Lake
from lake.storage import Missing, Root
from schemas.errors import AlreadyExists, ConfigError, LakeError
from schemas.instants import Instant
from schemas.model import Frozen, parse
from schemas.records import FORMAT_VERSION

if TYPE_CHECKING:
    import pyarrow as pa

One = TypeVar("One", bound=Frozen)
_RACES = 20


class Started(Frozen):
    """`started.json`."""

    format_version: int = FORMAT_VERSION
    number: int
    lake: str
    subjects: tuple[str, ...]
    withdrawn_at: Instant
    """The last of their withdrawals."""
    raw: bool = False
    """Whether raw sources are to go, too."""
    began_at: Instant
    ledger_position: int


class Looked(Frozen):
    """`looked-<look>.json`: everything that the look found is gone. `again_at`: when workers that may still hold what
    was planned before can commit nothing any more; None: nobody was at work."""

    look: int
    done_at: Instant
    again_at: Instant | None
    found: int
    """Rows of plans and recordings, and releases, that it found."""
    removed: int = 0
    """Objects that it deleted."""
    removed_bytes: int = 0


class Finished(Frozen):
    """`finished.json`."""

    finished_at: Instant


class Erasure:
    """One erasure, as its files say."""

    def __init__(self, root: Root, started: Started) -> None:
        self.root = root
        self.started = started
        self._folder = layout.erasure_folder(started.number)

    @property
    def number(self) -> int:
        return self.started.number

    def closure(self, look: int) -> pa.Table | None:
        """What the look found; None where it has not written it down yet."""
        import pyarrow.parquet as pq

        try:
            data = self.root.read(f"{self._folder}/closure-{look}.parquet")
        except Missing:
            return None
        return pq.ParquetFile(io.BytesIO(data)).read(use_threads=False)

    def write_closure(self, look: int, touched: pa.Table) -> pa.Table:
        """Writes down what the look found, and returns what holds: this, or what another process wrote first."""
        import pyarrow.parquet as pq

        buffer = io.BytesIO()
        pq.write_table(touched, buffer, compression="zstd")
        with suppress(AlreadyExists):
            self.root.create(f"{self._folder}/closure-{look}.parquet", buffer.getvalue())
        held = self.closure(look)
        if held is None:
            raise LakeError(f"{self.root.uri_of(self._folder)}: what was found is gone again; start the command again")
        return held

    def looked(self, look: int) -> Looked | None:
        return _read(self.root, f"{self._folder}/looked-{look}.json", Looked)

    def write_looked(self, said: Looked) -> Looked:
        return _create(self.root, f"{self._folder}/looked-{said.look}.json", said)

    def finished(self) -> Finished | None:
        return _read(self.root, f"{self._folder}/finished.json", Finished)

    def forget(self, looks: int) -> list[str]:
        """Removes the closures of so many looks; their paths."""
        paths = [f"{self._folder}/closure-{look}.parquet" for look in range(1, looks + 1)]
        for path in paths:
            self.root.delete(path)
        return paths

    def finish(self, said: Finished) -> str:
        """Says that the erasure is done, and forgets whom it was about; the path of what is removed for that."""
        _create(self.root, f"{self._folder}/finished.json", said)
        path = f"{self._folder}/started.json"
        self.root.delete(path)
        return path


def unfinished(lake: Lake) -> list[Erasure]:
    """Every erasure of this lake that is not at its end, by number."""
    every = _begun(lake.ledger().root)
    return [one for one in every if one.started.lake == lake.root.uri and one.finished() is None]


def tidy(root: Root) -> None:
    """Forgets whom a finished erasure was about, where it died before it could."""
    for one in _begun(root):
        if (said := one.finished()) is not None:
            one.finish(said)


def open_erasure(root: Root, number: int) -> Erasure:
    """The erasure of that number. Raises LakeError where there is none."""
    started = _read(root, f"{layout.erasure_folder(number)}/started.json", Started)
    if started is None:
        raise LakeError(f"{root.uri} has no erasure {number}")
    return Erasure(root, started)


def begin(
    lake: Lake, subjects: tuple[str, ...], withdrawn_at: datetime, position: int, now: datetime, raw: bool
) -> Erasure:  # fmt: skip
    """The unfinished erasure of these people, or a new one. Raises ConfigError while one of other people is unfinished
    and not merely waiting: two at once would write the same units."""
    waiting = unfinished(lake)
    for one in waiting:
        if one.started.subjects == subjects and one.started.raw == raw:
            return one
    for one in waiting:
        if one.looked(1) is None:
            whom = " ".join(f"--subject {subject}" for subject in one.started.subjects)
            raw_too = " --raw" if one.started.raw else ""
            raise ConfigError(f"erasure {one.number} is not finished: provoice erase LAKE {whom}{raw_too} --yes first")
    root = lake.ledger().root
    for _ in range(_RACES):
        number = 1 + max((int(info.path.split("/")[1]) for info in root.list("erasures")), default=0)
        said = Started(
            number=number, lake=lake.root.uri, subjects=subjects, withdrawn_at=withdrawn_at, raw=raw, began_at=now,
            ledger_position=position,
        )  # fmt: skip
        try:
            root.create(f"{layout.erasure_folder(number)}/started.json", _json(said))
        except AlreadyExists:
            if _read(root, f"{layout.erasure_folder(number)}/started.json", Started) != said:
                continue  # another erasure has the number
        return Erasure(root, said)
    raise LakeError(f"{root.uri}: others took the erasure's number again and again; start the command once more")


def _begun(root: Root) -> Iterator[Erasure]:
    for path in sorted(info.path for info in root.list("erasures")):
        if path.endswith("/started.json"):
            yield open_erasure(root, int(path.split("/")[1]))


def _json(said: Frozen) -> bytes:
    return said.model_dump_json(indent=1).encode()


def _create(root: Root, path: str, said: One) -> One:
    try:
        root.create(path, _json(said))
    except AlreadyExists:
        held = _read(root, path, type(said))
        if held is None:
            raise LakeError(f"{root.uri_of(path)} refuses to be created and cannot be read") from None
        return held
    return said


def _read(root: Root, path: str, kind: type[One]) -> One | None:
    try:
        text = root.read(path)
    except Missing:
        return None
    try:
        return parse(kind, json.loads(text), root.uri_of(path))
    except (ValueError, ConfigError) as error:
        raise LakeError(f"{root.uri_of(path)} is not what an erasure writes: {error}") from None
