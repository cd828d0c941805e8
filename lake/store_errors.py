"""What the stores' clients say, told apart: refused, in conflict, or something we cannot explain."""

from __future__ import annotations

import errno
from collections.abc import Iterator


def is_refusal(error: BaseException) -> bool:
    """An exclusive create found the name taken: gcsfs FileExistsError or HTTP 412, s3fs OSError 22 over a 412."""
    return any(isinstance(seen, FileExistsError) or _status(seen) == 412 or _says_so(seen) for seen in _chain(error))


def is_conflict(error: BaseException) -> bool:
    """HTTP 409: another request for this name is under way, and who comes first is not yet decided."""
    return any(_status(seen) == 409 for seen in _chain(error))


def in_one_line(error: BaseException) -> str:
    """What was said, without the path that we say ourselves."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(str(said).split()) or type(error).__name__


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _status(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:  # gcsfs, aiohttp
        status = getattr(error, "code", None) or getattr(error, "status", None)
    return int(status) if isinstance(status, int | str) and str(status).isdigit() else None


def _says_so(error: BaseException) -> bool:
    """s3fs without the cause: its words for a 412."""
    return isinstance(error, OSError) and error.errno == errno.EINVAL and "pre-conditions" in str(error)
