"""Listed sources on disk, and in the order of the plan.

SQLite and not DuckDB: its sorter goes through the disk whatever the rows hold. DuckDB 2.0, allowed 512 MiB, gave up on
900 MB of catalogue rows with transcripts ("failed to pin block").
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from schemas.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa


class Listed(NamedTuple):
    """A source as it was listed, with what it is sorted by and what the catalogue says of it."""

    bucket: int
    people: str
    source_root: str
    source_path: str
    source_version: str
    source_size_bytes: int
    estimated_ms: int
    recording_id: str
    catalogue_row_sha256: str | None
    catalogue_row: str | None


class Totals(NamedTuple):
    """What a plan will hold."""

    sources: int
    estimated_ms: int
    size_bytes: int
    catalogue_changed: int


_NAMES = ", ".join(Listed._fields)
_TODO = """
    FROM listed LEFT JOIN done USING (recording_id)
    WHERE done.recording_id IS NULL OR (done.has_row AND done.row_sha256 IS NOT listed.catalogue_row_sha256)
"""


class Sorter:
    """Sources that were listed, in a database in `folder`; those that are done drop out when they are read again."""

    def __init__(self, folder: Path, memory_bytes: int) -> None:
        self._database = sqlite3.connect(folder / "listed.sqlite", isolation_level=None)
        # Half for the pages of the tables, half for the sorter, which takes as much again.
        self._database.execute(f"PRAGMA cache_size = -{memory_bytes // 2048}")
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute(f"CREATE TABLE listed ({_NAMES})")
        self._database.execute("CREATE TABLE done (recording_id, row_sha256, has_row)")

    def __enter__(self) -> Sorter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def add(self, batch: Sequence[Listed]) -> None:
        """Adds sources, in any order."""
        self._insert("listed", len(Listed._fields), batch)

    def leave_out(self, done: pa.Table | Path) -> None:
        """Leaves out what is done (see `write_plan`). Raises ValueError for a recording that stands twice in it."""
        import pyarrow.parquet as pq

        names = pq.read_schema(done).names if isinstance(done, Path) else done.schema.names
        if "recording_id" not in names:
            raise ValueError(f"sources that are done need a column recording_id, not {names}")
        has_row = "catalogue_row_sha256" in names
        columns = ["recording_id", "catalogue_row_sha256"] if has_row else ["recording_id"]
        batches = pq.ParquetFile(done).iter_batches(columns=columns) if isinstance(done, Path) else done.to_batches()
        for batch in batches:
            ids = batch.column("recording_id").to_pylist()
            rows = batch.column("catalogue_row_sha256").to_pylist() if has_row else [None] * len(ids)
            self._insert("done", 3, [(name, row, has_row) for name, row in zip(ids, rows, strict=True)])
        try:
            self._database.execute("CREATE UNIQUE INDEX done_ids ON done (recording_id)")
        except sqlite3.IntegrityError:
            raise ValueError("sources that are done stand in their table once each") from None

    def _insert(self, table: str, columns: int, rows: Iterable[Sequence[object]]) -> None:
        self._database.execute("BEGIN")
        self._database.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * columns)})", rows)
        self._database.execute("COMMIT")

    def totals(self) -> Totals:
        sums = "count(*), coalesce(sum(estimated_ms), 0), coalesce(sum(source_size_bytes), 0), count(done.recording_id)"
        return Totals(*self._database.execute(f"SELECT {sums} {_TODO}").fetchone())

    def __iter__(self) -> Iterator[Listed]:
        """In order of the plan. Raises ConfigError for a source that was listed twice."""
        columns = ", ".join(f"listed.{name}" for name in Listed._fields)
        last = ("", "")
        for values in self._database.execute(
            f"SELECT {columns} {_TODO} ORDER BY bucket, people, source_root, source_path, source_version"
        ):
            row = Listed(*values)
            if last == (row.source_root, row.source_path):
                raise ConfigError(f"source {row.source_path!r} is listed twice in root {row.source_root}")
            last = row.source_root, row.source_path
            yield row
