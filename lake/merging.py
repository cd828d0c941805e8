"""Many small Parquet files become few large ones, sorted so that one person's rows lie together.

Rows of one kind and schema go to a spool on this machine's disk until there are enough for a file; DuckDB sorts them,
within a limit of memory and on disk beyond it: some gigabytes there for a file of two million rows, and about 1.5 GB of
memory. `python -m benchmarks.snapshots` measures it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from lake.lake import Lake
from lake.parquet_sql import files, open_duckdb, reading
from lake.snapshots import put_file
from schemas.errors import LakeError
from schemas.quick_arrow import never_import_pandas_for_a_question
from schemas.snapshots import MergedFile
from schemas.tables import RECORDINGS_SCHEMA, SCHEMA_VERSION, table_schema, utterances_schema

if TYPE_CHECKING:
    import pyarrow as pa

TARGET_BYTES = 256 << 20
"""A file is written when its spool is as large; both compress alike."""
SMALL_BYTES = 128 << 20
"""A file below this is merged again when rows of its kind come."""

_HELD_BYTES = 64 << 20  # of rows in memory, as Arrow counts them, before they go to the spool
_SORT_MEMORY = "512MB"
_ROW_GROUP_ROWS = 131_072
_SORTED_BY = {
    "utterances": "consent[1].subject_id nulls last, key, lineage.run_id",
    "recordings": "consent[1].subject_id nulls last, source_root, source_path, recording_id, run_id",
}

Group = tuple[str, tuple[tuple[str, str], ...]]
"""A kind, and names and types of the columns of stages of one's own."""


def table_of(kind: str) -> str:
    """`utterances` or `recordings`, of which `kind` holds some rows."""
    return kind.removesuffix("_superseded")


def run_ids(rows: pa.Table, kind: str) -> pa.DictionaryArray:
    """The run of each row."""
    import pyarrow.compute as pc

    column = rows["run_id"] if table_of(kind) == "recordings" else pc.struct_field(rows["lineage"], "run_id")
    return column.combine_chunks().dictionary_encode()


def group_of(file: MergedFile) -> Group:
    """What the file's rows are merged with."""
    return file.kind, tuple(sorted(file.own.items()))


def row_groups(lake: Lake, file: MergedFile, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """A merged file, a row group at a time; `columns` may name a leaf (`lineage.run_id`)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = None if columns is None else list(columns)
    with lake.root.open(file.path) as opened:
        try:
            parquet = pq.ParquetFile(opened, pre_buffer=True)
            for group in range(parquet.num_row_groups):
                yield parquet.read_row_group(group, columns=names, use_threads=False)
        except pa.ArrowInvalid as error:
            said = " ".join(str(error).split())
            raise LakeError(f"{lake.root.uri_of(file.path)} cannot be read as Parquet: {said}") from error


class Merger:
    """Takes rows of any kind, and puts a sorted file into the lake whenever enough of one kind and schema have come
    together: `files`. `folder` must have room for some gigabytes."""

    def __init__(self, lake: Lake, number: int, folder: Path, run_numbers: dict[str, int]) -> None:
        never_import_pandas_for_a_question()
        self._lake = lake
        self._number = number
        self._folder = folder
        self._run_numbers = run_numbers
        self._names = count()
        self._spools: dict[Group, Spool] = {}
        self._runs: dict[Group, set[str]] = {}
        self.files: list[MergedFile] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for spool in self._spools.values():
            spool.close()

    def add(self, kind: str, rows: pa.Table) -> None:
        """Takes rows of a part, or of a file that is merged again; columns that it lacks are null from now on."""
        if not rows.num_rows:
            return
        rows = _united(rows, table_of(kind))
        group = kind, own_columns(rows.schema, kind)
        spool = self._spools.get(group)
        if spool is None:
            fields = _fields(table_of(kind))
            schema = fields if rows.schema.equals(fields) else rows.schema  # that of a file may lack descriptions
            spool = self._spools[group] = Spool(self._folder / f"spool-{next(self._names)}.parquet", schema)
        spool.add(rows)
        self._runs.setdefault(group, set()).update(run_ids(rows, kind).dictionary.to_pylist())
        if spool.size_bytes >= TARGET_BYTES:
            self._write(group)

    def add_each(self, rows: Iterable[tuple[str, pa.Table]]) -> None:
        """Takes rows of several kinds."""
        for kind, some in rows:
            self.add(kind, some)

    def waiting(self) -> list[Group]:
        """Groups of rows that are not in a file yet."""
        return list(self._spools)

    def finish(self) -> None:
        """Writes what is left."""
        for group in self.waiting():
            self._write(group)

    def _write(self, group: Group) -> None:
        kind, own = group
        spool = self._spools.pop(group)
        spool.close()
        path = self._folder / f"{len(self.files):06d}.parquet"
        rows = self._write_sorted(spool, _SORTED_BY[table_of(kind)], path)
        spool.path.unlink()
        where, size, sha256 = put_file(self._lake, self._number, kind, path)
        path.unlink(missing_ok=True)
        numbers = tuple(sorted(self._run_numbers[name] for name in self._runs.pop(group)))
        self.files.append(
            MergedFile(
                kind=kind, path=where, size_bytes=size, sha256=sha256, rows=rows, run_numbers=numbers, own=dict(own),
                schema_version=SCHEMA_VERSION,
            )
        )  # fmt: skip

    def _write_sorted(self, spool: Spool, order: str, path: Path) -> int:
        import pyarrow.parquet as pq

        rows = 0
        with (
            reading(),
            open_duckdb(self._lake.root, _SORT_MEMORY) as connection,
            pq.ParquetWriter(path, spool.schema, compression="zstd", version="2.6", store_schema=True) as writer,
        ):
            found = connection.sql(f"from {files([str(spool.path)])} order by {order}").to_arrow_reader(_ROW_GROUP_ROWS)
            for table in _of_equal_length(found, spool.schema, _ROW_GROUP_ROWS):
                writer.write_table(table)
                rows += table.num_rows
        return rows


class Spool:
    """A Parquet file on this machine's disk that takes rows of one schema, and keeps their order."""

    def __init__(self, path: Path, schema: pa.Schema, compression_level: int = 1) -> None:
        import pyarrow.parquet as pq

        self.path = path
        self.schema = schema
        self.size_bytes = 0
        self.rows = 0
        self._file = path.open("wb")
        self._writer = pq.ParquetWriter(self._file, schema, compression="zstd", compression_level=compression_level)
        self._held: list[pa.Table] = []
        self._held_bytes = 0

    def add(self, rows: pa.Table) -> None:
        self._held.append(rows)
        self._held_bytes += rows.nbytes
        self.rows += rows.num_rows
        if self._held_bytes >= _HELD_BYTES:
            self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Finishes the file; a second time does nothing."""
        if not self._file.closed:
            self._flush()
            self._writer.close()
            self._file.close()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._held:
            # One row group, however many pieces it came in.
            self._writer.write_table(pa.concat_tables(self._held).combine_chunks())
            self._held, self._held_bytes = [], 0
            self.size_bytes = self._file.tell()


def own_columns(schema: pa.Schema, kind: str) -> tuple[tuple[str, str], ...]:
    """Names and types of columns that the table itself does not have."""
    known = set(_fields(table_of(kind)).names)
    return tuple(sorted((field.name, str(field.type)) for field in schema if field.name not in known))


_UTTERANCES_SCHEMA = utterances_schema()


def _fields(table: str) -> pa.Schema:
    return RECORDINGS_SCHEMA if table == "recordings" else _UTTERANCES_SCHEMA


def _united(rows: pa.Table, table: str) -> pa.Table:
    """The rows with the columns that the table has now, and their own after them by name."""
    import pyarrow as pa

    fields = _fields(table)
    if rows.schema.equals(fields):
        return rows
    known = set(fields.names)
    own = sorted((field for field in rows.schema if field.name not in known), key=lambda field: str(field.name))
    schema = table_schema(table, tuple(fields), tuple(own))
    there = set(rows.schema.names)
    columns: list[Any] = [
        rows[field.name].cast(field.type) if field.name in there else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _of_equal_length(reader: pa.RecordBatchReader, schema: pa.Schema, length: int) -> Iterator[pa.Table]:
    """Tables of `length` rows, but for the last: row groups must not depend on how the sort handed out its rows."""
    import pyarrow as pa

    held: list[pa.Table] = []
    rows = 0
    for batch in reader:
        held.append(pa.Table.from_batches([batch]).cast(schema))
        rows += batch.num_rows
        while rows >= length:
            whole = pa.concat_tables(held)
            yield whole.slice(0, length)
            held, rows = [whole.slice(length)], rows - length
    if rows:
        yield pa.concat_tables(held)
