"""This machine's disk as if it were a store: counts what is listed, opened and read."""

from __future__ import annotations

from typing import Any, ClassVar

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

_DISK = LocalFileSystem()


class CountedStore(AbstractFileSystem):  # type: ignore[misc]
    """`counted:///folder`. Figures are of the whole process: entries listed, objects read, requests, bytes."""

    protocol = "counted"
    root_marker = "/"
    default_block_size = 5 << 20  # as gcsfs has it; s3fs has 50 MB
    listed = requests = read_bytes = 0
    objects: ClassVar[set[str]] = set()

    @classmethod
    def figures(cls) -> dict[str, int]:
        """What has been asked of it so far."""
        return {
            "listed": cls.listed, "objects": len(cls.objects), "requests": cls.requests, "bytes": cls.read_bytes,
        }  # fmt: skip

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix("counted://").strip("/")

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        found = _DISK.ls(self._strip_protocol(path), detail=True)
        type(self).listed += len(found)
        return found if detail else [entry["name"] for entry in found]

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        found: dict[str, Any] = _DISK.info(self._strip_protocol(path))
        return found

    def modified(self, path: str) -> Any:
        return _DISK.modified(self._strip_protocol(path))

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        path = self._strip_protocol(path)
        data: bytes = _DISK.cat_file(path, start=start, end=end)
        self._count(path, len(data))
        return data

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **options: Any) -> _CountedFile:
        return _CountedFile(self, self._strip_protocol(path), mode, block_size or self.default_block_size, **options)

    @classmethod
    def _count(cls, path: str, size: int) -> None:
        cls.objects.add(path)
        cls.requests += 1
        cls.read_bytes += size


class _CountedFile(AbstractBufferedFile):  # type: ignore[misc]
    def _fetch_range(self, start: int, end: int) -> bytes:
        data: bytes = _DISK.cat_file(self.path, start=start, end=end)
        self.fs._count(self.path, len(data))
        return data


fsspec.register_implementation("counted", CountedStore)
