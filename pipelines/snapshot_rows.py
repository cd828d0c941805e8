"""Which rows change places when a snapshot is made: superseded since, erased, or current again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import tee
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lake import currency
from lake.lake import Lake
from lake.merging import Spool, row_groups, run_ids, table_of
from lake.parquet_sql import files, open_duckdb, reading
from lake.reading import read_each
from lake.storage import ObjectInfo
from pipelines.snapshot_commits import Folded
from schemas.errors import LakeError
from schemas.records import RunRecord, StoredObject
from schemas.snapshots import CURRENT, MergedFile, SnapshotHead
from schemas.tables import RECORDINGS_SCHEMA

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

_MEMORY = "1GB"
_ROWS_AT_ONCE = 16_384
_PARTS_AT_ONCE = 512
_NARROW = ("utterances", ["recording_id", "lineage.run_id"]), ("recordings", ["recording_id", "run_id"])


class RowSet:
    """Rows named by recording and run: run to a sorted array of recording ids."""

    def __init__(self, named: pa.Table | None = None) -> None:
        import numpy as np

        self._of_run: dict[str, Any] = {}
        if named is not None and named.num_rows:
            runs = named["run_id"].combine_chunks().dictionary_encode()
            ids = np.asarray(named["recording_id"].to_numpy(zero_copy_only=False), dtype=np.bytes_)
            codes = runs.indices.to_numpy()
            self._of_run = {name: np.sort(ids[codes == code]) for code, name in enumerate(runs.dictionary.to_pylist())}

    def __bool__(self) -> bool:
        return bool(self._of_run)

    @property
    def runs(self) -> set[str]:
        return set(self._of_run)

    def mask(self, rows: pa.Table, kind: str) -> npt.NDArray[np.bool_]:
        """Which of `rows` are named."""
        import numpy as np

        found = np.zeros(rows.num_rows, dtype=bool)
        runs = run_ids(rows, kind)
        if not self.runs & set(runs.dictionary.to_pylist()):
            return found
        recordings = rows["recording_id"].combine_chunks().dictionary_encode()
        ids = np.asarray(recordings.dictionary.to_numpy(zero_copy_only=False), dtype=np.bytes_)
        of_row, run_of_row = recordings.indices.to_numpy(), runs.indices.to_numpy()
        for code, name in enumerate(runs.dictionary.to_pylist()):
            if (named := self._of_run.get(name)) is not None:
                places = np.minimum(np.searchsorted(named, ids), len(named) - 1)
                found |= (run_of_row == code) & (named[places] == ids)[of_row]
        return found


@dataclass(frozen=True)
class Moves:
    """Rows that do not stay where the last snapshot has them."""

    stale: RowSet
    """Not current: of new parts, and of files of current rows."""
    revived: RowSet
    """Current again, for what superseded them was erased: of files of superseded rows."""
    dropped: RowSet
    """Of units whose generation rose: whatever is left of them comes again with the new parts."""

    def of_part(self, kind: str, rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
        """The rows of a new part, and the kind of file that each goes to."""
        yield from _split(rows, self.stale.mask(rows, kind), CURRENT[kind], kind)

    def of_file(self, kind: str, rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
        """The same of rows of a merged file, without those that are dropped."""
        if self.dropped:
            rows = rows.filter(_array(~self.dropped.mask(rows, kind)))
        if kind in CURRENT:
            yield from _split(rows, self.stale.mask(rows, kind), CURRENT[kind], kind)
        else:
            yield from _split(rows, self.revived.mask(rows, kind), table_of(kind), kind)

    def concern(self, lake: Lake, file: MergedFile, run_numbers: dict[str, int]) -> bool:
        """Whether some row of the file moves; opens two narrow columns, and only where one of its runs is named."""
        away = (self.dropped, self.stale if file.kind in CURRENT else self.revived)
        named = {run_numbers[name] for rows in away for name in rows.runs}
        if named.isdisjoint(file.run_numbers):
            return False
        columns = dict(_NARROW)[table_of(file.kind)]
        tables = row_groups(lake, file, columns)
        return any(rows.mask(table, file.kind).any() for table in tables for rows in away)


def _split(rows: pa.Table, mask: npt.NDArray[np.bool_], where: str, otherwise: str) -> Iterator[tuple[str, pa.Table]]:
    if not mask.any():
        yield otherwise, rows
        return
    yield where, rows.filter(_array(mask))
    yield otherwise, rows.filter(_array(~mask))


def _array(mask: npt.NDArray[np.bool_]) -> pa.Array:
    import pyarrow as pa

    return pa.array(mask)


def read_parts(lake: Lake, parts: Iterator[StoredObject], columns: list[str] | None = None) -> Iterator[pa.Table]:
    """The rows of all parts, in order, those of small parts of one schema together; several are fetched at a time, for
    latency."""
    import pyarrow as pa

    held: list[pa.Table] = []
    rows = 0
    for table in _read_each(lake, parts, columns):
        if held and (rows >= _ROWS_AT_ONCE or len(held) >= _PARTS_AT_ONCE or not table.schema.equals(held[0].schema)):
            yield pa.concat_tables(held)
            held, rows = [], 0
        held.append(table)
        rows += table.num_rows
    if held:
        yield pa.concat_tables(held)


def _read_each(lake: Lake, parts: Iterator[StoredObject], columns: list[str] | None) -> Iterator[pa.Table]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    infos, again = tee(ObjectInfo(part.path, part.size_bytes) for part in parts)
    for info, data in zip(infos, read_each(lake.root, again), strict=True):
        try:
            yield pq.ParquetFile(pa.BufferReader(data)).read(columns, use_threads=False)
        except (OSError, pa.ArrowInvalid) as error:
            said = " ".join(str(error).split())
            raise LakeError(f"{lake.root.uri_of(info.path)} cannot be read as Parquet: {said}") from error


def moves(lake: Lake, previous: SnapshotHead | None, folded: Folded, runs: Sequence[RunRecord], folder: Path) -> Moves:
    """Ranks the sources that new parts name, and those of units whose generation rose, against what is held of them."""
    import pyarrow as pa

    schema = pa.schema([RECORDINGS_SCHEMA.field(name) for name in currency.COLUMNS])
    with Spool(folder / "new-recordings.parquet", schema) as new:
        for table in read_parts(lake, folded.parts("recordings"), list(currency.COLUMNS)):
            new.add(table.select(currency.COLUMNS).cast(schema))
    kinds = ["recordings", CURRENT["recordings"]] if folded.replaced else ["recordings"]
    held = [lake.root.uri_of(f.path) for kind in kinds for f in (previous.merged(kind) if previous else ())]
    with reading(), open_duckdb(lake.root, _MEMORY) as connection:
        connection.register("raised", _raised(folded, runs))
        connection.execute(f"create table dropped as {_dropped(held)}")
        connection.execute(f"create view new as {currency.rows_of([str(new.path)] if new.rows else [])}")
        connection.execute(
            f"create view held as from ({currency.rows_of(held)}) anti join dropped using (recording_id, run_id)"
        )
        named = "select source_root, source_path from new union select source_root, source_path from dropped"
        names = ", ".join(currency.COLUMNS)
        again = f"select {names} from held semi join ({named}) using (source_root, source_path)"
        rows = f"select {names} from new union all {again}"
        ranked = currency.ranked(rows, currency.runs_sql(runs))
        connection.execute(
            f"create table ranked as select recording_id, run_id, place = 1 as is_current from ({ranked})"
        )

        def asked(query: str) -> RowSet:
            return RowSet(connection.sql(f"select recording_id, run_id from {query}").to_arrow_table())

        stale, dropped = asked("ranked where not is_current"), asked("dropped")
        revived = asked("ranked where is_current") if folded.replaced else RowSet()
    return Moves(stale, revived, dropped)


def _raised(folded: Folded, runs: Sequence[RunRecord]) -> pa.Table:
    """`run_id` and `unit_id` of the units whose generation rose: a million, where gc took a whole run away."""
    import pyarrow as pa

    names = {run.number: run.run_id for run in runs}
    units = [(names[number], unit_id) for number, units in sorted(folded.replaced.items()) for unit_id in sorted(units)]
    columns = [pa.array(column, pa.string()) for column in (zip(*units, strict=True) if units else ((), ()))]
    return pa.Table.from_arrays(columns, names=["run_id", "unit_id"])


def _dropped(held: Sequence[str]) -> str:
    """A query for the held rows of units whose generation rose."""
    names = "recording_id, run_id, source_root, source_path"
    if not held:
        return f"select {names} from ({currency.rows_of([])})"
    return f"select {names} from {files(held)} semi join raised using (run_id, unit_id)"
