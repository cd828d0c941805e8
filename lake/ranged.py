"""Remote objects by ranges of bytes, each of them whole: what breaks off is asked again from where it was."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from typing import Any

from fsspec.spec import AbstractFileSystem

from lake.retries import retried
from lake.store_errors import ShortRead


def read_range(filesystem: Any, path: str, start: int, end: int) -> bytes:
    """Bytes `[start, end)` of an object that has them, no fewer. Raises ShortRead, or what the client raises."""

    def read() -> bytes:
        data: bytes = filesystem.cat_file(path, start=start, end=end)
        if len(data) != end - start:
            raise ShortRead(f"{len(data)} bytes came where {end - start} were asked for, from byte {start}")
        return data

    return retried(read)


def open_ranged(filesystem: Any, path: str, block: int) -> io.BufferedReader:
    """The object as a file that fetches at least `block` bytes at a time. Raises FileNotFoundError."""
    info = retried(lambda: filesystem.info(path))
    if info["type"] == "directory":
        raise FileNotFoundError(path)
    fetch = functools.partial(read_range, filesystem, path)
    return io.BufferedReader(RangedFile(fetch, int(info["size"])), block)


class RangedFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """What others read a store through (DuckDB does): gcsfs's own files leave tasks behind that complain at the end of
    the process, and no client's own files are asked again for what broke off."""

    cachable = False

    def __init__(self, filesystem: Any, block: int) -> None:
        super().__init__()
        self._inner = filesystem
        self._block = block
        self.protocol = filesystem.protocol
        self._strip_protocol = filesystem._strip_protocol

    def open(self, path: str, mode: str = "rb", **_: Any) -> io.BufferedReader:
        if mode != "rb":
            raise OSError(f"{path} is read only here")
        return open_ranged(self._inner, self._strip_protocol(path), self._block)

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        found: dict[str, Any] = retried(lambda: self._inner.info(self._strip_protocol(path)))
        return found

    def glob(self, path: str, **_: Any) -> list[str]:
        found: list[str] = retried(lambda: self._inner.glob(self._strip_protocol(path)))
        return found

    def modified(self, path: str) -> Any:
        return retried(lambda: self._inner.modified(self._strip_protocol(path)))


class RangedFile(io.RawIOBase):
    """An object of `size` bytes as a file. `fetch(start, end)` gives exactly those bytes; its errors pass."""

    def __init__(self, fetch: Callable[[int, int], bytes], size: int) -> None:
        super().__init__()
        self._fetch = fetch
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"byte {base + offset} is before the start")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        end = min(self._at + len(buffer), self._size)
        if end <= self._at:
            return 0
        data = self._fetch(self._at, end)
        buffer[: len(data)] = data
        self._at = end
        return len(data)
