"""Everything that a root holds, by listing and not by what anything names: current objects, earlier versions, uploads
that were never finished, files that other readers skip, and names of folders.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from lake.clients import GCS, S3
from lake.ranged import RangedFile
from lake.retries import retried
from lake.storage import Root
from lake.store_errors import in_one_line
from schemas.errors import LakeError

CURRENT, NONCURRENT, UPLOAD, DELETED, FOLDER = "current", "noncurrent", "upload", "soft-deleted", "folder"
_PAGE = 1000
_RANGE = 32 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """One object, or one version of it."""

    path: str
    size_bytes: int
    state: str = CURRENT
    version: str | None = None

    @property
    def is_readable(self) -> bool:
        """Bytes of an unfinished upload, and of what is deleted and kept all the same, no store hands out."""
        return self.state not in (UPLOAD, DELETED, FOLDER)

    def hashed(self, root: Root) -> int:
        """64 bits that tell it from every other place. A version that is noncurrent by now is the same place."""
        state = CURRENT if self.version is not None and self.is_readable else self.state
        words = "\0".join((root.uri, self.path, str(self.size_bytes), state, self.version or ""))
        return int.from_bytes(hashlib.blake2b(words.encode("utf-8", "surrogateescape"), digest_size=8).digest())


def places(root: Root, without: frozenset[str] = frozenset()) -> Iterator[Place]:
    """Every place below `root`; `without` leaves out whole states. Raises LakeError where the store will not say."""
    if root.is_local:
        found = _on_disk(root.base, "")
    elif root.protocol in GCS:
        found = _explained(root, _on_gcs)
    elif root.protocol in S3:
        found = _explained(root, _on_s3)
    else:
        found = (Place(info.path, info.size_bytes) for info in root.list(unfinished=True))
    yield from (place for place in found if place.state not in without)


@contextmanager
def content_of(root: Root, place: Place) -> Iterator[Any]:
    """The bytes of a place as a memory map; a remote one is copied to this machine's disk first. Raises LakeError."""
    try:
        with _local(root, place) as file:
            if not os.fstat(file.fileno()).st_size:
                yield b""
                return
            # Not closed by hand: views of it may still be held by a decoder, and it goes with the last of them.
            yield mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise LakeError(f"{root.uri_of(place.path)}: {in_one_line(error)}") from error


@contextmanager
def _local(root: Root, place: Place) -> Iterator[Any]:
    if root.is_local:
        with open(os.path.join(root.base, place.path), "rb") as file:
            yield file
        return
    with tempfile.TemporaryFile(prefix="provoice-scan-") as file:
        for begin in range(0, place.size_bytes, _RANGE):
            file.write(_range(root, place, begin, min(begin + _RANGE, place.size_bytes)))
        file.flush()
        yield file


def _range(root: Root, place: Place, begin: int, end: int) -> bytes:
    full = f"{root.base}/{place.path}"
    bucket, _, key = full.partition("/")

    def fetch(first: int, last: int) -> bytes:
        if place.version is None:
            return bytes(root.filesystem.cat_file(full, start=first, end=last))
        if root.protocol in S3:
            return bytes(root.filesystem.cat_file(full, version_id=place.version, start=first, end=last))
        _, data = root.filesystem.call(
            "GET", "b/{}/o/{}", bucket, key, alt="media", generation=place.version,
            headers={"Range": f"bytes={first}-{last - 1}"},
        )  # fmt: skip
        return bytes(data)

    try:
        data = RangedFile(lambda first, last: retried(lambda: fetch(first, last)), end)
        data.seek(begin)
        return data.read(end - begin) or b""
    except Exception as error:
        # Every store's client has exceptions of its own.
        raise LakeError(f"{root.uri_of(place.path)}: {in_one_line(error)}") from error


# --- listings ---------------------------------------------------------------------------------------------------------


def _on_disk(base: str, prefix: str) -> Iterator[Place]:
    """Files, dot files and temporary ones too, and folders for their names' sake. Links are not followed."""
    try:
        entries = sorted(os.scandir(os.path.join(base, prefix)), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        if prefix:
            yield Place(prefix.rstrip("/"), 0)  # removed while we looked: whoever reads it sees that it is gone
        return
    except OSError as error:
        raise LakeError(f"{os.path.join(base, prefix)}: {error.strerror}") from None
    for entry in entries:
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            yield Place(prefix + entry.name, 0)
            continue
        path = prefix + entry.name
        if stat.S_ISDIR(status.st_mode):
            yield Place(path, 0, FOLDER)
            yield from _on_disk(base, f"{path}/")
        elif stat.S_ISREG(status.st_mode):
            yield Place(path, status.st_size)
        else:
            yield Place(path, 0, FOLDER)  # a link or a socket: it has a name, and no bytes


def _on_s3(root: Root) -> Iterator[Place]:
    bucket, prefix = _split(root.base)
    options = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": _PAGE, **root.filesystem.req_kw}
    while True:
        page = retried(partial(root.filesystem.call_s3, "list_object_versions", **options))
        for item in page.get("Versions", ()):
            state = CURRENT if item["IsLatest"] else NONCURRENT
            version = None if item["VersionId"] == "null" and item["IsLatest"] else item["VersionId"]
            yield Place(item["Key"].removeprefix(prefix), item["Size"], state, version)
        for item in page.get("DeleteMarkers", ()):
            yield Place(item["Key"].removeprefix(prefix), 0, FOLDER, item["VersionId"])
        if not page.get("IsTruncated"):
            break
        options |= {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}
    yield from _uploads(root, bucket, prefix)


def _uploads(root: Root, bucket: str, prefix: str) -> Iterator[Place]:
    options = {"Bucket": bucket, "Prefix": prefix, **root.filesystem.req_kw}
    while True:
        page = retried(partial(root.filesystem.call_s3, "list_multipart_uploads", **options))
        for item in page.get("Uploads", ()):
            yield Place(item["Key"].removeprefix(prefix), 0, UPLOAD, item["UploadId"])
        if not page.get("IsTruncated"):
            return
        options |= {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}


def _on_gcs(root: Root) -> Iterator[Place]:
    bucket, prefix = _split(root.base)
    for extra in ({"versions": "true"}, {"softDeleted": "true"}):
        options = {
            "prefix": prefix, "maxResults": _PAGE, **extra,
            "fields": "nextPageToken,items(name,size,generation,timeDeleted,softDeleteTime)",
        }  # fmt: skip
        while True:
            page = retried(partial(root.filesystem.call, "GET", "b/{}/o", bucket, json_out=True, **options))
            for item in page.get("items", ()):
                is_soft = "softDeleteTime" in item
                if is_soft != ("softDeleted" in extra):
                    continue  # a server that does not know the question answers another one
                state = DELETED if is_soft else NONCURRENT if "timeDeleted" in item else CURRENT
                path = item["name"].removeprefix(prefix)
                yield Place(path, int(item.get("size") or 0), state, str(item["generation"]))
            if not page.get("nextPageToken"):
                break
            options["pageToken"] = page["nextPageToken"]


def _explained(root: Root, listing: Callable[[Root], Iterator[Place]]) -> Iterator[Place]:
    try:
        yield from listing(root)
    except Exception as error:
        # Every store's client has exceptions of its own; a scan that does not see earlier versions proves nothing.
        raise LakeError(f"{root.uri}: its versions and uploads cannot be listed: {in_one_line(error)}") from error


def _split(base: str) -> tuple[str, str]:
    bucket, _, prefix = base.partition("/")
    return bucket, f"{prefix}/" if prefix else ""
