"""One folder or bucket prefix, and the one promise that all else rests on: a create that is refused when it is not the
first.

Locally a finished temporary file is linked to its name (`link` refuses a name that is taken; where a file system has no
links, `renameat2` with RENAME_NOREPLACE does). On object stores fsspec's mode "xb" is a conditional put.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import fsspec

from lake import local_create
from schemas.errors import AlreadyExists, ConfigError, LakeError

_CHUNK = 1 << 22
_REFUSALS = (409, 412)


class Missing(LakeError):
    """There is no object of that name."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object as listed: path within the root."""

    path: str
    size_bytes: int
    modified: datetime | None = None


class Root:
    """A place for objects: created once, never overwritten. `uri` is a folder, or any URI that fsspec opens."""

    def __init__(self, uri: str, options: dict[str, Any] | None = None) -> None:
        try:
            self.filesystem, base = fsspec.core.url_to_fs(_expanded(uri), **(options or {}))
        except (ValueError, ImportError) as error:
            raise ConfigError(f"{uri}: cannot be opened: {error}") from None
        self.base: str = base.rstrip("/")
        protocol = self.filesystem.protocol
        self.protocol: str = protocol if isinstance(protocol, str) else protocol[0]
        self.is_local = self.protocol in ("file", "local")
        self.uri: str = self.base if self.is_local else self.filesystem.unstrip_protocol(self.base)

    def __repr__(self) -> str:
        return f"Root({self.uri!r})"

    def uri_of(self, path: str) -> str:
        return f"{self.uri}/{path}"

    def _full(self, path: str) -> str:
        return f"{self.base}/{path}"

    # --- writing --------------------------------------------------------------------------------------------------

    def create(self, path: str, data: bytes | Path) -> None:
        """Creates the object whole, durably and exclusively. Raises AlreadyExists when the name is taken."""
        with self._explained(path):
            if self.is_local:
                local_create.create(Path(self._full(path)), data)
            else:
                self._create_remote(path, data)

    def _create_remote(self, path: str, data: bytes | Path) -> None:
        full = self._full(path)
        if self.protocol == "memory" and self.filesystem.exists(full):
            # The in-memory store overwrites under "xb"; it lives in one process, where looking first is enough.
            raise FileExistsError(full)
        with self.filesystem.open(full, "xb") as target:
            if isinstance(data, bytes):
                target.write(data)
                return
            with data.open("rb") as source:
                while chunk := source.read(_CHUNK):
                    target.write(chunk)

    def put(self, path: str, data: bytes | Path, sha256: str) -> None:
        """Creates a content-addressed object; "exists already" is success when size and checksum agree."""
        try:
            self.create(path, data)
        except AlreadyExists:
            size = len(data) if isinstance(data, bytes) else data.stat().st_size
            if self.size(path) != size or self._sha256(path) != sha256:
                raise LakeError(f"{self.uri_of(path)} exists with other bytes than its name says; nothing was changed") from None

    def delete(self, path: str) -> None:
        """Removes the object; one that is gone already counts as removed."""
        with self._explained(path), suppress(FileNotFoundError):
            self.filesystem.rm_file(self._full(path))

    def check_exclusive_create(self) -> None:
        """Raises ConfigError where this place cannot refuse a second create."""
        path = f".provoice-probe-{secrets.token_hex(8)}"
        try:
            self.create(path, b"first")
        except LakeError as error:
            raise ConfigError(f"{self.uri} cannot be written: {error}") from None
        try:
            self.create(path, b"second")
        except AlreadyExists:
            pass
        else:
            raise ConfigError(f"{self.uri} overwrites where it should refuse; provoice cannot commit safely there")
        finally:
            self.delete(path)

    # --- reading --------------------------------------------------------------------------------------------------

    def read(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """The object's bytes, or those of `[start, end)`. Raises Missing."""
        with self._explained(path):
            data: bytes = self.filesystem.cat_file(self._full(path), start=start, end=end)
            return data

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        """The object as a readable, seekable file; remote ones are read by ranges."""
        with self._explained(path):
            file = self.filesystem.open(self._full(path), "rb")
        with file:
            yield file

    def size(self, path: str) -> int | None:
        """Bytes of the object; None where there is none."""
        with self._explained(path):
            try:
                return int(self.filesystem.info(self._full(path))["size"])
            except (FileNotFoundError, NotADirectoryError):
                return None

    def exists(self, path: str) -> bool:
        return self.size(path) is not None

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Every object below `prefix`, folder by folder; unfinished ones are never among them."""
        folders = [self._full(prefix).rstrip("/")]
        while folders:
            folder = folders.pop()
            with self._explained(prefix):
                try:
                    entries = self.filesystem.ls(folder, detail=True, refresh=True)
                except (FileNotFoundError, NotADirectoryError):
                    continue
            for entry in entries:
                name = str(entry["name"]).rstrip("/")
                if entry["type"] == "directory":
                    if name != folder:
                        folders.append(name)
                elif not local_create.is_unfinished(name):
                    yield ObjectInfo(name.removeprefix(self.base + "/"), int(entry["size"] or 0), _modified(entry))

    def _sha256(self, path: str) -> str:
        digest = hashlib.sha256()
        with self._explained(path), self.filesystem.open(self._full(path), "rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
        return digest.hexdigest()

    @contextmanager
    def _explained(self, path: str) -> Iterator[None]:
        """Whatever a store says, as one error of ours, in one line, with the object's URI."""
        where = self.uri_of(path)
        try:
            yield
        except LakeError:
            raise
        except Exception as error:
            if _is_refusal(error):
                raise AlreadyExists(f"{where} exists already") from None
            if isinstance(error, FileNotFoundError | NotADirectoryError):
                raise Missing(f"{where} does not exist") from None
            said = " ".join(str(error).split()) or type(error).__name__
            raise LakeError(f"{where}: {said}") from error


def _expanded(uri: str) -> str:
    return uri if "://" in uri else os.path.abspath(os.path.expanduser(uri))


def _modified(entry: dict[str, Any]) -> datetime | None:
    value = entry.get("mtime") or entry.get("LastModified") or entry.get("updated") or entry.get("created")
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    return value if isinstance(value, datetime) else None


def _is_refusal(error: BaseException) -> bool:
    """The store refused an exclusive create: gcsfs FileExistsError or HTTP 412, s3fs OSError 22 over a 412."""
    if isinstance(error, FileExistsError):
        return True
    seen: BaseException | None = error
    while seen is not None:
        code = getattr(seen, "code", None) or getattr(seen, "status", None)
        response = getattr(seen, "response", None)
        if isinstance(response, dict):
            code = response.get("ResponseMetadata", {}).get("HTTPStatusCode", code)
        if code in _REFUSALS or "PreconditionFailed" in str(seen) or "pre-conditions" in str(seen):
            return True
        seen = seen.__cause__
    return False
