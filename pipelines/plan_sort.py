"""Listed sources on disk, and in the order of the plan: sorting goes through the disk where memory does not do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from schemas.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

_FETCHED_ROWS = 10_000
_IN_ORDER = "bucket, people, source_root, source_path, source_version"


class Listed(NamedTuple):
    """A source as it was listed, with what the catalogue says of it and what it is sorted by."""

    bucket: int
    people: str
    recording_id: str
    source_root: str
    source_path: str
    source_version: str
    source_size_bytes: int
    estimated_ms: int
    catalogue_row: str | None
    catalogue_row_sha256: str | None


class Totals(NamedTuple):
    """What a plan will hold."""

    sources: int
    estimated_ms: int
    size_bytes: int
    catalogue_changed: int


def spool(batches: Iterable[Sequence[Listed]], path: Path) -> int:
    """Writes batches as they come, in one file; returns the number of rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _listed_schema()
    rows = 0
    with pq.ParquetWriter(path, schema, compression="lz4") as writer:
        for batch in batches:
            columns = [
                pa.array(values, kind) for values, kind in zip(zip(*batch, strict=True), schema.types, strict=True)
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))
            rows += len(batch)
    return rows


def _listed_schema() -> pa.Schema:
    import pyarrow as pa

    numbers = ("bucket", "source_size_bytes", "estimated_ms")
    return pa.schema([(name, pa.int64() if name in numbers else pa.string()) for name in Listed._fields])


class Sorter:
    """The spooled sources that are left to plan; `done` says which are not (see `write_plan`)."""

    def __init__(self, spooled: Path, done: pa.Table | Path | None, memory_bytes: int) -> None:
        import duckdb

        folder = spooled.parent / "sorting"
        self._database = duckdb.connect(
            ":memory:",
            config={"memory_limit": f"{memory_bytes // 1024}KiB", "temp_directory": str(folder)},
        )
        # The order of rows is the query's alone; keeping the file's as well would hold them all.
        self._database.execute("SET preserve_insertion_order = false")
        self._database.read_parquet(str(spooled)).create_view("listed")
        self._look_at(done)

    def __enter__(self) -> Sorter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def _look_at(self, done: pa.Table | Path | None) -> None:
        if done is None:
            self._database.execute("CREATE VIEW todo AS SELECT *, false AS is_changed FROM listed")
            return
        if isinstance(done, Path):
            self._database.read_parquet(str(done)).create_view("done")
        else:
            self._database.register("done", done)
        columns = self._database.view("done").columns
        if "recording_id" not in columns:
            raise ValueError(f"sources that are done need a column recording_id, not {columns}")
        row = "done.catalogue_row_sha256" if "catalogue_row_sha256" in columns else "listed.catalogue_row_sha256"
        self._database.execute(
            f"""
            CREATE VIEW todo AS
            SELECT listed.*, done.recording_id IS NOT NULL AS is_changed
            FROM listed LEFT JOIN done ON done.recording_id = listed.recording_id
            WHERE done.recording_id IS NULL OR {row} IS DISTINCT FROM listed.catalogue_row_sha256
            """
        )

    def totals(self) -> Totals:
        query = (
            "SELECT count(*), coalesce(sum(estimated_ms), 0), coalesce(sum(source_size_bytes), 0), "
            "count(*) FILTER (is_changed) FROM todo"
        )
        return Totals(*(int(value) for value in self._database.sql(query).fetchall()[0]))

    def __iter__(self) -> Iterator[Listed]:
        """In order of the plan. Raises ConfigError for a source that was listed twice."""
        names = ", ".join(Listed._fields)
        ordered = self._database.sql(f"SELECT {names} FROM todo ORDER BY {_IN_ORDER}")
        reader: pa.RecordBatchReader = ordered.to_arrow_reader(_FETCHED_ROWS)
        last: tuple[Any, ...] = ()
        for batch in reader:
            for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                row = Listed(*values)
                if last == (row.source_root, row.source_path):
                    raise ConfigError(f"source {row.source_path!r} is listed twice in root {row.source_root}")
                last = row.source_root, row.source_path
                yield row
