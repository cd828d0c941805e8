"""Exclusive creation on an object store: a conditional put through fsspec, whole or not there at all."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from lake.clients import GCS
from lake.retries import retried
from lake.store_errors import is_conflict

KNOWN = ("gs", "gcs", "s3", "s3a", "memory")
"""Where mode "xb" was seen to be a precondition of the store's. Elsewhere fsspec may only look, and then write."""

_CHUNK = 1 << 22
_BLOCK = 32 << 20  # one part of an upload: what is held in memory, and what is sent again after an error
_GCSFS_BOUNDARY = b"--==0=="  # of the parts of its request, whatever the bytes within are
_MEMORY_LOCK = threading.Lock()


def create(filesystem: Any, protocol: str, path: str, data: bytes | Path) -> None:
    """Raises whatever the store says when `path` is taken (see `store_errors.is_refusal`).

    A create that succeeded without our hearing of it is made again, and then refused by its own object.
    """
    if protocol == "memory":
        return retried(lambda: _create_in_memory(filesystem, path, data))
    size = len(data) if isinstance(data, bytes) else data.stat().st_size
    if not size:
        # s3fs makes an empty object without the precondition, and would overwrite.
        raise ValueError("an empty object cannot be created exclusively")
    upload = _in_one_request if protocol in GCS and size < _BLOCK else _upload
    try:
        # S3 answers 409 while another create of this name is under way; asked again, it knows who came first.
        retried(lambda: upload(filesystem, path, data), also=is_conflict)
    except FileNotFoundError:
        # An upload in parts whose end was not heard of: asked again, the store knows of no such upload any more.
        if not retried(lambda: filesystem.exists(path)):
            raise
        raise FileExistsError(path) from None


def _in_one_request(filesystem: Any, path: str, data: bytes | Path) -> None:
    """gcsfs's "xb" asks for an upload first and sends the bytes then, however few: two requests to one of this."""
    content = data if isinstance(data, bytes) else data.read_bytes()
    if _GCSFS_BOUNDARY in content:
        return _upload(filesystem, path, content)
    filesystem.pipe_file(path, content, mode="create")
    return None


def _upload(filesystem: Any, path: str, data: bytes | Path) -> None:
    target = filesystem.open(path, "xb", block_size=_BLOCK)
    try:
        if isinstance(data, bytes):
            target.write(data)
        else:
            with data.open("rb") as source:
                while chunk := source.read(_CHUNK):
                    target.write(chunk)
        target.close()
    except BaseException:
        # fsspec's own `with` would finish the upload here, and leave half an object under its final name.
        with suppress(Exception):
            target.discard()
        target.closed = True
        raise


def _create_in_memory(filesystem: Any, path: str, data: bytes | Path) -> None:
    """The in-memory store overwrites under "xb"; it lives in one process, where looking first is enough."""
    content = data if isinstance(data, bytes) else data.read_bytes()
    with _MEMORY_LOCK:
        if filesystem.exists(path):
            raise FileExistsError(path)
        filesystem.pipe_file(path, content)
