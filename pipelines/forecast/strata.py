"""The planned sources by extension and size, in bounded memory, each group with the few that would be measured.

Planning opens no file, so the extension stands for the codec. Which sources of a group are candidates follows from
their ids, which are digests: as good as drawn, and the same every time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.estimate import BYTES_PER_S

if TYPE_CHECKING:
    import pyarrow as pa

OTHER = "other"
"""Extensions that say nothing of a codec: whatever follows the last dot may be part of a name, and is not kept."""
SOURCE_LOAD_S = 2.0
"""What a source takes whatever is in it, as seconds of audio: to ask consent, to find a reader, to write its row."""
_CLASS_BITS = 2  # a class of size reaches to four times its smallest


@dataclass(slots=True)
class Stratum:
    """Sources of one extension whose sizes lie within a factor of four."""

    extension: str
    size_class: int
    sources: int = 0
    size_bytes: int = 0
    estimated_s: float = 0.0
    candidates: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """(recording id, plan row) of those with the lowest ids, in order."""

    @property
    def load_s(self) -> float:
        """What they take, as seconds of audio."""
        return self.estimated_s + SOURCE_LOAD_S * self.sources

    @property
    def from_bytes(self) -> int:
        return int(1 << (_CLASS_BITS * self.size_class)) if self.size_class else 0


Key = tuple[str, int]


class Population:
    """Every planned source, in its stratum. `keep`: candidates per stratum."""

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self.strata: dict[Key, Stratum] = {}

    @property
    def size_bytes(self) -> int:
        return sum(stratum.size_bytes for stratum in self.strata.values())

    @property
    def sources(self) -> int:
        return sum(stratum.sources for stratum in self.strata.values())

    def add(self, batch: pa.RecordBatch) -> None:
        """Adds plan rows."""
        ids = np.array(batch.column("recording_id").to_pylist(), dtype="S32")
        sizes = batch.column("source_size_bytes").to_numpy()
        seconds = batch.column("estimated_s").to_numpy()
        for key, rows in _groups(batch):
            stratum = self.strata.setdefault(key, Stratum(*key))
            stratum.sources += len(rows)
            stratum.size_bytes += int(sizes[rows].sum())
            stratum.estimated_s += float(seconds[rows].sum())
            self._offer(stratum, batch, rows, ids)

    def _offer(self, stratum: Stratum, batch: pa.RecordBatch, rows: np.ndarray, ids: np.ndarray) -> None:
        if len(stratum.candidates) == self.keep:
            rows = rows[ids[rows] < stratum.candidates[-1][0].encode()]
        best = rows[np.argsort(ids[rows])][: self.keep]
        new = [(ids[row].decode(), batch.slice(int(row), 1).to_pylist()[0]) for row in best]
        stratum.candidates = sorted([*stratum.candidates, *new], key=lambda one: one[0])[: self.keep]


def population(batches: Iterable[pa.RecordBatch], keep: int) -> Population:
    """The strata of a plan's rows."""
    found = Population(keep)
    for batch in batches:
        found.add(batch)
    return found


def row_keys(batch: pa.RecordBatch) -> tuple[list[Key], np.ndarray]:
    """Every stratum of these rows, and for each row which of them it lies in."""
    extensions, codes = _extensions(batch)
    classes = _size_classes(batch.column("source_size_bytes").to_numpy())
    together, which = np.unique(codes.astype(np.int64) * 64 + classes, return_inverse=True)
    return [(extensions[code // 64], int(code % 64)) for code in together.tolist()], which


def _groups(batch: pa.RecordBatch) -> Iterable[tuple[Key, np.ndarray]]:
    keys, which = row_keys(batch)
    order = np.argsort(which, kind="stable")
    ends = np.searchsorted(which[order], np.arange(len(keys)), side="right")
    return zip(keys, np.split(order, ends[:-1]), strict=True)


def _extensions(batch: pa.RecordBatch) -> tuple[list[str], np.ndarray]:
    """Known extensions in order, `other` last, and the place of each row's."""
    import pyarrow as pa
    import pyarrow.compute as pc

    known = [*sorted(BYTES_PER_S), OTHER]
    endings = pc.replace_substring_regex(pc.utf8_lower(batch.column("source_path")), r"(?s)^.*\.", "")
    found = pc.index_in(endings, value_set=pa.array(known[:-1]))
    return known, pc.fill_null(found, len(known) - 1).to_numpy()


def _size_classes(sizes: np.ndarray) -> np.ndarray:
    return np.asarray(np.log2(np.maximum(sizes, 1)) // _CLASS_BITS, np.int64)
