"""What catalogue rows say, on disk: a file that is read in order, and a few numbers of each in memory."""

from __future__ import annotations

import hashlib
import tempfile
import weakref
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.plan_done import row_marks
from schemas.catalogue import CatalogueRow

if TYPE_CHECKING:
    import pyarrow as pa

_FLUSH_ROWS, _FLUSH_CHARACTERS = 16_384, 4 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A row as it travels: canonical JSON, its digest, and the people in it (sorted ids, one per line)."""

    json: str
    sha256: str
    people: str

    @property
    def row(self) -> CatalogueRow:
        return CatalogueRow.model_validate_json(self.json)


class Entries:
    """Entries by number, in the order in which they were added."""

    def __init__(self) -> None:
        self._stream = Spool()
        self._waiting: list[Entry] = []
        self._characters = 0
        self._people: list[Any] = []
        self._sizes = array("i")
        self._marks: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self._sizes)

    def add(self, entry: Entry) -> int:
        """The number of the entry."""
        self._waiting.append(entry)
        self._sizes.append(len(entry.json.encode()) + len(entry.sha256))
        self._characters += len(entry.json) + len(entry.people)
        if len(self._waiting) >= _FLUSH_ROWS or self._characters >= _FLUSH_CHARACTERS:
            self._flush()
        return len(self._sizes) - 1

    def _flush(self) -> None:
        import pyarrow as pa

        if self._waiting:
            columns = {
                "json": pa.array([entry.json for entry in self._waiting], pa.string()),
                "sha256": pa.array([entry.sha256 for entry in self._waiting], pa.string()),
                "people": pa.array([entry.people for entry in self._waiting], pa.string()),
            }
            self._people.append(columns["people"])
            self._stream.write(pa.table(columns))
        self._waiting, self._characters = [], 0

    def end(self) -> None:
        """Nothing more will be added."""
        import pyarrow as pa

        self._flush()
        self._stream.end()
        people = pa.chunked_array(self._people, pa.string()).combine_chunks().dictionary_encode()
        self._people.clear()
        # A last one for sources without an entry, whose number is -1.
        self._codes = np.append(people.indices.to_numpy(), 0).astype(np.int32)
        self._names = people.dictionary
        self._bytes = np.append(np.frombuffer(self._sizes, np.int32), 0).astype(np.int32)

    def groups(self, buckets: int) -> Groups:
        """The rank of the people of an entry, nobody first: people are in order of their buckets, then of their ids."""
        import pyarrow as pa
        import pyarrow.compute as pc

        names = self._names.to_pylist()
        found = [int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") for name in names]
        table = pa.table(
            {
                "is_named": pc.not_equal(self._names, ""),
                "bucket": pa.array([number % buckets for number in found], pa.uint64()),
                "people": self._names,
            }
        )
        order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in table.column_names])
        rank = np.empty(len(names) + 1, np.int64)
        has_nobody = "" in names
        rank[order.to_numpy()] = np.arange(len(names)) + (not has_nobody)
        rank[len(names)] = 0
        return Groups(rank, self._codes)

    def row_bytes(self, entry: np.ndarray) -> np.ndarray:
        """Bytes that each entry takes in a plan; none for -1."""
        sizes: np.ndarray = self._bytes[entry]
        return sizes

    def row_marks(self, entry: np.ndarray) -> np.ndarray:
        """`row_marks` of each entry's digest; as for none where it is -1."""
        if self._marks is None:
            marks = [row_marks(batch.column("sha256")) for batch in self._stream]
            self._marks = np.concatenate([*marks, np.zeros(1, np.uint64)])
        found: np.ndarray = self._marks[entry]
        return found

    def get(self, number: int) -> Entry:
        """One entry."""
        for batch in self._stream:
            if number < batch.num_rows:
                return Entry(*(batch.column(name)[number].as_py() for name in ("json", "sha256", "people")))
            number -= batch.num_rows
        raise IndexError(number)

    def dealt(self, wanted: Sequence[np.ndarray]) -> Iterator[pa.Table]:
        """For each of `wanted` (sorted numbers) a table of these entries, `json` and `sha256`. One pass."""
        spools = [Spool() for _ in wanted]
        begin = 0
        for batch in self._stream:
            said = batch.select(["json", "sha256"])
            for numbers, spool in zip(wanted, spools, strict=True):
                first, last = np.searchsorted(numbers, [begin, begin + batch.num_rows])
                if first < last:
                    spool.write(said.take(numbers[first:last] - begin))
            begin += batch.num_rows
        for spool in spools:
            spool.end()
            yield _dealt_table(spool)
            spool.close()


def _dealt_table(spool: Spool) -> pa.Table:
    import pyarrow as pa

    schema = pa.schema([("json", pa.string()), ("sha256", pa.string())])
    return pa.Table.from_batches(list(spool), schema).combine_chunks()


@dataclass(frozen=True, slots=True)
class Groups:
    """Ranks of people by entry."""

    rank: np.ndarray
    codes: np.ndarray

    def of(self, entry: np.ndarray) -> np.ndarray:
        """The rank of each entry's people; 0, as for nobody, where it is -1."""
        return self.rank[np.where(entry >= 0, self.codes[entry], len(self.rank) - 1)]


class Spool:
    """Arrow batches in a file without a name, gone with the process however it ends; the first gives the schema."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="provoice-catalogue-")  # noqa: SIM115  (closed with the object)
        self.close = weakref.finalize(self, self._file.close)
        """Gives the disk space back."""
        self._writer: Any = None

    def write(self, rows: pa.Table | pa.RecordBatch) -> None:
        """Adds rows."""
        import pyarrow as pa

        if self._writer is None:
            self._writer = pa.ipc.new_stream(pa.PythonFile(self._file, "w"), rows.schema)
        self._writer.write(rows)

    def end(self) -> None:
        """Nothing more will be added."""
        if self._writer is not None:
            self._writer.close()
            self._file.flush()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """The batches in order, none where nothing was written. One reader at a time: a later one ends an earlier."""
        import pyarrow as pa

        if self._writer is not None:
            self._file.seek(0)
            with pa.ipc.open_stream(pa.PythonFile(self._file, "r")) as reader:
                yield from reader
