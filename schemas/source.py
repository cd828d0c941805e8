"""A source: one raw object under a named source root, as it was listed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from schemas import ids


@dataclass(frozen=True)
class Source:
    """One raw object: `path` is relative to the root; `version` is the store's checksum, else etag, generation or
    (locally) `{mtime_ns}-{size}`."""

    root: str
    path: str
    version: str
    size_bytes: int

    @cached_property
    def recording_id(self) -> str:
        return ids.recording_id(self.root, self.path, self.version)
