"""From listed columns to staged rows, and from sorted rows to what the plan says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from pipelines.catalogue import Catalogue
from pipelines.estimate import BYTES_PER_S, estimated_ms
from pipelines.glob_columns import extensions
from pipelines.inventory import ListedColumns
from pipelines.plan_done import Done
from pipelines.plan_ids import ID_BYTES, recording_ids
from pipelines.plan_stage import Stage, staged_schema
from pipelines.plan_units import Ordered


@dataclass(slots=True)
class Totals:
    """What a plan will hold."""

    sources: int = 0
    estimated_ms: int = 0
    size_bytes: int = 0
    catalogue_changed: int = 0


class Intake:
    """Takes what was listed, leaves out what is done, and gives the rest back in the order of the plan."""

    def __init__(
        self,
        stage: Stage,
        catalogue: Catalogue | None,
        done: Done,
        subject_buckets: int,
        bytes_per_s: Mapping[str, float],
        root_uris: Mapping[str, str],
        is_suppressed: Callable[[str, str], bool] | None = None,
    ) -> None:
        self._stage, self._catalogue, self.done = stage, catalogue, done
        self._rates = {**BYTES_PER_S, **bytes_per_s}
        self._root_uris = root_uris
        self._groups = catalogue.groups(subject_buckets) if catalogue else None
        self._is_suppressed = is_suppressed
        self.totals = Totals()
        self.listed = 0
        self.suppressed = 0
        """Listed, and left out because what lay there was erased."""

    def add(self, root: str, piece: ListedColumns) -> None:
        """Adds sources of one root. Raises ConfigError where two catalogue rows speak of one with equal right."""
        import pyarrow as pa

        count = len(piece.path)
        self.listed += count
        sizes = piece.size.to_numpy()
        ms = estimated_ms(*extensions(piece.path), sizes, self._rates)
        ids = recording_ids(root, piece.path, piece.version)
        columns = {
            "group": np.zeros(count, np.int64),
            "root": np.full(count, self._stage.code_of(root)),
            "path": piece.path,
            "version": piece.version,
            "size": sizes,
            "ms": ms,
            "id": pa.FixedSizeBinaryArray.from_buffers(pa.binary(ID_BYTES), count, [None, pa.py_buffer(ids)]),
            "entry": np.full(count, -1, np.int32),
        }
        extra, marks = None, np.zeros(count, np.uint64)
        if self._catalogue is not None and self._groups is not None:
            entry = self._catalogue.entries_of(root, piece.path, self._root_uris.get(root, ""))
            columns |= {"entry": entry, "group": self._groups.of(entry)}
            extra = self._catalogue.row_bytes(entry)
            marks = self._catalogue.row_marks(entry) if len(self.done) else marks
        taken, changed = self.done.leaves(ids, marks)
        if self._is_suppressed is not None:
            erased = np.fromiter((self._is_suppressed(root, path) for path in piece.path.to_pylist()), bool, count)
            self.suppressed += int(np.count_nonzero(erased))
            taken &= ~erased
        table = pa.table([columns[name] for name in staged_schema().names], schema=staged_schema())
        if not taken.all():
            table, ms, sizes = table.filter(pa.array(taken)), ms[taken], sizes[taken]
            extra = extra[taken] if extra is not None else None
        self._stage.add(table, extra)
        self.totals.sources += len(ms)
        self.totals.estimated_ms += int(ms.sum())
        self.totals.size_bytes += int(sizes.sum())
        self.totals.catalogue_changed += changed

    def in_order(self) -> Iterator[Ordered]:
        """The sources in the order of the plan, a partition at a time, each with the catalogue rows it needs."""
        import pyarrow as pa

        nothing = pa.table({"json": pa.array([], pa.string()), "sha256": pa.array([], pa.string())})
        if self._catalogue is None:
            for rows in self._stage:
                yield Ordered(rows, nothing, rows["entry"].to_numpy())
            return
        wanted = list(self._stage.entries())
        for rows, numbers, told in zip(self._stage, wanted, self._catalogue.dealt(wanted), strict=True):
            entry = rows["entry"].to_numpy()
            yield Ordered(rows, told, np.where(entry >= 0, np.searchsorted(numbers, entry), -1))
