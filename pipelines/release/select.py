"""The part of a release that comes from some files: which rows are chosen, why, and the account of all.

A pure step over files of `utterances` that any engine can repeat: the same files, condition, ledger position and
instant give the same part of the index, to the byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake.lake import Lake
from lake.layout import unit_of_shard
from lake.parquet_sql import open_duckdb, reading
from lake.parts import write_table
from pipelines.release.account import added, cells
from pipelines.release.where import Where, create_blank, masks_sql
from pipelines.snapshot_rows import RowSet
from schemas.consent_tables import CONSENT_RECORD_FIELDS, RELEASE_INDEX_SCHEMA
from schemas.errors import LakeError
from schemas.quick_arrow import never_import_pandas_for_a_question
from schemas.tables import PLACE_FIELDS
from transforms.consent_table import Asked, consent_runs, decide_asked, with_source_ids

if TYPE_CHECKING:
    import duckdb

ROW_GROUP_ROWS = 16_384
"""Of an index part: what one loader worker reads at a time."""

_PLACE = tuple(field.name for field in PLACE_FIELDS)
_SAME = ("key", "recording_id", *_PLACE, "audio_sha256", "duration_s")
_READ = (
    *_SAME, "collected_at", "grant_ids", "consent_complete", "consent.list.element.subject_id",
    "consent.list.element.grant_id", "lineage.source_root", "lineage.source_path", "lineage.catalogue_row_sha256",
    "lineage.run_id", "accent.label", "gender",
)  # fmt: skip
_AS_CODES = (
    "recording_id", "shard", "gender", "accent.label", "grant_ids.list.element", "consent.list.element.subject_id",
    "consent.list.element.grant_id", "lineage.source_root", "lineage.source_path", "lineage.catalogue_row_sha256",
    "lineage.run_id",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Task:
    """Files of `utterances` within the lake: names, never rows."""

    number: int
    paths: tuple[str, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What came of a task: the account of all its rows, and the part of the index (file, bytes, SHA-256, rows)."""

    number: int
    cells: pa.Table
    part: tuple[Path, int, str, int] | None


class Selector:
    """Everything that is the same for all tasks of a release; `run` may be called from several threads."""

    def __init__(self, lake: Lake, asked: Asked, where: Where, stale: RowSet, folder: Path | None) -> None:
        self._lake = lake
        self._asked = asked
        self._where = where
        self._stale = stale
        self._folder = folder
        """Where parts of the index are written; None: only the account is wanted."""

    @property
    def steps(self) -> int:
        """Candidates, and one step per clause."""
        return 1 + len(self._where.clauses)

    def run(self, task: Task) -> Receipt:
        """Chooses from the task's files."""
        never_import_pandas_for_a_question()
        found: list[pa.Table] = []
        chosen: list[pa.Table] = []
        with reading(), open_duckdb(self._lake.root) as connection:
            create_blank(connection, self._where)
            connection.execute("set enable_external_access = false")
            connection.execute("set threads = 1")
            for path in task.paths:
                for rows in self._row_groups(path):
                    counted, kept = self._choose(connection, rows)
                    found.append(counted)
                    chosen.append(kept)
        part = self._write(task, chosen) if self._folder is not None else None
        return Receipt(task.number, added(found, self.steps), part)

    def _row_groups(self, path: str) -> Iterator[pa.Table]:
        import pyarrow.parquet as pq

        with self._lake.root.open(path) as file:
            try:
                parquet = pq.ParquetFile(file, read_dictionary=list(_AS_CODES), pre_buffer=True)
                known = set(parquet.schema_arrow.names)
                columns = [name for name in (*_READ, *sorted(self._where.columns)) if name.split(".")[0] in known]
                for number in range(parquet.num_row_groups):
                    yield parquet.read_row_group(number, columns=columns, use_threads=False)
            except (OSError, pa.ArrowInvalid) as error:
                said = " ".join(str(error).split())
                raise LakeError(f"{self._lake.root.uri_of(path)} cannot be read as Parquet: {said}") from error

    def _choose(self, connection: duckdb.DuckDBPyConnection, rows: pa.Table) -> tuple[pa.Table, pa.Table]:
        """The account of these rows, and the index of those that are chosen."""
        if self._stale:
            rows = rows.filter(pa.array(~self._stale.mask(rows, "utterances")))
        rows = rows.combine_chunks()
        records, lengths = consent_runs(rows, names_sources=False)
        decided = decide_asked(records, self._asked)
        steps = [np.ones(rows.num_rows, dtype=bool)]
        for mask in self._masks(connection, rows):
            steps.append(steps[-1] & mask)
        groups = {"accent": _text(_of_struct(rows, "accent", "label")), "gender": _text(rows["gender"])}
        reasons = decided["reason"].combine_chunks()
        counted = cells(records, lengths, reasons, groups, np.asarray(rows["duration_s"].fill_null(0.0)), steps)
        if self._folder is None:
            return counted, RELEASE_INDEX_SCHEMA.empty_table()
        run = np.repeat(np.arange(len(lengths)), lengths)
        kept = np.flatnonzero(steps[-1] & np.asarray(decided["allowed"])[run])
        return counted, _index(rows, with_source_ids(records), decided, kept, run[kept])

    def _masks(self, connection: duckdb.DuckDBPyConnection, rows: pa.Table) -> Iterator[Any]:
        """One array of truth values per clause."""
        if not self._where.clauses:
            return
        connection.register("rows", rows.select([name for name in rows.column_names if name in self._where.columns])
                            if self._where.columns else pa.table({"nothing": pa.nulls(rows.num_rows)}))  # fmt: skip
        found = connection.sql(masks_sql(self._where)).to_arrow_table()
        connection.unregister("rows")
        if found.num_rows != rows.num_rows:
            raise LakeError("the condition was not answered for every row")
        for column in found.columns:
            yield np.asarray(column.combine_chunks())

    def _write(self, task: Task, chosen: Sequence[pa.Table]) -> tuple[Path, int, str, int] | None:
        rows = pa.concat_tables([RELEASE_INDEX_SCHEMA.empty_table(), *chosen])
        if not rows.num_rows or self._folder is None:
            return None
        order = pc.sort_indices(rows, [("shard", "ascending"), ("audio_offset", "ascending"), ("key", "ascending")])
        path = self._folder / f"part-{task.number:05d}.parquet"
        size, sha256 = write_table(path, rows.take(order), ROW_GROUP_ROWS)
        return path, size, sha256, rows.num_rows


def _index(rows: pa.Table, records: pa.Table, decided: pa.Table, kept: Any, run: Any) -> pa.Table:
    """Rows of the index: `kept` are places among `rows`, `run` the places of their records and decisions."""
    rows, of = rows.take(pa.array(kept)), pa.array(run)
    shards = rows["shard"].combine_chunks().dictionary_encode()
    units = [unit_of_shard(path) for path in shards.dictionary.to_pylist()]
    placed: Mapping[str, Any] = {
        "run_id": pa.array([run_id for run_id, _ in units], pa.string()).take(shards.indices),
        "unit_id": pa.array([unit_id for _, unit_id in units], pa.string()).take(shards.indices),
        **{name: rows[name] for name in _SAME},
        **{field.name: records[field.name].take(of) for field in CONSENT_RECORD_FIELDS},
        **{name: decided[name].take(of) for name in ("justifications", "allowed_until")},
    }
    columns = [_cast(placed[field.name], field.type) for field in RELEASE_INDEX_SCHEMA]
    return pa.Table.from_arrays(columns, schema=RELEASE_INDEX_SCHEMA)


def _cast(column: Any, kind: pa.DataType) -> Any:
    return column if column.type == kind else column.cast(kind)


def _text(column: Any) -> pa.Array:
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return _cast(column, pa.string())


def _of_struct(rows: pa.Table, name: str, member: str) -> pa.Array:
    return pc.struct_field(rows[name].combine_chunks(), [member])
