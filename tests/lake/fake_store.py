"""An object store in this process that behaves as s3fs does: parts are sent while writing, the object appears at close
under the precondition of mode "xb", and fsspec's own `with` finishes an upload whatever happened inside."""

from __future__ import annotations

import errno
from typing import Any

from fsspec.spec import AbstractBufferedFile, AbstractFileSystem


class Refused(Exception):
    """How botocore carries a status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.response = {"ResponseMetadata": {"HTTPStatusCode": status}}


def as_s3fs_says_it(status: int) -> OSError:
    error = OSError(errno.EINVAL if status == 412 else errno.EBUSY, "Some words")
    error.__cause__ = Refused(status)
    return error


class FakeStore(AbstractFileSystem):
    """`answers` are statuses to give to the next creates before the store does as it is asked."""

    protocol = "fake"
    cachable = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.objects: dict[str, bytes] = {}
        self.unfinished_uploads = 0
        self.answers: list[int] = []

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **options: Any) -> Upload:
        return Upload(self, path, mode, block_size=block_size or 1 << 20, **options)


class Upload(AbstractBufferedFile):
    """One upload."""

    def _initiate_upload(self) -> None:
        self.parts: list[bytes] = []
        self.fs.unfinished_uploads += 1

    def _upload_chunk(self, final: bool = False) -> bool:
        self.parts.append(self.buffer.getvalue())
        if final:
            if self.fs.answers:
                raise as_s3fs_says_it(self.fs.answers.pop(0))
            if "x" in self.mode and self.path in self.fs.objects:
                raise as_s3fs_says_it(412)
            self.fs.objects[self.path] = b"".join(self.parts)
            self.fs.unfinished_uploads -= 1
        return True

    def discard(self) -> None:
        self.fs.unfinished_uploads -= 1
        self.buffer = None
