"""The stores' clients, opened in one way: nothing cached that others may change, no wait without an end.

What they try again by themselves, and what that adds to `retries.PATIENCE_S`, for one request (read in gcsfs 2026.10,
s3fs 2026.9 and botocore 1.43):

- gcsfs makes six tries with pauses of 1, 2, 4, 8 and 16 s and up to a second more each: 36 s.
- botocore makes five tries (`AWS_MAX_ATTEMPTS`) with pauses of up to 1, 2, 4 and 8 s: 15 s. s3fs asks it three times
  where S3 said SlowDown or a body broke off; its own default of five would multiply to 25.
- A server that accepts and never answers: 60 s a try for gs, 15 s for s3; less than seven minutes altogether.
"""

from __future__ import annotations

import logging
import os
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from lake.store_errors import in_one_line
from schemas.errors import ConfigError

GCS = ("gs", "gcs")
S3 = ("s3", "s3a")

_S3FS_TRIES = 3
_GCS_CONNECT_S, _GCS_SILENCE_S = 10, 60


def protocol_of(filesystem: Any) -> str:
    """The first of the names that the file system goes by: gs, s3, file, memory, …"""
    protocol = filesystem.protocol
    return str(protocol if isinstance(protocol, str) else protocol[0])


def open_filesystem(uri: str, options: dict[str, Any] | None = None) -> tuple[Any, str]:
    """The file system behind `uri`, and the place within it.

    Raises ConfigError where the client is missing, and what the client raises where it cannot be opened.
    """
    scheme = uri.partition("://")[0]
    try:
        names = GCS if scheme in GCS else S3 if scheme in S3 else (scheme,)
        # What a person says in the environment goes before our defaults.
        said = {key: value for name in names for key, value in fsspec.config.conf.get(name, {}).items()}
        # A cached listing would hide what other writers add, and hold every object in memory.
        kwargs = {**_defaults(scheme), **said, "use_listings_cache": False, **(options or {})}
        filesystem, base = fsspec.core.url_to_fs(uri, **kwargs)
    except ImportError:
        extra = "gcs" if scheme in GCS else "s3" if scheme in S3 else None
        hint = f"pip install 'provoice[{extra}]'" if extra else "install the fsspec package for it"
        raise ConfigError(f"{uri}: the client for this store is not installed; {hint}") from None
    if protocol_of(filesystem) in S3:
        filesystem.retries = _S3FS_TRIES
    return filesystem, str(base)


def open_place(uri: str, options: dict[str, Any] | None = None) -> tuple[Any, str]:
    """As `open_filesystem`, with the base's last slash gone. Raises ConfigError of one line, whatever was said."""
    try:
        filesystem, base = open_filesystem(uri, options)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"{uri}: cannot be opened: {in_one_line(error)}") from error
    if not base and protocol_of(filesystem) != "memory" and not isinstance(filesystem, LocalFileSystem):
        raise ConfigError(f"{uri} names no bucket")
    return filesystem, base.rstrip("/")


def _defaults(scheme: str) -> dict[str, Any]:
    if scheme in S3:
        _quieten("aiobotocore", logging.WARNING)
    if scheme not in GCS:
        return {}
    # It would log the traceback of every request that it gives up; we say in one line what became of it.
    _quieten("gcsfs", logging.CRITICAL)
    # Read when gcsfs is first imported. With it each bucket is first asked for its layout, over gRPC, which needs a
    # right of its own, waits a minute where nobody answers, and was seen to wait for ever. We move and rename nothing.
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    import aiohttp

    return {
        # gcsfs itself waits for ever.
        "requests_timeout": aiohttp.ClientTimeout(sock_connect=_GCS_CONNECT_S, sock_read=_GCS_SILENCE_S),
        # What it sent is compared with what the store says that it holds; S3's clients send a checksum anyway.
        "consistency": "md5",
    }


def _quieten(name: str, level: int) -> None:
    """Unless somebody has said what this logger should do, or wants to see everything."""
    chatty = logging.getLogger(name)
    if chatty.level == logging.NOTSET and logging.getLogger().level != logging.DEBUG:
        chatty.setLevel(level)
