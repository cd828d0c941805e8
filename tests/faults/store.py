"""An object store in a folder, `faulty://`, that says what it is told to: a true exclusive create, and whatever fault
the injector has for a request.

It survives the process, as a store does, and speaks as s3fs does (tests/lake/fake_store.py). An object lies in the
folder under its own name, so that the folder opened as a local lake is what an undisturbed reader of it sees.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import fsspec
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

from tests.faults.effects import Fault, Injector, Kind
from tests.lake.fake_store import as_s3fs_says_it

Answer = TypeVar("Answer")

PROTOCOL = "faulty"
_BEFORE = {Fault.BUSY_429: 429, Fault.AWAY_503: 503, Fault.AWAY_FOR_LONG: 503, Fault.CONFLICT_409: 409,
           Fault.REFUSED_412: 412}  # fmt: skip
_AFTER = {Fault.DONE_BUT_503: 503, Fault.DONE_BUT_409: 409, Fault.DONE_BUT_412: 412}
_LOST = (Fault.LOST_ACK, Fault.LOST_ACK_GIVEN_UP)
_GIVEN_UP = (Fault.AWAY_FOR_LONG, Fault.LOST_ACK_GIVEN_UP)


class FaultyStore(AbstractFileSystem):
    """The objects of `folder`. One at a time in a process: `use` says which, and what befalls it."""

    protocol = PROTOCOL
    cachable = False
    folder = Path()
    injector = Injector()
    made: dict[str, str]
    """Path to SHA-256 of every object that was created through us, those deleted since left out."""
    _before: frozenset[str]

    @classmethod
    def use(cls, folder: Path, injector: Injector) -> None:
        fsspec.register_implementation(PROTOCOL, cls, clobber=True)
        cls.folder, cls.injector, cls.made = folder, injector, {}
        cls._before = frozenset(files_below(folder))

    def _effect(self, kind: Kind, path: str, act: Callable[[Fault | None], Answer]) -> Answer:
        injector = self.injector
        if injector.is_inside or not injector.is_on:
            with injector.inside():
                return act(None)
        fault = injector.arrive(kind, path)
        if fault in _GIVEN_UP:
            os.environ["PROVOICE_STORE_PATIENCE_S"] = "0"
        if fault is Fault.BROKEN:
            raise ConnectionResetError("the connection was reset")
        if fault in _BEFORE:
            raise as_s3fs_says_it(_BEFORE[fault])
        with injector.inside():
            answer = act(fault)
        if fault in _LOST:
            raise ConnectionResetError("the connection was reset before an answer came")
        if fault in _AFTER:
            raise as_s3fs_says_it(_AFTER[fault])
        return answer

    def _place(self, path: str) -> Path:
        return self.folder / self._strip_protocol(path)

    # --- reading --------------------------------------------------------------------------------------------------

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        name = self._strip_protocol(path)
        return self._effect(Kind.LOOK, name, lambda _: self._entry(name))

    def _entry(self, name: str) -> dict[str, Any]:
        place = self._place(name)
        if place.is_dir():
            return {"name": name, "size": 0, "type": "directory"}
        status = place.stat()
        etag = hashlib.md5(place.read_bytes(), usedforsecurity=False).hexdigest()
        return {"name": name, "size": status.st_size, "type": "file", "ETag": f'"{etag}"', "mtime": status.st_mtime}

    def exists(self, path: str, **_: Any) -> bool:
        try:
            self.info(path)
        except FileNotFoundError:
            return False
        return True

    def modified(self, path: str) -> Any:
        from datetime import UTC, datetime

        return datetime.fromtimestamp(self.info(path)["mtime"], UTC)

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        name = self._strip_protocol(path)
        found = self._effect(Kind.LIST, name, lambda fault: self._listed(name, fault))
        return found if detail else [entry["name"] for entry in found]

    def _listed(self, name: str, fault: Fault | None) -> list[dict[str, Any]]:
        if not self._place(name).is_dir():
            raise FileNotFoundError(name)
        found = [self._entry(f"{name}/{one}") for one in sorted(os.listdir(self._place(name)))]
        if fault is Fault.STALE_ALL:
            return [entry for entry in found if self._was_there(entry)]
        if fault is Fault.STALE_NEWEST:
            newest = max(files_below(self.folder, name), key=self._age, default="")
            return [entry for entry in found if {newest} != self._objects_of(entry)]
        return found

    def _objects_of(self, entry: dict[str, Any]) -> set[str]:
        """A folder of one object is seen by that object only."""
        return files_below(self.folder, entry["name"]) if entry["type"] == "directory" else {entry["name"]}

    def _was_there(self, entry: dict[str, Any]) -> bool:
        return entry["type"] == "directory" or entry["name"] in self._before

    def _age(self, name: str) -> tuple[int, str]:
        return self._place(name).stat().st_mtime_ns, name

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        name = self._strip_protocol(path)
        return self._effect(Kind.READ, name, lambda _: self._place(name).read_bytes()[start:end])

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **options: Any) -> _Object:
        if mode not in ("rb", "xb"):
            raise ValueError(f"{path}: nothing here is ever opened as {mode}")
        return _Object(self, self._strip_protocol(path), mode, block_size=block_size or 1 << 20, **options)

    # --- writing --------------------------------------------------------------------------------------------------

    def rm_file(self, path: str) -> None:
        name = self._strip_protocol(path)

        def act(_: Fault | None) -> None:
            self._place(name).unlink()
            self.made.pop(name, None)

        self._effect(Kind.DELETE, name, act)

    def _created(self, name: str, data: bytes) -> None:
        """Whole under its name, or refused: the link is what decides."""
        place = self._place(name)
        place.parent.mkdir(parents=True, exist_ok=True)
        unlinked = self.folder / f"upload-{secrets.token_hex(6)}"
        unlinked.write_bytes(data)
        is_first = True
        try:
            os.link(unlinked, place)
        except FileExistsError:
            is_first = False
        unlinked.unlink()
        if not is_first:
            raise as_s3fs_says_it(412)
        self.made[name] = hashlib.sha256(data).hexdigest()


class _Object(AbstractBufferedFile):
    """One that is read by ranges, or one upload: in a single request, or in parts where there are many bytes."""

    fs: FaultyStore

    def _fetch_range(self, start: int, end: int) -> bytes:
        return self.fs.cat_file(self.path, start, end)

    def _initiate_upload(self) -> None:
        self.parts: list[bytes] = []
        self.is_begun = False

    def _upload_chunk(self, final: bool = False) -> bool:
        data = self.buffer.getvalue()
        if not final and not self.is_begun:
            self.fs._effect(Kind.BEGIN, self.path, lambda _: None)
            self.is_begun = True
        if self.is_begun and data:
            self.fs._effect(Kind.PART, self.path, lambda _: None)
        self.parts.append(data)
        if final:
            self.fs._effect(Kind.CREATE, self.path, lambda _: self.fs._created(self.path, b"".join(self.parts)))
        return True

    def discard(self) -> None:
        self.buffer = None


def files_below(folder: Path, name: str = "") -> set[str]:
    """Names of all files below, as the store calls them."""
    return {str(path.relative_to(folder)) for path in (folder / name).rglob("*") if path.is_file()}
