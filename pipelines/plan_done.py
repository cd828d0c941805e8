"""What earlier runs have dealt with, held in 24 bytes a recording, and asked a column at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipelines.plan_ids import ID_BYTES, from_hex

if TYPE_CHECKING:
    import pyarrow as pa

_NO_ROW = np.uint64(0)
_ROWS = 131_072


class Done:
    """Recordings that are done, each with the catalogue row it was done with (see `write_plan`)."""

    def __init__(self, done: pa.Table | Path | None) -> None:
        """Raises ValueError for a table without ids, and for a recording that stands twice in it."""
        self._has_rows = False
        pieces = list(self._pieces(done)) if done is not None else []
        keys = np.concatenate([keys for keys, _ in pieces]) if pieces else np.zeros((0, 2), np.uint64)
        rows = np.concatenate([rows for _, rows in pieces]) if pieces else np.zeros(0, np.uint64)
        del pieces
        order = np.argsort(keys[:, 0], kind="stable")
        self._first, self._second, self._rows = keys[order, 0], keys[order, 1], rows[order]
        if _some_twice(self._first, self._second):
            raise ValueError("sources that are done stand in their table once each")

    def _pieces(self, done: pa.Table | Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        import pyarrow.parquet as pq

        names = pq.read_schema(done).names if isinstance(done, Path) else done.schema.names
        if "recording_id" not in names:
            raise ValueError(f"sources that are done need a column recording_id, not {names}")
        self._has_rows = "catalogue_row_sha256" in names
        columns = ["recording_id", "catalogue_row_sha256"] if self._has_rows else ["recording_id"]
        if isinstance(done, Path):
            batches = pq.ParquetFile(done).iter_batches(_ROWS, columns=columns)
        else:
            batches = iter(done.select(columns).to_batches(_ROWS))
        for batch in batches:
            found, is_id = from_hex(batch.column("recording_id").cast("string"), ID_BYTES)
            # What is no id is no source's, and needs no place.
            rows = (
                row_marks(batch.column("catalogue_row_sha256")) if self._has_rows else np.zeros(len(found), np.uint64)
            )
            yield as_keys(found[is_id]), rows[is_id]

    def __len__(self) -> int:
        return len(self._first)

    def leaves(self, ids: np.ndarray, marks: np.ndarray) -> tuple[np.ndarray, int]:
        """Which sources are to be planned, and how many of them because their catalogue row is another now.

        `ids` are (rows, 16) bytes, `marks` the `row_marks` of their catalogue rows.
        """
        if len(self) == 0:
            return np.ones(len(ids), bool), 0
        at = find(self._first, self._second, as_keys(ids))
        is_done = at >= 0
        changed = is_done & (self._rows[at] != marks) if self._has_rows else np.zeros(len(ids), bool)
        return ~is_done | changed, int(np.count_nonzero(changed))


def as_keys(ids: np.ndarray) -> np.ndarray:
    """(rows, 16) bytes as two numbers each."""
    return np.ascontiguousarray(ids).view(">u8").astype(np.uint64).reshape(-1, 2)


def find(first: np.ndarray, second: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Where each key stands among those that are sorted by `first`; -1 where it does not."""
    found = np.full(len(keys), -1, np.int64)
    if len(first) == 0 or len(keys) == 0:
        return found
    # Asked in order, a large table is walked through once and not jumped about in.
    asked = np.argsort(keys[:, 0])
    at = np.searchsorted(first, keys[asked, 0])
    waiting = np.arange(len(asked))
    while len(waiting):
        waiting = waiting[at[waiting] < len(first)]
        waiting = waiting[first[at[waiting]] == keys[asked[waiting], 0]]
        hit = second[at[waiting]] == keys[asked[waiting], 1]
        found[asked[waiting[hit]]] = at[waiting[hit]]
        waiting = waiting[~hit]  # two ids whose first halves are one
        at[waiting] += 1
    return found


def _some_twice(first: np.ndarray, second: np.ndarray) -> bool:
    same = np.flatnonzero(first[1:] == first[:-1])
    pairs = {int(n) + k for n in same for k in (0, 1)}
    return len({(int(first[n]), int(second[n])) for n in pairs}) != len(pairs)


def row_marks(digests: pa.Array) -> np.ndarray:
    """64 bits of each catalogue row's digest, 0 for none: whether a row is another is asked of these."""
    import pyarrow.compute as pc

    bits, is_hex = from_hex(pc.fill_null(digests.cast("string"), ""), 32)
    marks = bits[:, :8].copy().view(">u8").astype(np.uint64).reshape(-1)
    others = np.flatnonzero(~is_hex & digests.is_valid().to_numpy(zero_copy_only=False))
    for row in others:
        marks[row] = int.from_bytes(hashlib.sha256(digests[int(row)].as_py().encode()).digest()[:8], "big")
    marks[~is_hex & digests.is_null().to_numpy(zero_copy_only=False)] = _NO_ROW
    return marks
