"""What the stores' clients say, told apart: refused, in conflict, wrong for a moment, or not to be explained."""

from __future__ import annotations

import errno
from collections.abc import Iterator

TRANSIENT = (408, 429, 500, 502, 503, 504)

# Connections that break, of clients that are not imported here: by the names of their classes, parents among them.
_BROKEN = {
    "aiohttp": ("ClientConnectionError", "ClientPayloadError", "ServerTimeoutError"),
    "botocore": ("ConnectionError", "HTTPClientError", "IncompleteReadError", "ResponseParserError"),
    "google": ("TransportError",),
    "requests": ("ConnectionError", "Timeout", "ChunkedEncodingError"),
    "urllib3": ("ProtocolError", "TimeoutError"),
    "http": ("IncompleteRead",),
    "gcsfs": ("ChecksumError",),
}


class ShortRead(OSError):
    """A body ended before the bytes that the store had promised."""


def is_refusal(error: BaseException) -> bool:
    """An exclusive create found the name taken: gcsfs FileExistsError or HTTP 412, s3fs OSError 22 over a 412."""
    return any(isinstance(seen, FileExistsError) or _status(seen) == 412 or _says_so(seen) for seen in _chain(error))


def is_conflict(error: BaseException) -> bool:
    """HTTP 409: another request for this name is under way, and who comes first is not yet decided."""
    return any(_status(seen) == 409 for seen in _chain(error))


def is_denied(error: BaseException) -> bool:
    """Whoever asks may not: HTTP 401 or 403, or a file's permissions."""
    return any(isinstance(seen, PermissionError) or _status(seen) in (401, 403) for seen in _chain(error))


def is_transient(error: BaseException) -> bool:
    """The same request may well succeed in a moment: the store is busy or away, or the connection broke."""
    return any(
        _status(seen) in TRANSIENT or isinstance(seen, ConnectionError | TimeoutError | ShortRead) or _broke(seen)
        for seen in _chain(error)
    )


def in_one_line(error: BaseException) -> str:
    """What was said, without the path that we say ourselves, and with the status where there was one."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    line = " ".join(str(said).split()) or type(error).__name__
    status = next((found for seen in _chain(error) if (found := _status(seen))), None)
    return line if status is None or str(status) in line else f"{line} (HTTP {status})"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _status(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    elif type(error).__name__ == "ProxyError":  # so gcsfs says 502, without a word
        status = 502
    else:  # gcsfs, aiohttp
        status = getattr(error, "code", None) or getattr(error, "status", None)
    return int(status) if isinstance(status, int | str) and str(status).isdigit() else None


def _broke(error: BaseException) -> bool:
    if getattr(error, "retryable", False) is True:  # google.auth, of a token server
        return True
    return any(kind.__name__ in _BROKEN.get(kind.__module__.partition(".")[0], ()) for kind in type(error).__mro__)


def _says_so(error: BaseException) -> bool:
    """s3fs without the cause: its words for a 412."""
    return isinstance(error, OSError) and error.errno == errno.EINVAL and "pre-conditions" in str(error)
