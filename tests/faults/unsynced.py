"""What a failing power takes with it: bytes and names that nobody has synced.

The extremes are made, for a disk may do anything between them: everything that is not synced is gone (POWER), or every
name is there and its bytes are not (POWER_TORN), as file systems do that write names first.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from tests.faults.effects import Fault, Kind


class Unsynced:
    """The journal of one process. `kept` is a folder on the same disk for what is removed and may come back."""

    def __init__(self, kept: Path, real: Mapping[str, Callable[..., Any]]) -> None:
        self._kept = kept
        self._real = real
        self._bytes: dict[int, set[Path]] = {}
        """Inode of each file whose bytes are not synced, and the names that it had."""
        self._synced_elsewhere: set[int] = set()
        self._names: list[tuple[Kind, Path, Path | None]] = []
        """What was done to names, in order: the name, and where the removed file is kept."""
        self._removed: Path | None = None
        self._counter = count()

    def keep(self, path: Path) -> None:
        """Called before a name is removed: the file stays alive elsewhere."""
        if self._real["lstat"](path).st_nlink and not path.is_dir():
            self._kept.mkdir(exist_ok=True)
            self._removed = self._kept / f"{next(self._counter)}-{path.name}"
            self._real["link"](path, self._removed)

    def note(self, kind: Kind, path: Path) -> None:
        """Called after an effect."""
        if kind is Kind.WRITE:
            self._bytes.setdefault(self._real["stat"](path).st_ino, set()).add(path)
        elif kind is Kind.SYNC:
            self._bytes.pop(self._real["stat"](path).st_ino, None)
            self._names = [entry for entry in self._names if entry[1].parent != path]
        elif kind in (Kind.OPEN, Kind.LINK, Kind.FOLDER, Kind.RENAME):
            self._names.append((kind, path, None))
            self._bytes.get(self._real["stat"](path).st_ino, set()).add(path)
        elif kind is Kind.DELETE:
            self._names.append((kind, path, self._removed))
            self._removed = None

    def synced_elsewhere(self, inode: int) -> None:
        """A file outside the folder reached the disk; it may be linked into the folder."""
        self._synced_elsewhere.add(inode)

    def came_from_elsewhere(self, path: Path) -> None:
        """A file that was written outside the folder has got a name within."""
        inode = self._real["stat"](path).st_ino
        if inode not in self._synced_elsewhere:
            self._bytes[inode] = {path}

    def cut(self, fault: Fault) -> None:
        """Makes the disk what it may be when the power comes back."""
        for inode, paths in self._bytes.items():
            for path in paths:
                if path.exists() and self._real["stat"](path).st_ino == inode:
                    os.truncate(path, self._real["stat"](path).st_size // 2)
                    break
        if fault is Fault.POWER_TORN:
            return
        for kind, path, kept in reversed(self._names):
            if kind is Kind.DELETE:
                if kept is not None and not path.exists() and path.parent.is_dir():
                    self._real["link"](kept, path)
            elif kind is Kind.FOLDER:
                self._remove_folder(path)
            elif path.exists():
                self._real["unlink"](path)

    def _remove_folder(self, path: Path) -> None:
        for one in sorted(path.rglob("*"), reverse=True) if path.is_dir() else ():
            self._real["rmdir" if one.is_dir() else "unlink"](one)
        if path.is_dir():
            self._real["rmdir"](path)
