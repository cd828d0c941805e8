"""Requests that a run makes of an object store, as counted (`python -m benchmarks.requests`).

Writes are what stores bill dearly: creates, parts of uploads, listings. Reads are everything else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

READ_RANGE = 8 << 20
"""Bytes of a source that are asked for at once (`pipelines/fetch.py`)."""
UPLOAD_PART = 32 << 20
"""Bytes that a large object is uploaded in (`lake/remote_create.py`)."""

RUN_READS, UNIT_READS, SOURCE_READS = 30.0, 20.0, 2.0
RUN_WRITES, UNIT_WRITES, SOURCE_WRITES = 10.0, 10.0, 0.0


@dataclass(frozen=True, slots=True)
class InStores:
    """What lies in an object store, and not on this machine's disk."""

    lake: bool
    sources: bool


def reads(units: int, sources: int, size_bytes: int, where: InStores) -> float:
    """Requests that read."""
    of_lake = RUN_READS + UNIT_READS * units
    of_sources = SOURCE_READS * sources + max(0.0, size_bytes / READ_RANGE - sources)
    return of_lake * where.lake + of_sources * where.sources


def writes(units: int, sources: int, tar_bytes: np.ndarray, where: InStores) -> np.ndarray:
    """Requests that create or list; `tar_bytes` in draws."""
    parts = np.maximum(0.0, tar_bytes / UPLOAD_PART - units)
    return np.asarray((RUN_WRITES + UNIT_WRITES * units + parts) * where.lake + SOURCE_WRITES * sources * where.sources)
