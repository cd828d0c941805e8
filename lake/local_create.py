"""Exclusive, durable creation of a file on a local disk: whole under its name, or not there at all."""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import shutil
import stat
from contextlib import suppress
from pathlib import Path

_UNFINISHED = ".provoice-unfinished-"
_CHUNK = 1 << 22
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS, errno.EXDEV)
_NO_SUCH_RENAME = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


def unfinished_name() -> str:
    """A name that no reader and no listing sees."""
    return f"{_UNFINISHED}{secrets.token_hex(8)}"


def is_unfinished(name: str) -> bool:
    """Left over from a writer that died; nobody reads it."""
    return name.rpartition("/")[2].startswith(_UNFINISHED)


def create(path: Path, data: bytes | Path) -> None:
    """Writes a copy beside `path`, syncs it, then takes the name. Raises FileExistsError when it is taken."""
    _make_folders(path.parent)
    unfinished = path.parent / unfinished_name()
    try:
        with unfinished.open("xb") as file:
            if isinstance(data, bytes):
                file.write(data)
            else:
                with data.open("rb") as source:
                    shutil.copyfileobj(source, file, _CHUNK)
            file.flush()
            os.fsync(file.fileno())
        _take_name(unfinished, path)
    finally:
        with suppress(FileNotFoundError):
            unfinished.unlink()
    _sync(path.parent)


def move(source: Path, path: Path) -> None:
    """As `create`, but a finished file on the same disk changes its name instead of being copied.

    It leaves its old name: whoever opens that again for writing must not reach what has just been stored.
    """
    if not _can_move(source):
        return create(path, source)
    _make_folders(path.parent)
    _sync(source)
    try:
        os.link(source, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return create(path, source)
    source.unlink()
    return _sync(path.parent)


def remove(path: Path) -> None:
    """Removes a file, and does not return before a crash could bring it back."""
    path.unlink()
    _sync(path.parent)


def _can_move(source: Path) -> bool:
    """An ordinary file of one name that others may read as they may read what we write ourselves."""
    status = source.lstat()
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and bool(status.st_mode & stat.S_IRGRP)


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
    _sync(folder.parent)


def _take_name(unfinished: Path, path: Path) -> None:
    try:
        os.link(unfinished, path)
    except FileExistsError:
        # NFS repeats a request whose answer was lost, and is then told that its own link is in the way.
        if unfinished.stat().st_nlink == 1:
            raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _rename_without_replacing(unfinished, path)


def _rename_without_replacing(unfinished: Path, path: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    code = errno.ENOSYS
    if hasattr(libc, "renameat2"):
        names = os.fsencode(unfinished), os.fsencode(path)
        if libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_NOREPLACE) == 0:
            return
        code = ctypes.get_errno()
    if code in _NO_SUCH_RENAME:
        raise OSError(code, "this disk has neither hard links nor a rename that refuses a taken name", str(path))
    raise OSError(code, os.strerror(code), str(path))


def _sync(path: Path) -> None:
    """A file's bytes, or a folder's names, reach the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
