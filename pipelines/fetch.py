"""The bytes of a source on this machine's disk, read once, with their digest."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipelines.sources import SourceRoot, stat_source
from schemas.errors import ConfigError, Reason, Rejected
from schemas.source import Source

_CHUNK = 1 << 20


def fetch(root_uri: str, source: Source, folder: Path, max_bytes: int) -> tuple[Path, str]:
    """A local path to the source's bytes, and their SHA-256. A local source stays where it is; a remote one is copied
    below `folder`. Raises Rejected when it is gone, has changed since it was planned, or is too large."""
    if source.size_bytes > max_bytes:
        raise Rejected(Reason.TOO_LARGE, f"{source.size_bytes} bytes; decode.max_bytes is {max_bytes}", "fetch")
    _check_same(root_uri, source)
    try:
        path, sha256 = _local(root_uri, source) if "://" not in root_uri else _copied(root_uri, source, folder)
    except FileNotFoundError:
        raise Rejected(Reason.SOURCE_MISSING, "it was listed, and cannot be found now", "fetch") from None
    except PermissionError:
        raise Rejected(Reason.SOURCE_MISSING, "it may not be read by this user", "fetch") from None
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


def _local(root_uri: str, source: Source) -> tuple[Path, str]:
    path = Path(root_uri) / source.path
    with path.open("rb") as file:
        return path, hashlib.file_digest(file, "sha256").hexdigest()


def _copied(root_uri: str, source: Source, folder: Path) -> tuple[Path, str]:
    import fsspec

    filesystem, base = fsspec.core.url_to_fs(root_uri)
    digest = hashlib.sha256()
    # The suffix stays, for some readers go by it; the name does not, for it may be any bytes.
    path = folder / f"{source.recording_id}{Path(source.path).suffix.lower()}"
    with filesystem.open(f"{base.rstrip('/')}/{source.path}", "rb") as remote, path.open("wb") as local:
        while chunk := remote.read(_CHUNK):
            digest.update(chunk)
            local.write(chunk)
    return path, digest.hexdigest()
