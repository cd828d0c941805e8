"""A worker's own folder on the local disk: spools and unfinished tars, gone with the worker.

A worker that is killed cannot tidy up, so each new one removes the folders that nobody holds a lock on any more.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from pathlib import Path
from typing import IO

_PREFIX = "provoice-work-"
_LOCK = ".lock"


class WorkDir:
    """A folder with a lock that lives as long as this process, or until `close`."""

    def __init__(self, parent: str = "") -> None:
        where = Path(parent or tempfile.gettempdir())
        where.mkdir(parents=True, exist_ok=True)
        sweep(where)
        self.path, self._lock = _locked(where)

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def _locked(where: Path) -> tuple[Path, IO[bytes]]:
    """A new folder and its lock; made again where another process swept it before the lock was taken."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=where))
        lock = (path / _LOCK).open("wb")
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (path / _LOCK).exists():
            return path, lock
        lock.close()


def sweep(where: Path) -> None:
    """Removes what dead workers left in `where`. A folder without a lock file may be one that is just being made."""
    for folder in where.glob(f"{_PREFIX}*"):
        try:
            with (folder / _LOCK).open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # held by a living worker, not ours to open, or gone meanwhile
