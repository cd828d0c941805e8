"""Requests that a run makes of an object store, as counted (`python -m benchmarks.requests`).

Writes are what stores bill dearly: creates, parts of uploads, listings (gcsfs lists where it asks for what is not
there). Reads are everything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

READ_RANGE = 8 << 20
"""Bytes of a source that are asked for at once (`pipelines/fetch.py`)."""
UPLOAD_PART = 32 << 20
"""Bytes that a large object is uploaded in (`lake/remote_create.py`)."""


@dataclass(frozen=True, slots=True)
class InStores:
    """What lies in an object store, and not on this machine's disk."""

    lake: str | None
    """`gs`, `s3`; a store of another kind counts as the one that takes more requests. None: on the disk."""
    sources: str | None


@dataclass(frozen=True, slots=True)
class Counted:
    """Requests for the whole run, for each unit, and for each source."""

    run: float
    unit: float
    source: float


_READS = {"gs": Counted(23.0, 30.4, 4.9), "s3": Counted(25.0, 25.0, 3.0)}
_WRITES = {"gs": Counted(42.0, 25.0, 2.0), "s3": Counted(43.0, 16.0, 0.0)}
_OTHERS = "gs"


def reads(units: int, sources: int, size_bytes: int, where: InStores) -> float:
    """Requests that read."""
    of_lake, of_sources = _of(_READS, where.lake), _of(_READS, where.sources)
    further = max(0.0, size_bytes / READ_RANGE - sources) if where.sources else 0.0
    return of_lake.run + of_lake.unit * units + of_sources.source * sources + further


def writes(units: int, sources: int, tar_bytes: np.ndarray, where: InStores) -> np.ndarray:
    """Requests that create or list; `tar_bytes` in draws."""
    of_lake, of_sources = _of(_WRITES, where.lake), _of(_WRITES, where.sources)
    parts = np.maximum(0.0, tar_bytes / UPLOAD_PART - units) * bool(where.lake)
    return np.asarray(of_lake.run + of_lake.unit * units + of_sources.source * sources + parts)


def _of(counted: Mapping[str, Counted], scheme: str | None) -> Counted:
    return counted.get(scheme, counted[_OTHERS]) if scheme else Counted(0.0, 0.0, 0.0)


def scheme_of(uri: str) -> str | None:
    """`gs`, `s3`, another store's; None for this machine's disk."""
    return uri.partition("://")[0] if "://" in uri else None
