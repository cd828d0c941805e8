"""Sources in order, cut into units and written as they come: a partition and a row group at a time in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.plan_ids import ID_BYTES, UnitIds, as_texts
from schemas.quick_arrow import never_import_pandas_for_a_question

if TYPE_CHECKING:
    import pyarrow as pa

# Few enough rows that a worker reads little besides its own unit, enough that a plan of small units stays small.
_GROUP_ROWS = 8192
_GROUP_BYTES = 8 << 20
_UNIT_ROW_BYTES = 64 << 20  # transcripts travel in plan rows; a unit's must fit a worker's memory many times over


@dataclass(frozen=True, slots=True)
class UnitLimits:
    """Where a unit ends, and what its deadline is."""

    audio_ms: int
    sources: int
    size_bytes: int
    deadline_base_s: float
    deadline_s_per_audio_s: float

    def deadline_s(self, audio_ms: int) -> float:
        return float(round(self.deadline_base_s + self.deadline_s_per_audio_s * audio_ms / 1000))


@dataclass(slots=True)
class UnitsWritten:
    """What came of it."""

    units: int = 0
    sources: int = 0
    without_row: int = 0
    longest_unit_s: float = 0.0
    longest_deadline_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Ordered:
    """Sources in order: rows of `staged_schema` with their roots' names, and the catalogue rows that they refer to.

    `said` has the columns `json` and `sha256`; `which` is the row of `said` of each source, or -1.
    """

    rows: pa.Table
    said: pa.Table
    which: np.ndarray


def write_units(pieces: Iterable[Ordered], limits: UnitLimits, path: Path) -> UnitsWritten:
    """Writes the sources to `path` as PLAN_SCHEMA. A row group holds whole units, so that a unit is read by itself."""
    import pyarrow.parquet as pq

    from schemas.tables import PLAN_SCHEMA

    never_import_pandas_for_a_question()
    with pq.ParquetWriter(path, PLAN_SCHEMA, compression="zstd", compression_level=3) as file:
        units = _Units(file, limits)
        for piece in pieces:
            units.add(piece)
        units.end()
    return units.written


class _Sources:
    """Columns of sources of which some are in the file's own form already (left over from the piece before)."""

    def __init__(self, left: pa.Table | None, piece: Ordered | None) -> None:
        import pyarrow.compute as pc

        self._left, self._piece = left, piece
        self._n_left = left.num_rows if left is not None else 0
        columns = [_measures(left)] if left is not None else []
        if piece is not None:
            n_chars = np.append(pc.utf8_length(piece.said["json"]).to_numpy().astype(np.int64), 0)
            columns.append((piece.rows["ms"].to_numpy(), piece.rows["size"].to_numpy(), n_chars[piece.which]))
        self.ms, self.size, self.chars = (np.concatenate(column) for column in zip(*columns, strict=True))
        self._letters: list[np.ndarray] = []

    def __len__(self) -> int:
        return len(self.ms)

    def ids(self) -> np.ndarray:
        """Ids of the recordings, (rows, 16) bytes."""
        found = [_bytes(self._left["id"])] if self._left is not None else []
        if self._piece is not None:
            found.append(_bytes(self._piece.rows["id"]))
        return np.concatenate(found)

    def rows(self, begin: int, end: int) -> pa.Table:
        """Rows `begin` to `end` as `_LEFT` has them: what the plan says of a source."""
        import pyarrow as pa

        found = []
        if self._left is not None and begin < self._n_left:
            found.append(self._left.slice(begin, min(end, self._n_left) - begin))
        if self._piece is not None and end > self._n_left:
            first = max(begin, self._n_left)
            found.append(_told(self._piece, first - self._n_left, end - first))
        return pa.concat_tables(found)


class _Units:
    """The unit that is being filled, and the ended units of the row group that is."""

    def __init__(self, file: Any, limits: UnitLimits) -> None:
        self._file, self._limits = file, limits
        self.written = UnitsWritten()
        self._left: pa.Table | None = None

    def add(self, piece: Ordered) -> None:
        self._write(_Sources(self._left, piece), is_last=False)

    def end(self) -> None:
        if self._left is not None:
            self._write(_Sources(self._left, None), is_last=True)

    def _write(self, sources: _Sources, *, is_last: bool) -> None:
        """Writes the row groups that are full (all, at the end), and keeps what is left for the next piece."""
        names = UnitIds(sources.ids())
        chars = np.concatenate([[0], np.cumsum(sources.chars)])
        ends: list[int] = []
        begin = 0
        for end in self._ends(sources, is_last):
            ends.append(end)
            if end - begin >= _GROUP_ROWS or chars[end] - chars[begin] >= _GROUP_BYTES:
                self._write_group(sources, names, begin, ends)
                begin, ends = end, []
        if is_last and ends:
            self._write_group(sources, names, begin, ends)
            begin = len(sources)
        self._left = sources.rows(begin, len(sources)).combine_chunks() if begin < len(sources) else None

    def _ends(self, sources: _Sources, is_last: bool) -> Iterator[int]:
        """Where each unit ends; one that may still grow does not."""
        sums = [np.concatenate([[0], np.cumsum(c)]) for c in (sources.ms, sources.size, sources.chars)]
        most = [self._limits.audio_ms, self._limits.size_bytes, _UNIT_ROW_BYTES]
        begin, count = 0, len(sources)
        while begin < count:
            end = min(begin + self._limits.sources, count)
            for reached, limit in zip(sums, most, strict=True):
                # The last place up to which the sum is within the limit; in a unit of one source it need not be.
                within = reached[begin : end + 1]
                if int(within[-1]) - int(within[0]) > limit:
                    end = begin + int(np.searchsorted(within, int(within[0]) + limit, side="right")) - 1
            end = max(end, begin + 1)
            if end == count and not is_last:
                return
            yield end
            begin = end

    def _write_group(self, sources: _Sources, names: UnitIds, begin: int, ends: list[int]) -> None:
        import pyarrow as pa

        starts = [begin, *ends[:-1]]
        unit_ids, deadlines = [], []
        for index, (first, end) in enumerate(zip(starts, ends, strict=True), start=self.written.units):
            audio_ms = int(sources.ms[first:end].sum())
            unit_ids.append(names.name(index, first, end))
            deadlines.append(self._limits.deadline_s(audio_ms))
            self.written.longest_unit_s = max(self.written.longest_unit_s, audio_ms / 1000)
        counts = np.subtract(ends, starts)
        rows = sources.rows(begin, ends[-1])
        repeated = np.repeat(np.arange(len(ends)), counts)
        columns = {name: rows[name] for name in rows.column_names if name not in ("id", "ms")} | {
            "unit_index": pa.array((repeated + self.written.units).astype(np.int32)),
            "unit_id": pa.array(unit_ids, pa.string()).take(pa.array(repeated)),
            "recording_id": as_texts(names.letters[begin : ends[-1]]),
            "deadline_s": pa.array(np.array(deadlines)[repeated]),
            "estimated_s": pa.array(sources.ms[begin : ends[-1]] / 1000),
        }
        schema = self._file.schema
        group = pa.table([columns[field.name] for field in schema], schema=schema).combine_chunks()
        self._file.write_table(group, row_group_size=group.num_rows)
        self.written.units += len(ends)
        self.written.sources += group.num_rows
        self.written.without_row += group["catalogue_row"].null_count
        self.written.longest_deadline_s = max(self.written.longest_deadline_s, *deadlines)


def _told(piece: Ordered, first: int, count: int) -> pa.Table:
    """What the plan says of these sources, with `id` (bytes) and `ms`."""
    import pyarrow as pa

    rows, which = piece.rows.slice(first, count), piece.which[first : first + count]
    said = pa.array(which, mask=which < 0)
    return pa.table(
        {
            "id": rows["id"],
            "ms": rows["ms"],
            "source_root": rows["root"],
            "source_path": rows["path"],
            "source_version": rows["version"],
            "source_size_bytes": rows["size"],
            "catalogue_row": piece.said["json"].take(said),
            "catalogue_row_sha256": piece.said["sha256"].take(said),
        }
    )


def _measures(left: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    import pyarrow.compute as pc

    chars = pc.fill_null(pc.utf8_length(left["catalogue_row"]), 0).to_numpy().astype(np.int64)
    return left["ms"].to_numpy(), left["source_size_bytes"].to_numpy(), chars


def _bytes(ids: pa.ChunkedArray) -> np.ndarray:
    found = ids.combine_chunks()
    begin = found.offset * ID_BYTES
    return np.frombuffer(found.buffers()[1], np.uint8)[begin : begin + len(found) * ID_BYTES].reshape(-1, ID_BYTES)
