"""Sources in order, cut into units and written: one pass, and a unit at a time in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.plan_sort import Listed
from schemas import ids
from schemas.quick_arrow import never_import_pandas_for_a_question

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


def write_units(rows: Iterable[Listed], limits: UnitLimits, path: Path) -> UnitsWritten:
    """Writes `rows` to `path` as PLAN_SCHEMA. A row group holds whole units, so that a unit is read by itself."""
    import pyarrow.parquet as pq

    from schemas.tables import PLAN_SCHEMA

    never_import_pandas_for_a_question()
    with pq.ParquetWriter(path, PLAN_SCHEMA, compression="zstd", compression_level=3) as file:
        units = _Units(file, limits)
        for row in rows:
            units.add(row)
        units.end_unit()
        units.end_group()
    return units.written


class _Units:
    """The unit that is being filled, and the ended units of the row group that is."""

    def __init__(self, file: Any, limits: UnitLimits) -> None:
        self._file, self._limits = file, limits
        self.written = UnitsWritten()
        self._unit: list[Listed] = []
        self._audio_ms = self._size_bytes = self._row_bytes = 0
        self._group: list[dict[str, object]] = []
        self._group_bytes = 0

    def add(self, row: Listed) -> None:
        row_bytes = len(row.catalogue_row or "")
        if self._unit and (
            len(self._unit) >= self._limits.sources
            or self._audio_ms + row.estimated_ms > self._limits.audio_ms
            or self._size_bytes + row.source_size_bytes > self._limits.size_bytes
            or self._row_bytes + row_bytes > _UNIT_ROW_BYTES
        ):
            self.end_unit()
        self._unit.append(row)
        self._audio_ms += row.estimated_ms
        self._size_bytes += row.source_size_bytes
        self._row_bytes += row_bytes

    def end_unit(self) -> None:
        if not self._unit:
            return
        unit_id = ids.unit_id(self.written.units, (row.recording_id for row in self._unit))
        deadline_s = self._limits.deadline_s(self._audio_ms)
        of_unit = {"unit_index": self.written.units, "unit_id": unit_id, "deadline_s": deadline_s}
        self._group += [of_unit | _of_source(row) for row in self._unit]
        self.written.units += 1
        self.written.sources += len(self._unit)
        self.written.without_row += sum(row.catalogue_row is None for row in self._unit)
        self.written.longest_unit_s = max(self.written.longest_unit_s, self._audio_ms / 1000)
        self.written.longest_deadline_s = max(self.written.longest_deadline_s, deadline_s)
        self._group_bytes += self._row_bytes
        self._unit, self._audio_ms, self._size_bytes, self._row_bytes = [], 0, 0, 0
        if len(self._group) >= _GROUP_ROWS or self._group_bytes >= _GROUP_BYTES:
            self.end_group()

    def end_group(self) -> None:
        import pyarrow as pa

        if self._group:
            schema = self._file.schema
            columns = [pa.array([row[field.name] for row in self._group], field.type) for field in schema]
            self._file.write_table(pa.Table.from_arrays(columns, schema=schema), row_group_size=len(self._group))
        self._group, self._group_bytes = [], 0


def _of_source(row: Listed) -> dict[str, object]:
    return {
        "recording_id": row.recording_id,
        "source_root": row.source_root,
        "source_path": row.source_path,
        "source_version": row.source_version,
        "source_size_bytes": row.source_size_bytes,
        "estimated_s": row.estimated_ms / 1000,
        "catalogue_row": row.catalogue_row,
        "catalogue_row_sha256": row.catalogue_row_sha256,
    }
