"""What lies under a folder, object by object, in bounded memory: this machine's disk entry by entry, GCS and S3 page by
page, and whatever else fsspec opens folder by folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_PAGE = 1000  # what S3 gives at most


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object as listed: path within the root."""

    path: str
    size_bytes: int
    modified: datetime | None = None


def objects(filesystem: Any, protocol: str, folder: str) -> Iterator[ObjectInfo]:
    """Every object below `folder` (as the store calls it), with paths relative to it; nothing where it is missing."""
    if protocol in ("file", "local"):
        return _on_disk(folder, "")
    if protocol in ("gs", "gcs"):
        return _on_gcs(filesystem, folder)
    if protocol in ("s3", "s3a"):
        return _on_s3(filesystem, folder)
    return _elsewhere(filesystem, folder)


def _on_disk(folder: str, prefix: str) -> Iterator[ObjectInfo]:
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    with entries:
        for entry in entries:
            if entry.is_dir():
                yield from _on_disk(entry.path, f"{prefix}{entry.name}/")
                continue
            try:
                status = entry.stat()
            except FileNotFoundError:
                continue  # removed while we looked
            yield ObjectInfo(prefix + entry.name, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))


def _on_gcs(filesystem: Any, folder: str) -> Iterator[ObjectInfo]:
    """Pages of the JSON API; `find` of gcsfs would hold the whole listing."""
    bucket, prefix = _split(folder)
    fields = "nextPageToken,items(name,size,updated)"
    token: dict[str, str] = {}
    while True:
        page = filesystem.call(
            "GET", "b/{}/o", bucket, prefix=prefix, maxResults=_PAGE, fields=fields, json_out=True, **token
        )
        for item in page.get("items", ()):
            yield from _info(item["name"], prefix, item["size"], item.get("updated"))
        if not page.get("nextPageToken"):
            return
        token = {"pageToken": page["nextPageToken"]}


def _on_s3(filesystem: Any, folder: str) -> Iterator[ObjectInfo]:
    """Pages of ListObjectsV2; `find` of s3fs would hold the whole listing."""
    bucket, prefix = _split(folder)
    token: dict[str, str] = {}
    while True:
        page = filesystem.call_s3(
            "list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=_PAGE, **filesystem.req_kw, **token
        )
        for item in page.get("Contents", ()):
            yield from _info(item["Key"], prefix, item["Size"], item.get("LastModified"))
        if not page.get("IsTruncated"):
            return
        token = {"ContinuationToken": page["NextContinuationToken"]}


def _elsewhere(filesystem: Any, folder: str) -> Iterator[ObjectInfo]:
    folders = [folder]
    while folders:
        here = folders.pop()
        try:
            entries = filesystem.ls(here, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            continue
        for entry in entries:
            name = str(entry["name"]).rstrip("/")
            if entry["type"] != "directory":
                yield from _info(name, f"{folder}/", entry["size"], entry.get("mtime") or entry.get("created"))
            elif name != here:
                folders.append(name)


def _split(folder: str) -> tuple[str, str]:
    bucket, _, prefix = folder.partition("/")
    return bucket, f"{prefix}/" if prefix else ""


def _info(name: str, prefix: str, size: int | str | None, modified: object) -> Iterator[ObjectInfo]:
    if not name.endswith("/"):  # some tools write an empty object to stand for a folder
        yield ObjectInfo(name.removeprefix(prefix), int(size or 0), _instant(modified))


def _instant(value: object) -> datetime | None:
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        return None
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
