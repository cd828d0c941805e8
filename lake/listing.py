"""What lies under a folder, object by object, in bounded memory: this machine's disk entry by entry, GCS and S3 page by
page, and whatever else fsspec opens folder by folder.

A page that fails is asked again by itself: no object twice, and none left out, for the next page begins behind the last
name of this one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lake.clients import GCS, S3
from lake.retries import retried

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
        yield from _on_disk(folder, "")
        return
    for path, entry in entries(filesystem, protocol, folder):
        yield ObjectInfo(path, int(entry.get("size") or 0), modified_at(entry))


def modified_at(entry: Mapping[str, Any]) -> datetime | None:
    """When the object that the store says this of was last written."""
    names = ("updated", "LastModified", "mtime", "created")
    return _instant(next((entry[name] for name in names if entry.get(name)), None))


def entries(filesystem: Any, protocol: str, folder: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(path below `folder`, what the store says of it) of every object in a remote store, in the store's own order.

    `size` is there under this name; checksums, generations and times under the store's names.
    """
    if protocol in GCS:
        found = _on_gcs(filesystem, folder)
    elif protocol in S3:
        found = _on_s3(filesystem, folder)
    else:
        found = _elsewhere(filesystem, folder)
    for path, entry in found:
        if not path.endswith("/"):  # some tools write an empty object to stand for a folder
            yield path, entry


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


def _on_gcs(filesystem: Any, folder: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Pages of the JSON API; `find` of gcsfs would hold the whole listing."""
    bucket, prefix = _split(folder)
    options = {
        "prefix": prefix,
        "maxResults": _PAGE,
        "fields": "nextPageToken,items(name,size,md5Hash,crc32c,etag,generation,updated)",
    }
    while True:
        page = retried(lambda: filesystem.call("GET", "b/{}/o", bucket, json_out=True, **options))
        for item in page.get("items", ()):
            yield item["name"].removeprefix(prefix), item
        if not page.get("nextPageToken"):
            return
        options["pageToken"] = page["nextPageToken"]


def _on_s3(filesystem: Any, folder: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Pages of ListObjectsV2; `find` of s3fs would hold the whole listing."""
    bucket, prefix = _split(folder)
    options = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": _PAGE, **filesystem.req_kw}
    while True:
        page = retried(lambda: filesystem.call_s3("list_objects_v2", **options))
        for item in page.get("Contents", ()):
            yield item["Key"].removeprefix(prefix), {**item, "size": item["Size"]}
        if not page.get("IsTruncated"):
            return
        options["ContinuationToken"] = page["NextContinuationToken"]


def _elsewhere(filesystem: Any, folder: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    folders = [folder]
    while folders:
        here = folders.pop()
        try:
            found = retried(lambda here=here: filesystem.ls(here, detail=True))  # type: ignore[misc]
        except (FileNotFoundError, NotADirectoryError):
            continue
        for entry in found:
            name = str(entry["name"]).rstrip("/")
            if entry["type"] != "directory":
                yield name.removeprefix(f"{folder}/"), entry
            elif name != here:
                folders.append(name)


def _split(folder: str) -> tuple[str, str]:
    bucket, _, prefix = folder.partition("/")
    return bucket, f"{prefix}/" if prefix else ""


def _instant(value: object) -> datetime | None:
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        return None
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
