"""What lies under a URI, object by object, in bounded memory: this machine's disk, GCS and S3 page by page, and
whatever else fsspec opens folder by folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lake.clients import open_filesystem, protocol_of
from lake.listing import entries
from lake.retries import retried
from lake.store_errors import in_one_line, is_transient
from schemas.errors import ConfigError, LakeError

Prune = Callable[[str], str | None]
"""Why a folder (by its path within the root) need not be looked into, or None."""


@dataclass(frozen=True, slots=True)
class Found:
    """One object, or a folder that was not looked into (`ignored_as` says why)."""

    path: str
    version: str = ""
    size_bytes: int = 0
    ignored_as: str | None = None


def walk(uri: str, prune: Prune, skip: Sequence[str] = ()) -> Iterator[Found]:
    """Every object under `uri` once, in the store's own order. Local folders in `skip` are not looked into."""
    for other in skip:
        if uri == other or uri.startswith(other.rstrip("/") + "/"):
            raise ConfigError(f"source root {uri} lies within {other}, which provoice writes; name another folder")
    try:
        yield from _walk_local(uri, prune, skip) if "://" not in uri else _walk_remote(uri)
    except (ConfigError, LakeError):
        raise
    except Exception as error:
        # Every store's client has exceptions of its own, and all of them mean: this root cannot be read.
        raise refused(uri, error) from error


def find_one(uri: str, path: str, missing_ok: bool = False) -> Iterator[Found]:
    """The object `path` under `uri`; nothing when it is gone and `missing_ok`."""
    try:
        if "://" not in uri:
            yield _from_stat(path, os.stat(os.path.join(uri, path)))
        else:
            filesystem, folder = open_filesystem(uri)
            info = retried(lambda: filesystem.info(f"{folder.rstrip('/')}/{path}"))
            yield Found(path, version_of(info), int(info.get("size") or 0))
    except FileNotFoundError as error:
        if not missing_ok:
            raise refused(f"{uri}/{path}", error) from error
    except ConfigError:
        raise
    except Exception as error:
        raise refused(f"{uri}/{path}", error) from error


def refused(uri: str, error: BaseException) -> ConfigError | LakeError:
    """One line: which place, what was said, and what a person does next. A LakeError where the store is away: nobody
    has asked for anything wrong, and no source is to be rejected for it."""
    if is_transient(error):
        return LakeError(f"source root {uri}: the store does not answer ({in_one_line(error)}); try again later")
    said = " ".join(str(error).split())
    if isinstance(error, FileNotFoundError):
        return ConfigError(f"source root {uri}: nothing is there; check the spelling")
    if isinstance(error, NotADirectoryError):
        return ConfigError(f"source root {uri}: not a folder")
    if isinstance(error, PermissionError):
        return ConfigError(
            f"source root {uri}: may not be read ({said}); grant access, or leave it out with sources.exclude"
        )
    return ConfigError(f"source root {uri}: cannot be read ({type(error).__name__}: {said}); check URI and credentials")


def version_of(info: Mapping[str, Any]) -> str:
    """The store's checksum if `info` has one, else etag, generation, or `{mtime}-{size}`.

    Raw, as the store writes it, so that an inventory made by the store names the same versions.
    """
    for key in ("md5Hash", "crc32c", "ETag", "etag", "generation", "VersionId", "version_id"):
        if info.get(key):
            return str(info[key]).removeprefix("W/").strip('"')
    for key in ("mtime", "LastModified", "last_modified", "updated", "created"):
        if info.get(key) is not None:
            return f"{_microseconds(info[key])}-{info.get('size')}"
    return str(info.get("size"))


def _microseconds(moment: object) -> object:
    # Some stores write one moment in two ways: as a number where they list, as a date where they are asked for one.
    if isinstance(moment, datetime):
        return round(moment.timestamp() * 1_000_000)
    return round(moment * 1_000_000) if isinstance(moment, int | float) else moment


# --- this machine's disk ---


def _walk_local(root: str, prune: Prune, skip: Sequence[str]) -> Iterator[Found]:
    skipped = {identity for uri in skip if "://" not in uri and (identity := _identity(uri))}
    # A stack of open folders, not of names: memory grows with depth only.
    stack = [(os.scandir(root), "", _identity(root))]
    try:
        while stack:
            entries, prefix, _ = stack[-1]
            entry = next(entries, None)
            if entry is None:
                stack.pop()
            elif _is_folder(entry):
                folder = prefix + entry.name
                identity = _identity(entry.path)
                cause = _not_entered(entry, folder, identity, prune, skipped, [held for *_, held in stack])
                if cause:
                    yield Found(_shown(folder) + "/", ignored_as=cause)
                else:
                    stack.append((os.scandir(entry.path), folder + "/", identity))
            else:
                yield _local_file(entry, prefix + entry.name)
    finally:
        for entries, *_ in stack:
            entries.close()


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _not_entered(
    entry: os.DirEntry[str],
    folder: str,
    identity: tuple[int, int] | None,
    prune: Prune,
    skipped: set[tuple[int, int]],
    above: Sequence[tuple[int, int] | None],
) -> str | None:
    if identity in skipped:
        return "lake"
    # A link to a folder is followed, unless it leads back to where we came from.
    if entry.is_symlink() and identity in above:
        return "link_cycle"
    return prune(folder)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _local_file(entry: os.DirEntry[str], path: str) -> Found:
    try:
        status = entry.stat()
    except FileNotFoundError:
        return Found(_shown(path), ignored_as="broken_link" if entry.is_symlink() else "gone")
    except OSError:
        return Found(_shown(path), ignored_as="broken_link" if entry.is_symlink() else "unreadable")
    return _from_stat(path, status)


def _from_stat(path: str, status: os.stat_result) -> Found:
    if not stat.S_ISREG(status.st_mode):
        return Found(_shown(path), ignored_as="not_a_file")
    if _shown(path) != path:
        # Neither Parquet nor JSON can hold such a name, so no row could ever say what became of it.
        return Found(_shown(path), ignored_as="name_not_utf8")
    return Found(path, f"{status.st_mtime_ns}-{status.st_size}", status.st_size)


def _shown(path: str) -> str:
    """The path, with bytes that are not UTF-8 written as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


# --- object stores ---


def _walk_remote(uri: str) -> Iterator[Found]:
    filesystem, folder = open_filesystem(uri)
    seen = False
    for path, info in entries(filesystem, protocol_of(filesystem), folder.rstrip("/")):
        seen = True
        yield Found(path, version_of(info), int(info.get("size") or 0))
    if not seen:
        # A store has no folders: a prefix that does not exist and one that is empty look the same.
        raise FileNotFoundError(uri)
