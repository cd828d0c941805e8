"""This machine's disk below one folder: every function of `os` that reaches it is counted, and can be made to fail.

The functions themselves are replaced, so that it does not matter who calls them: our own code, fsspec or pathlib. What
C code opens by itself (DuckDB, its Parquet files) is not seen here; of that the audit's second part, and the store of
the other level, in which everything goes through fsspec.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.faults.effects import DIED, Fault, Injector, Kind
from tests.faults.unsynced import Unsynced

_CODES = {Fault.FULL: errno.ENOSPC, Fault.IO_ERROR: errno.EIO}
_SIMPLE: dict[str, Kind] = {
    "stat": Kind.LOOK, "lstat": Kind.LOOK, "scandir": Kind.LIST, "listdir": Kind.LIST, "mkdir": Kind.FOLDER,
    "unlink": Kind.DELETE, "remove": Kind.DELETE, "rmdir": Kind.DELETE,
}  # fmt: skip
_REPLACED = (*_SIMPLE, "open", "link", "rename", "replace", "fsync", "fdatasync")


class Disk:
    """Wraps what lies below `folder` for the rest of the process; without `has_links` a disk with no hard links."""

    def __init__(self, folder: Path, injector: Injector, has_links: bool = True) -> None:
        self.injector = injector
        self.has_links = has_links
        self.made: dict[str, str] = {}
        """Name to SHA-256 of what was written, by the final names."""
        self._folder = os.path.realpath(folder)
        self._real: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in _REPLACED}
        self._open_file = io.open
        self.unsynced = Unsynced(Path(f"{self._folder}-unlinked"), self._real)
        injector.on_power_cut = self.unsynced.cut

    def install(self) -> None:
        for name, kind in _SIMPLE.items():
            setattr(os, name, self._counted(name, kind))
        os.open = self._os_open
        os.link = self._link
        os.rename = os.replace = self._rename
        os.fsync = os.fdatasync = self._fsync
        io.open = builtins.open = self._io_open
        from lake import local_create

        real = local_create._rename_without_replacing
        local_create._rename_without_replacing = lambda old, new: self._effect(
            Kind.RENAME, new, lambda: (real(old, new), self._took(old, new))
        )

    def name_of(self, path: object) -> str | None:
        """The path below the folder; None where it lies elsewhere, or this is within an effect."""
        if self.injector.is_inside or not self.injector.is_on or not isinstance(path, str | bytes | os.PathLike):
            return None
        full = os.path.abspath(os.fsdecode(path))
        is_within = full == self._folder or full.startswith(self._folder + os.sep)
        return os.path.relpath(full, self._folder) if is_within else None

    def _effect(self, kind: Kind, path: object, act: Callable[[], Any]) -> Any:
        name = self.name_of(path)
        if name is None:
            return act()
        fault = self.injector.arrive(kind, name)
        if fault in _CODES:
            raise OSError(_CODES[fault], os.strerror(_CODES[fault]), str(path))
        with self.injector.inside():
            answer = act()
            self.unsynced.note(kind, Path(self._folder, name))
        if fault is Fault.LINKED_BUT_REFUSED:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        return answer

    def _counted(self, name: str, kind: Kind) -> Callable[..., Any]:
        real = self._real[name]

        def call(path: Any = ".", *args: Any, **named: Any) -> Any:
            if named.get("dir_fd") is not None or self.name_of(path) is None:
                return real(path, *args, **named)
            return self._effect(kind, path, lambda: self._gone_if(kind, path) or real(path, *args, **named))

        return call

    def _gone_if(self, kind: Kind, path: Any) -> None:
        if kind is Kind.DELETE:
            self.unsynced.keep(Path(path))
            self.made.pop(os.path.relpath(path, self._folder), None)

    def _os_open(self, path: Any, flags: int, mode: int = 0o777, **named: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return self._effect(Kind.OPEN, path, lambda: self._real["open"](path, flags, mode, **named))
        return self._effect(Kind.READ, path, lambda: self._real["open"](path, flags, mode, **named))

    def _link(self, old: Any, new: Any, **named: Any) -> None:
        if not self.has_links and self.name_of(new) is not None:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM), str(new))
        is_from_elsewhere = self.name_of(old) is None and self.name_of(new) is not None
        self._effect(Kind.LINK, new, lambda: (self._real["link"](old, new, **named), self._took(old, new)))
        if is_from_elsewhere:
            self.unsynced.came_from_elsewhere(Path(new))

    def _rename(self, old: Any, new: Any, **named: Any) -> None:
        self._effect(Kind.RENAME, new, lambda: (self._real["rename"](old, new, **named), self._took(old, new)))

    def _took(self, old: Any, new: Any) -> None:
        with self._open_file(new, "rb") as file:
            self.made[os.path.relpath(new, self._folder)] = sha256(file.read()).hexdigest()
        if not os.path.exists(old):
            self.made.pop(os.path.relpath(old, self._folder), None)

    def _fsync(self, descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        self._effect(Kind.SYNC, path, lambda: self._real["fsync"](descriptor))
        if self.injector.is_on and self.name_of(path) is None:
            self.unsynced.synced_elsewhere(os.fstat(descriptor).st_ino)

    def _io_open(self, file: Any, mode: str = "r", *args: Any, **named: Any) -> Any:
        if self.name_of(file) is None:
            return self._open_file(file, mode, *args, **named)
        is_written = any(letter in mode for letter in "wxa+")
        kind = Kind.OPEN if is_written else Kind.READ
        opened = self._effect(kind, file, lambda: self._open_file(file, mode, *args, **named))
        return _Written(opened, self, os.path.abspath(file)) if is_written else opened


class _Written:
    """A file that is written: each `write` is an effect, which may come to half of its bytes."""

    def __init__(self, file: Any, disk: Disk, path: str) -> None:
        self._file, self._disk, self._path = file, disk, path

    def write(self, data: bytes) -> int:
        disk = self._disk
        name = disk.name_of(self._path)
        fault = disk.injector.arrive(Kind.WRITE, name) if name is not None else None
        with disk.injector.inside():
            written = data[: len(data) // 2] if fault in (Fault.TORN, *_CODES) else data
            self._file.write(written)
            self._file.flush()
            disk.unsynced.note(Kind.WRITE, Path(self._path))
        if fault is Fault.TORN:
            os._exit(DIED)
        if fault in _CODES:
            raise OSError(_CODES[fault], os.strerror(_CODES[fault]), self._path)
        return len(data)

    def close(self) -> None:
        self._file.close()
        if os.path.exists(self._path):
            with self._disk.injector.inside(), open(self._path, "rb") as file:
                self._disk.made[os.path.relpath(self._path, self._disk._folder)] = sha256(file.read()).hexdigest()

    def __enter__(self) -> _Written:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
