"""Exclusive, durable creation of a file on a local disk: whole under its name, or not there at all."""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

_UNFINISHED = ".provoice-unfinished-"
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS, errno.EXDEV)


def is_unfinished(name: str) -> bool:
    """Left over from a writer that died; nobody reads it."""
    return os.path.basename(name).startswith(_UNFINISHED)


def create(path: Path, data: bytes | Path) -> None:
    """Writes beside `path`, syncs, then takes the name. Raises FileExistsError when it is taken."""
    _make_folders(path.parent)
    unfinished = path.parent / f"{_UNFINISHED}{secrets.token_hex(8)}"
    try:
        with unfinished.open("xb") as file:
            if isinstance(data, bytes):
                file.write(data)
            else:
                with data.open("rb") as source:
                    shutil.copyfileobj(source, file, 1 << 22)
            file.flush()
            os.fsync(file.fileno())
        _take_name(unfinished, path)
    finally:
        with suppress(FileNotFoundError):
            unfinished.unlink()
    _sync_folder(path.parent)


def _make_folders(folder: Path) -> None:
    """Makes what is missing, and syncs each folder's parent: a file whose folder a crash forgets is lost with it."""
    if folder.is_dir():
        return
    _make_folders(folder.parent)
    try:
        folder.mkdir(exist_ok=True)
    except FileExistsError:
        # A file of that name; said so, lest it be read as "the object exists already".
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None
    _sync_folder(folder.parent)


def _take_name(unfinished: Path, path: Path) -> None:
    try:
        os.link(unfinished, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _rename_without_replacing(unfinished, path)


def _rename_without_replacing(unfinished: Path, path: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        raise OSError(errno.ENOSYS, "this disk has no hard links, and this system no renameat2")
    names = os.fsencode(unfinished), os.fsencode(path)
    if libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_NOREPLACE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(path))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
