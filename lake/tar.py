"""Deterministic tars: the same members give the same bytes, and each says where it lies."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

from schemas.errors import LakeError

_BLOCK = 512


class TarWriter:
    """Writes members one after the other; no time, no owner, no order of its own."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb")
        self._digest = hashlib.sha256()
        self._size = 0
        self._last = ""

    def __enter__(self) -> TarWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, name: str, data: bytes) -> int:
        """Adds a member, and returns the offset of its first byte. Names must come in order, each once."""
        if not name or name.startswith("/") or ".." in name.split("/"):
            raise LakeError(f"{name!r} is no name for a tar member")
        if name <= self._last:
            raise LakeError(f"tar members must come in order: {name} after {self._last}")
        self._last = name
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = len(data), 0o644, 0
        self._write(info.tobuf(format=tarfile.PAX_FORMAT))
        offset = self._size
        self._write(data)
        self._write(b"\0" * (-len(data) % _BLOCK))
        return offset

    def close(self) -> tuple[int, str]:
        """Ends the archive; returns its size in bytes and its SHA-256."""
        self._write(b"\0" * (2 * _BLOCK))
        self._file.close()
        return self._size, self._digest.hexdigest()

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self._size += len(data)
