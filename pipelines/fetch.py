"""The bytes of a source on this machine's disk, read once, with their digest."""

from __future__ import annotations

import hashlib
from pathlib import Path

from lake.clients import open_filesystem
from lake.ranged import read_range
from lake.store_errors import is_transient
from pipelines.listing import refused
from pipelines.sources import SourceRoot, stat_source
from schemas.errors import ConfigError, Reason, Rejected
from schemas.source import Source

_RANGE = 8 << 20  # what is asked for at once, and asked for again where it breaks off


def fetch(root_uri: str, source: Source, folder: Path, max_bytes: int) -> tuple[Path, str]:
    """A local path to the source's bytes, and their SHA-256. A local source stays where it is; a remote one is copied
    below `folder`, every byte of it.

    Raises Rejected when it is gone, has changed since it was planned, or is too large; LakeError when its store stays
    away.
    """
    if source.size_bytes > max_bytes:
        raise Rejected(Reason.TOO_LARGE, f"{source.size_bytes} bytes; decode.max_bytes is {max_bytes}", "fetch")
    _check_same(root_uri, source)
    try:
        path, sha256 = _local(root_uri, source) if "://" not in root_uri else _copied(root_uri, source, folder)
    except FileNotFoundError:
        raise Rejected(Reason.SOURCE_MISSING, "it was listed, and cannot be found now", "fetch") from None
    except PermissionError:
        raise Rejected(Reason.SOURCE_MISSING, "it may not be read by this user", "fetch") from None
    except Exception as error:
        # A store that is away is no fault of the source, which must not become a rejection for it.
        if not is_transient(error):
            raise
        raise refused(f"{root_uri}/{source.path}", error) from error
    # Asked again: what was read is then what was planned, from its first byte to its last.
    _check_same(root_uri, source)
    return path, sha256


def _check_same(root_uri: str, source: Source) -> None:
    try:
        now = stat_source(SourceRoot(source.root, root_uri), source.path)
    except ConfigError as error:
        raise Rejected(Reason.SOURCE_MISSING, str(error), "fetch") from None
    if now is None:
        raise Rejected(Reason.SOURCE_MISSING, "it was listed, and cannot be found now", "fetch")
    if now.version != source.version:
        raise Rejected(Reason.SOURCE_CHANGED, f"planned as version {source.version}, now {now.version}", "fetch")
    if now.size_bytes != source.size_bytes:  # an inventory that is wrong about it
        raise Rejected(Reason.SOURCE_CHANGED, f"planned as {source.size_bytes} bytes, now {now.size_bytes}", "fetch")


def _local(root_uri: str, source: Source) -> tuple[Path, str]:
    path = Path(root_uri) / source.path
    try:
        with path.open("rb") as file:
            return path, hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, PermissionError):
        raise
    except OSError as error:  # a mount that is gone, a bad sector: the next run asks again
        raise Rejected(Reason.SOURCE_MISSING, f"it cannot be read: {error.strerror or error}", "fetch") from None


def _copied(root_uri: str, source: Source, folder: Path) -> tuple[Path, str]:
    filesystem, base = open_filesystem(root_uri)
    remote = f"{base.rstrip('/')}/{source.path}"
    digest = hashlib.sha256()
    # The suffix stays, for some readers go by it; the name does not, for it may be any bytes.
    path = folder / f"{source.recording_id}{Path(source.path).suffix.lower()}"
    with path.open("wb") as local:
        for start in range(0, source.size_bytes, _RANGE):
            chunk = read_range(filesystem, remote, start, min(start + _RANGE, source.size_bytes))
            digest.update(chunk)
            local.write(chunk)
    return path, digest.hexdigest()
