"""What planning is measured on: tables of made-up sources, and a bucket whose pages hold the same ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

_SHOWS = 5000
_PEOPLE = 20_000
_PAGE = 1000
_BATCH = 100_000


def _path(n: int) -> str:
    return f"show{n % _SHOWS:05d}/2025/{n // _SHOWS:05d}/episode-{n:08d}.mp3"


def _size(n: int) -> int:
    return 1_000_000 + n * 7919 % 30_000_000


def write_tables(folder: Path, sources: int) -> None:
    """`inventory.csv`, `catalogue.csv` and `prefixes.csv` of MP3 files between 1 and 31 MB, the same everywhere."""
    order = np.random.default_rng(1).permutation(sources)
    with (folder / "inventory.csv").open("w") as listed, (folder / "catalogue.csv").open("w") as said:
        listed.write("path,version,size\n")
        said.write("path,subjects,complete,language,collected_at,extra.show\n")
        for begin in range(0, sources, _BATCH):
            numbers = order[begin : begin + _BATCH].tolist()
            listed.write("".join(f"{_path(n)},{n:032x},{_size(n)}\n" for n in numbers))
            said.write("".join(f"{_path(n)},{_people(n)},true,en-GB,2025-03-01,show{n % _SHOWS}\n" for n in numbers))
    with (folder / "prefixes.csv").open("w") as said:
        said.write("prefix,subject,complete\n")
        said.write("".join(f"show{n:05d},s{n:06d},true\n" for n in range(_SHOWS)))


def _people(n: int) -> str:
    return f"s{n % _PEOPLE:06d}" + ("" if n % 3 else f";t{n * 31 % _PEOPLE:06d}")


class Bucket:
    """A bucket of so many objects, as the clients of GCS and S3 answer for it: a thousand names at a time."""

    def __init__(self, uri: str, objects: int) -> None:
        scheme, _, self.folder = uri.partition("://")
        self.protocol, self._objects = (scheme,), objects
        self.req_kw: dict[str, str] = {}
        self._prefix = f"{self.folder.partition('/')[2]}/"

    def opened(self, uri: str, *_: Any, **__: Any) -> tuple[Bucket, str]:
        """In place of a client for `uri`."""
        return self, uri.partition("://")[2]

    def call(self, *_: Any, pageToken: str = "0", **__: Any) -> dict[str, Any]:  # noqa: N803  (the API's name)
        """A page of the JSON API."""
        begin = int(pageToken)
        end = min(begin + _PAGE, self._objects)
        items = [
            {"name": f"{self._prefix}{_path(n)}", "size": str(_size(n)), "md5Hash": f"{n:022x}==", "etag": "CJ"}
            for n in range(begin, end)
        ]
        return {"items": items} | ({"nextPageToken": str(end)} if end < self._objects else {})

    def call_s3(self, *_: Any, ContinuationToken: str = "0", **__: Any) -> dict[str, Any]:  # noqa: N803  (the API's name)
        """A page of ListObjectsV2."""
        begin = int(ContinuationToken)
        end = min(begin + _PAGE, self._objects)
        items = [
            {"Key": f"{self._prefix}{_path(n)}", "Size": _size(n), "ETag": f'"{n:032x}"'} for n in range(begin, end)
        ]
        return {"Contents": items, "IsTruncated": end < self._objects, "NextContinuationToken": str(end)}
