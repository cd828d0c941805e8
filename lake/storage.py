"""One folder or bucket prefix, and the one promise that all else rests on: a create that is refused when it is not the
first.

Locally a finished temporary file is linked to its name (`local_create`), on object stores it is a conditional put
(`remote_create`). What goes wrong for a moment is asked again (`retries`); whatever else a store's client raises
becomes a LakeError of one line with the object's URI.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

from fsspec.implementations.local import LocalFileSystem

from lake import local_create, remote_create
from lake.clients import open_place, protocol_of
from lake.listing import ObjectInfo, modified_at, objects
from lake.ranged import RangedFile, read_range
from lake.retries import retried
from lake.store_errors import in_one_line, is_denied, is_refusal
from schemas.errors import AlreadyExists, ConfigError, LakeError

__all__ = ["Missing", "ObjectInfo", "Root"]

_CHUNK = 1 << 22
_READ_BLOCK = 1 << 20  # what a remote file fetches beyond what was asked for


class Missing(LakeError):
    """There is no object of that name."""


class Denied(LakeError):
    """The store is there, and does not let this identity do it."""


class Root:
    """A place for objects: created once, never overwritten. `uri` is a folder, or any URI that fsspec opens.

    Credentials and endpoints come from the environment, as fsspec and the store's client read it, and from `options`.
    """

    def __init__(self, uri: str, options: dict[str, Any] | None = None) -> None:
        self.filesystem, self.base = _opened(uri, options or {})
        self.protocol = protocol_of(self.filesystem)
        self.is_local = isinstance(self.filesystem, LocalFileSystem)
        self.uri: str = (self.base or "/") if self.is_local else self.filesystem.unstrip_protocol(self.base)

    def __repr__(self) -> str:
        return f"Root({self.uri!r})"

    def uri_of(self, path: str) -> str:
        return f"{self.uri}{path}" if self.uri.endswith("/") else f"{self.uri}/{path}"

    def _full(self, path: str) -> str:
        return f"{self.base}/{path}" if path else self.base

    # --- writing --------------------------------------------------------------------------------------------------

    def create(self, path: str, data: bytes | Path) -> None:
        """Creates the object whole, durably and exclusively. Raises AlreadyExists when the name is taken.

        A client may ask a second time when an answer is lost, and is then refused by its own object: whoever gets
        AlreadyExists reads the holder before drawing a conclusion.
        """
        self._create(path, data, may_move=False)

    def put(self, path: str, data: bytes | Path, sha256: str) -> None:
        """Creates a content-addressed object; "exists already" is success when size and SHA-256 agree.

        A file must be finished, and is given up: on the lake's own disk it is moved instead of being copied.
        """
        size = len(data) if isinstance(data, bytes) else data.stat().st_size
        try:
            self._create(path, data, may_move=True)
        except AlreadyExists:
            if self.size(path) != size or self.sha256(path) != sha256:
                where = self.uri_of(path)
                raise LakeError(f"{where} exists with other bytes than its name says; nothing was changed") from None

    def _create(self, path: str, data: bytes | Path, *, may_move: bool) -> None:
        with self._explained(path, is_create=True):
            if not self.is_local:
                remote_create.create(self.filesystem, self.protocol, self._full(path), data)
            elif may_move and isinstance(data, Path):
                local_create.move(data, Path(self._full(path)))
            else:
                local_create.create(Path(self._full(path)), data)

    def delete(self, path: str) -> None:
        """Removes the object, durably; one that is gone already counts as removed."""
        with self._explained(path), suppress(FileNotFoundError):
            if self.is_local:
                local_create.remove(Path(self._full(path)))
            else:
                retried(lambda: self.filesystem.rm_file(self._full(path)))

    def check_exclusive_create(self) -> None:
        """Raises ConfigError where this place cannot be written, or cannot refuse a second create."""
        if not self.is_local and self.protocol not in remote_create.KNOWN:
            raise ConfigError(
                f"{self.uri}: provoice commits by creates that the store refuses when they come second, and knows that "
                f"of local disks, gs:// and s3:// only, not of {self.protocol}://"
            )
        path = local_create.unfinished_name()
        try:
            # Of this name only our own create can be in the way: one that was not heard of, and made again.
            with suppress(AlreadyExists):
                self.create(path, b"first")
        except LakeError as error:
            raise ConfigError(f"{self.uri} cannot be written: {error}") from None
        try:
            self.create(path, b"second")
        except AlreadyExists:
            return
        except LakeError as error:
            raise ConfigError(f"{self.uri} does not say when a name is taken: {error}") from None
        finally:
            # Who may create need not be allowed to delete; no reader sees the name.
            with suppress(LakeError):
                self.delete(path)
        raise ConfigError(f"{self.uri} overwrites where it should refuse; provoice cannot commit safely there")

    # --- reading --------------------------------------------------------------------------------------------------

    def read(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """The object's bytes, or those of `[start, end)`. Raises Missing."""
        with self._explained(path):
            data: bytes = retried(lambda: self.filesystem.cat_file(self._full(path), start=start, end=end))
            return data

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        """The object as a readable, seekable file; remote ones are read by ranges. Raises Missing."""
        with self._explained(path):
            file = self.filesystem.open(self._full(path), "rb") if self.is_local else self._ranged(path)
        with file:
            yield file

    def _ranged(self, path: str) -> BinaryIO:
        size = self.size(path)
        if size is None:
            raise FileNotFoundError(path)

        def fetch(start: int, end: int) -> bytes:
            with self._explained(path):
                return read_range(self.filesystem, self._full(path), start, end)

        return BufferedReader(RangedFile(fetch, size), _READ_BLOCK)

    def size(self, path: str) -> int | None:
        """Bytes of the object; None where there is none."""
        with self._explained(path):
            try:
                found = retried(lambda: self.filesystem.info(self._full(path)))
            except (FileNotFoundError, NotADirectoryError):
                return None
            return None if found["type"] == "directory" else int(found["size"])

    def modified(self, path: str) -> datetime | None:
        """When the object was created, by the store's clock; None where there is none, or nobody says."""
        with self._explained(path):
            try:
                return modified_at(retried(lambda: self.filesystem.info(self._full(path))))
            except (FileNotFoundError, NotADirectoryError):
                return None

    def exists(self, path: str) -> bool:
        return self.size(path) is not None

    def sha256(self, path: str) -> str:
        """SHA-256 of the object's bytes, in hex; reads them all, for no store keeps one. Raises Missing."""
        digest = hashlib.sha256()
        with self._explained(path), self.open(path) as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
        return digest.hexdigest()

    def list(self, prefix: str = "", unfinished: bool = False) -> Iterator[ObjectInfo]:
        """Every object below the folder `prefix`, in no order, in bounded memory; `unfinished` ones only if asked."""
        with self._explained(prefix):
            for found in objects(self.filesystem, self.protocol, self._full(prefix)):
                if unfinished or not local_create.is_unfinished(found.path):
                    path = f"{prefix}/{found.path}" if prefix else found.path
                    yield ObjectInfo(path, found.size_bytes, found.modified)

    @contextmanager
    def _explained(self, path: str, is_create: bool = False) -> Iterator[None]:
        where = self.uri_of(path)
        try:
            yield
        except LakeError:
            raise
        except Exception as error:
            # Every store's client has exceptions of its own; what is not known to be harmless is a LakeError.
            if is_create and is_refusal(error):
                raise AlreadyExists(f"{where} exists already") from None
            if isinstance(error, FileNotFoundError | NotADirectoryError) and not is_create:
                raise Missing(f"{where} does not exist") from None
            raise (Denied if is_denied(error) else LakeError)(f"{where}: {in_one_line(error)}") from error


def _opened(uri: str, options: dict[str, Any]) -> tuple[Any, str]:
    """The file system behind `uri`, and the place within it."""
    if not uri.strip():
        raise ConfigError("an empty text names no place; say `.` for the folder you stand in")
    if "://" not in uri:
        return LocalFileSystem(), os.path.abspath(os.path.expanduser(uri))
    return open_place(uri, options)
