"""Building a projection on: what is new becomes a run, runs that have become many become one, and a head names them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lake import layout
from lake.parquet_sql import open_duckdb, quoted
from lake.projection import Projection, ProjectionHead, digests
from lake.projection_files import SEGMENTS_SCHEMA, ProjectedFile, read_groups, work_folder, write_run
from lake.projection_rows import ReadLine, typed
from lake.storage import Root
from schemas.consent_tables import EVENTS_SCHEMA
from schemas.errors import AlreadyExists
from schemas.ledger import EventType
from schemas.quick_arrow import never_import_pandas_for_a_question

if TYPE_CHECKING:
    import duckdb

MEMORY_LIMIT = "700MB"
"""Of DuckDB, which spills beyond; the rest of the 2 GiB is for the segments in hand and for Arrow."""
_CHUNK_EVENTS = 100_000
_QUICKLY = pa.ipc.IpcWriteOptions(compression="lz4")
_MERGED_WHILE = 3
"""A run is merged into a new one that holds a third of its events or more: each event is written again once per
fourfold growth, and there are few runs to read."""

_NEW_NAMES = pa.schema(
    [("is_grant", pa.bool_()), ("high", pa.uint64()), ("low", pa.uint64()), ("position", pa.int64())]
)


class SegmentLines(NamedTuple):
    """A verified segment: its row of SEGMENTS_SCHEMA, and its lines."""

    row: dict[str, Any]
    lines: Sequence[bytes]


def build_on(
    root: Root,
    previous: Projection | None,
    segments: Iterable[SegmentLines],
    read: ReadLine,
) -> Projection:
    """The projection that covers `previous` and then `segments`; `read` reads a line at its position.

    Who is beaten to the head gets the winner's, which may cover more or less.
    """
    with work_folder() as folder:
        work = Path(folder)
        # The disk of the work folder, not that of the ledger, is what DuckDB spills to.
        with open_duckdb(Root(folder), MEMORY_LIMIT) as connection:
            connection.execute(f"set temp_directory = {quoted(str(work / 'spill'))}")
            head = _Building(root, previous, work, connection).head(segments, read)
        path = layout.projection_head_path(head.number)
        text = head.model_dump_json().encode()
        try:
            root.create(path, text)
        except AlreadyExists:
            if root.read(path) != text:
                newest = Projection.newest(root)
                if newest is not None:
                    return newest
        return Projection(root, head)


class _Building:
    def __init__(
        self, root: Root, previous: Projection | None, work: Path, connection: duckdb.DuckDBPyConnection
    ) -> None:
        self.root, self.previous, self.work, self.sql = root, previous, work, connection
        self.chunks: list[tuple[int, int, Path]] = []
        """First position, last position, rows: in order, repeats included."""
        self.rows: list[dict[str, Any]] = []

    def head(self, segments: Iterable[SegmentLines], read: ReadLine) -> ProjectionHead:
        self._parse(segments, read)
        before = self.previous.head if self.previous else None
        first = self.chunks[0][0]
        last = self.chunks[-1][1]
        left_out = self._left_out()
        kept, merged = self._runs(last - first + 1)
        first = min([first, *(file.first for file in merged)])
        files = [*kept]
        for order in ("position", "subject", "name", "segment"):
            old = [file for file in merged if file.order == order]
            files += write_run(self.root, order, self._ordered(order, old, left_out), first, last, self.work)
        head = ProjectionHead(
            number=before.number + 1 if before else 1,
            position=last,
            segments=(before.segments if before else 0) + len(self.rows),
            left_out=(before.left_out if before else 0) + len(left_out),
            files=tuple(sorted(files, key=lambda file: (file.order, file.first))),
        )
        return head.model_copy(update={"sha256": head.digest()})

    # --- what is new ----------------------------------------------------------------------------------------------

    def _parse(self, segments: Iterable[SegmentLines], read: ReadLine) -> None:
        """Every segment as typed rows, and the names that its events take."""
        with pq.ParquetWriter(self.work / "names", _NEW_NAMES, compression="none") as names:
            lines: list[bytes] = []
            first = 1
            for segment in segments:
                self.rows.append(segment.row)
                first = first if lines else segment.row["first_position"]
                lines += segment.lines
                if len(lines) >= _CHUNK_EVENTS:
                    self._add(first, lines, read, names)
                    lines = []
            if lines:
                self._add(first, lines, read, names)

    def _add(self, first: int, lines: list[bytes], read: ReadLine, names: pq.ParquetWriter) -> None:
        table = typed(self.sql, first, lines, read)
        path = self.work / f"chunk-{len(self.chunks)}"
        # Not Parquet, for it is read once, and soon.
        with pa.ipc.new_file(path, table.schema, options=_QUICKLY) as file:
            file.write_table(table, 16_384)
        self.chunks.append((first, first + len(lines) - 1, path))
        names.write_table(names_in(table))

    def _left_out(self) -> set[int]:
        """Positions among the new events that change nothing: repeats of an event's id, then of a grant's."""
        self.sql.execute(f"create view new_names as from read_parquet({quoted(str(self.work / 'names'))})")
        repeats = self._repeats("not is_grant", set())
        return repeats | self._repeats("is_grant", repeats)

    def _repeats(self, which: str, but: set[int]) -> set[int]:
        self._given("but", pa.table({"position": pa.array(sorted(but), pa.int64())}))
        mine = f"(select high, low, position from new_names anti join but using (position) where {which})"
        self._given("old_names", self._old_names())
        self.sql.execute(
            f"create or replace temp table twice as select high, low, min(position) as first from {mine} "
            "group by high, low having count(*) > 1 union all "
            f"select high, low, 0 as first from old_names semi join {mine} using (high, low)"
        )
        found = self.sql.sql(
            f"select distinct position from {mine} join twice using (high, low) where position > first"
        ).fetchall()
        return {position for (position,) in found}

    def _old_names(self) -> pa.RecordBatchReader:
        schema = pa.schema([("high", pa.uint64()), ("low", pa.uint64())])
        files = self.previous.head.of("name") if self.previous else []
        return pa.RecordBatchReader.from_batches(schema, read_groups(self.root, files))

    def _given(self, name: str, table: pa.Table | pa.RecordBatchReader) -> None:
        never_import_pandas_for_a_question()
        self.sql.register(name, table)

    # --- runs -----------------------------------------------------------------------------------------------------

    def _runs(self, events: int) -> tuple[list[ProjectedFile], list[ProjectedFile]]:
        """Files of earlier runs that stay as they are, and those that are merged with `events` new ones."""
        files = list(self.previous.head.files) if self.previous else []
        runs = sorted({(file.first, file.last) for file in files})
        while runs and runs[-1][1] - runs[-1][0] + 1 <= _MERGED_WHILE * events:
            events += runs[-1][1] - runs[-1][0] + 1
            runs.pop()
        kept = [file for file in files if (file.first, file.last) in runs]
        return kept, [file for file in files if (file.first, file.last) not in runs]

    def _ordered(self, order: str, old: list[ProjectedFile], left_out: set[int]) -> Iterator[pa.RecordBatch]:
        if order == "segment":
            yield from read_groups(self.root, old)
            yield from pa.Table.from_pylist(self.rows, SEGMENTS_SCHEMA).to_batches()
        elif order == "position":
            yield from read_groups(self.root, old)
            yield from self._effective(left_out)
        elif order == "name":
            yield from self._sorted_names(old, left_out)
        else:
            events = self._both(old, self._effective(left_out))
            self._given("unsorted", pa.RecordBatchReader.from_batches(EVENTS_SCHEMA, events))
            # As `projection_files.key_of` has it; DuckDB compares texts byte by byte, which is by code point.
            yield from _stream(self.sql, f"select * from unsorted order by {_BY_SUBJECT}", EVENTS_SCHEMA)

    def _both(self, old: list[ProjectedFile], new: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from read_groups(self.root, old)
        yield from new

    def _effective(self, left_out: set[int]) -> Iterator[pa.RecordBatch]:
        for first, last, path in self.chunks:
            gone = pa.array([n for n in left_out if first <= n <= last], pa.int64())
            with pa.ipc.open_file(path) as file:
                for batch in map(file.get_batch, range(file.num_record_batches)):
                    is_in = pc.is_in(batch["position"], gone) if len(gone) else None
                    yield batch if is_in is None else batch.filter(pc.invert(is_in))

    def _sorted_names(self, old: list[ProjectedFile], left_out: set[int]) -> Iterator[pa.RecordBatch]:
        # Of what is left out nothing is new: its names are there already, or (a grant that is given once more under an
        # id of its own) its event's id is.
        schema = pa.schema([("high", pa.uint64()), ("low", pa.uint64())])
        self._given("but", pa.table({"position": pa.array(sorted(left_out), pa.int64())}))
        self._given("old_names", pa.RecordBatchReader.from_batches(schema, read_groups(self.root, old)))
        query = (
            "select distinct high, low from (select high, low from new_names where not is_grant union all "
            "select high, low from new_names anti join but using (position) where is_grant union all "
            "select high, low from old_names) order by high, low"
        )
        yield from _stream(self.sql, query, schema)


_BY_SUBJECT = """
case when type = 'vocabulary' then 0
     when source_root is not null and source_path is not null
          and type not in ('given', 'withdrawn', 'refused', 'invalidated') then 1
     else 2 end,
case when type = 'vocabulary' then ''
     when source_root is not null and source_path is not null
          and type not in ('given', 'withdrawn', 'refused', 'invalidated') then source_root
     else coalesce(subject_id, '') end,
case when type <> 'vocabulary' and source_root is not null and source_path is not null
          and type not in ('given', 'withdrawn', 'refused', 'invalidated') then source_path
     else '' end,
position
"""


def names_in(table: pa.Table) -> pa.Table:
    """The names that these events take: the id of each, and the grant that it gives."""
    given = table.filter(pc.equal(table["type"], EventType.GIVEN.value))
    names = digests("e", table["event_id"].to_pylist()) + digests("g", given["grant_id"].to_pylist())
    halves = np.frombuffer(names, ">u8").astype(np.uint64).reshape(-1, 2)
    return pa.table(
        {
            "is_grant": pa.array([False] * len(table) + [True] * len(given), pa.bool_()),
            "high": pa.array(halves[:, 0]),
            "low": pa.array(halves[:, 1]),
            "position": pa.concat_arrays(
                [chunk for column in (table["position"], given["position"]) for chunk in column.chunks]
            ),
        },
        schema=_NEW_NAMES,
    )


def _stream(sql: duckdb.DuckDBPyConnection, query: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for batch in sql.sql(query).to_arrow_reader(16_384):
        yield batch.cast(schema)
