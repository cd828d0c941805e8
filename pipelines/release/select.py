"""The part of a release that comes from some files: which rows are chosen, why, and the account of all.

A pure step over files of `utterances` that any engine can repeat: the same files, condition, ledger position and
instant give the same part of the index, to the byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lake.lake import Lake
from lake.parquet_sql import open_duckdb, reading
from pipelines.release.account import added, cells
from pipelines.release.index import SAME, Batch, encoded, put_aside
from pipelines.release.where import Where, create_blank, masks_sql
from pipelines.snapshot_rows import RowSet
from schemas.errors import ConfigError, LakeError
from schemas.quick_arrow import never_import_pandas_for_a_question
from transforms.consent_table import Asked, consent_runs, decide_asked, with_source_ids

if TYPE_CHECKING:
    import duckdb

_COUNTED = (
    "recording_id", "duration_s", "collected_at", "grant_ids", "consent_complete", "consent.list.element.subject_id",
    "consent.list.element.grant_id", "lineage.source_root", "lineage.source_path", "lineage.catalogue_row_sha256",
    "lineage.run_id", "accent.label", "gender",
)  # fmt: skip
"""What is read of every row: enough for the account. A release takes SAME besides."""
_AS_CODES = (
    "recording_id", "shard", "gender", "accent.label", "grant_ids.list.element", "consent.list.element.subject_id",
    "consent.list.element.grant_id", "lineage.source_root", "lineage.source_path", "lineage.catalogue_row_sha256",
    "lineage.run_id",
)  # fmt: skip
DECIDED_ROWS = 500_000
"""Rows that are held and decided at once: asking for few costs as much as asking for many. 130 MB per thread."""


@dataclass(frozen=True, slots=True)
class Task:
    """Files of `utterances` within the lake: names, never rows."""

    number: int
    paths: tuple[str, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What came of a task: the account of all its rows, and those that are chosen, put aside."""

    number: int
    cells: pa.Table
    batches: tuple[Batch, ...]


@dataclass(frozen=True, slots=True)
class _Seen:
    """The current rows of a row group, before they are decided."""

    rows: pa.Table
    records: pa.Table
    """Its runs of rows that a decision cannot tell apart, `lengths` rows each."""
    lengths: NDArray[np.int64]
    steps: tuple[NDArray[np.bool_], ...]
    """Rows that are left after each step."""


class Selector:
    """Everything that is the same for all tasks of a release; `run` may be called from several threads."""

    def __init__(self, lake: Lake, asked: Asked, where: Where, stale: RowSet, folder: Path | None) -> None:
        self._lake = lake
        self._asked = asked
        self._where = where
        self._stale = stale
        self._folder = folder
        """Where chosen rows are put aside; None: only the account is wanted."""

    @property
    def steps(self) -> int:
        """Candidates, and one step per clause."""
        return 1 + len(self._where.clauses)

    def run(self, task: Task) -> Receipt:
        """Chooses from the task's files."""
        never_import_pandas_for_a_question()
        found: list[pa.Table] = []
        batches: list[Batch] = []
        with reading(), open_duckdb(self._lake.root) as connection:
            create_blank(connection, self._where)
            connection.execute("set enable_external_access = false")
            connection.execute("set threads = 1")
            for number, some in enumerate(self._seen(connection, task)):
                counted, chosen = self._choose(some, f"{task.number:06d}-{number:04d}")
                found += counted
                batches += chosen
        return Receipt(task.number, added(found, self.steps), tuple(batches))

    def _seen(self, connection: duckdb.DuckDBPyConnection, task: Task) -> Iterator[list[_Seen]]:
        """The row groups of all files, as many at a time as are decided at once."""
        held: list[_Seen] = []
        rows = 0
        for path in task.paths:
            for group in self._row_groups(path):
                held.append(self._look(connection, group))
                rows += group.num_rows
                if rows >= DECIDED_ROWS:
                    yield held
                    held, rows = [], 0
        if held:
            yield held

    def _row_groups(self, path: str) -> Iterator[pa.Table]:
        import pyarrow.parquet as pq

        with self._lake.root.open(path) as file:
            try:
                # A file of an older lake may lack a column, and then must not be asked to read it as codes.
                metadata = pq.read_metadata(file)
                known = set(metadata.schema.to_arrow_schema().names)
                codes = [name for name in _AS_CODES if name.split(".")[0] in known]
                parquet = pq.ParquetFile(file, metadata=metadata, read_dictionary=codes, pre_buffer=True)
                columns = [name for name in self._wanted() if name.split(".")[0] in known]
                for number in range(parquet.num_row_groups):
                    yield parquet.read_row_group(number, columns=columns, use_threads=False)
            except (OSError, pa.ArrowInvalid) as error:
                said = " ".join(str(error).split())
                raise LakeError(f"{self._lake.root.uri_of(path)} cannot be read as Parquet: {said}") from error

    def _wanted(self) -> list[str]:
        return sorted({*_COUNTED, *self._where.columns, *(() if self._folder is None else SAME)})

    def _look(self, connection: duckdb.DuckDBPyConnection, rows: pa.Table) -> _Seen:
        if self._stale:
            rows = rows.filter(pa.array(~self._stale.mask(rows, "utterances")))
        rows = rows.combine_chunks()
        steps = [np.ones(rows.num_rows, dtype=bool)]
        for mask in self._masks(connection, rows):
            steps.append(steps[-1] & mask)
        records, lengths = consent_runs(rows, names_sources=False)
        return _Seen(rows, records, lengths, tuple(steps))

    def _choose(self, some: Sequence[_Seen], name: str) -> tuple[list[pa.Table], list[Batch]]:
        """The account of these rows, and those of them that are chosen."""
        records = pa.concat_tables([one.records for one in some])
        decided = decide_asked(records, self._asked)
        reasons, is_allowed = decided["reason"].combine_chunks(), np.asarray(decided["allowed"])
        ends = np.cumsum([len(one.lengths) for one in some])
        own = [np.arange(end - len(one.lengths), end) for one, end in zip(some, ends, strict=True)]
        counted = [_cells(one, reasons.take(pa.array(runs))) for one, runs in zip(some, own, strict=True)]
        if self._folder is None:
            return counted, []
        # Of runs that are denied nothing is kept, so their sources need no name.
        named = with_source_ids(records.filter(pa.array(is_allowed)))
        for column in ("justifications", "allowed_until"):
            named = named.append_column(column, decided[column].filter(pa.array(is_allowed)))
        place = np.cumsum(is_allowed) - 1
        batches = []
        for number, (one, runs) in enumerate(zip(some, own, strict=True)):
            run = np.repeat(runs, one.lengths)
            kept = np.flatnonzero(one.steps[-1] & is_allowed[run])
            batches.append(put_aside(one.rows, named, kept, place[run[kept]], self._folder / f"{name}-{number:06d}"))
        return counted, [batch for batch in batches if batch]

    def _masks(self, connection: duckdb.DuckDBPyConnection, rows: pa.Table) -> Iterator[Any]:
        """One array of truth values per clause. Raises ConfigError where a value does not fit the condition."""
        import duckdb

        if not self._where.clauses:
            return
        names = [name for name in rows.column_names if name in self._where.columns]
        # DuckDB takes no table without a column, and an older file may have none of those that are asked about.
        asked = rows.select(names) if names else pa.table({"nothing": pa.nulls(rows.num_rows)})
        connection.register("rows", asked)
        try:
            found = connection.sql(masks_sql(self._where)).to_arrow_table()
        except duckdb.Error as error:
            said = " ".join(str(error).split("\n\nLINE ")[0].split())
            raise ConfigError(f"--where: {said} (TRY_CAST makes a null of what does not fit)") from None
        connection.unregister("rows")
        if found.num_rows != rows.num_rows:
            raise LakeError("the condition was not answered for every row")
        for column in found.columns:
            yield np.asarray(column.combine_chunks())


def _cells(one: _Seen, reasons: pa.Array) -> pa.Table:
    groups = {"accent": encoded(_of_struct(one.rows, "accent", "label")), "gender": encoded(one.rows["gender"])}
    duration_s = np.asarray(one.rows["duration_s"].fill_null(0.0))
    return cells(one.records, one.lengths, reasons, groups, duration_s, one.steps)


def _of_struct(rows: pa.Table, name: str, member: str) -> pa.Array:
    return pc.struct_field(rows[name].combine_chunks(), [member])
