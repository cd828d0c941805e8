"""Remote objects by ranges of bytes, each of them whole: what breaks off is asked again from where it was."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

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
