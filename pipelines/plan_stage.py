"""Listed sources on the disk of this machine, cut by their order into partitions that each fit the memory for sorting.

The order is that of people (by bucket), then root, then path. A sample says where to cut; where it cuts decides nothing
but memory, for a partition holds every source between two keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.glob_columns import truths
from pipelines.plan_ids import ID_BYTES
from schemas.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

_SAMPLED = 100_000
_STRIDE = 16  # one row in so many is in the sample, and fewer of a large plan
_ROW_BYTES = 64  # what a row takes besides its texts
_PARTITIONS = 200  # as many files are open at once
_FANOUT = 16
_SHARE = 8  # a partition is read, put together, sorted, and the next one with it


def staged_schema() -> pa.Schema:
    """What is kept of a listed source: `group` is the rank of its people, `root` a code, `entry` its catalogue row."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("group", pa.int64()),
            pa.field("root", pa.int64()),
            pa.field("path", pa.string()),
            pa.field("version", pa.string()),
            pa.field("size", pa.int64()),
            pa.field("ms", pa.int64()),
            pa.field("id", pa.binary(ID_BYTES)),
            pa.field("entry", pa.int32()),
        ]
    )


class Stage:
    """Takes listed sources in any order, and gives them back in theirs; `folder` is private to it."""

    def __init__(self, folder: Path, memory_bytes: int) -> None:
        self._folder, self._share_bytes = folder, max(1 << 20, memory_bytes // _SHARE)
        self._codes: dict[str, int] = {}
        self._samples: list[Any] = []
        self._stride, self._seen, self._kept, self._bytes = _STRIDE, 0, 0, 0
        self._listed = _Stream(folder / "listed.arrow")
        self._partitions: list[Path] = []

    def code_of(self, root: str) -> int:
        """The number that stands for this root in `root`."""
        return self._codes.setdefault(root, len(self._codes))

    def add(self, rows: pa.Table, extra_bytes: np.ndarray | None = None) -> None:
        """Adds rows of `staged_schema`; `extra_bytes` is what each will bring along in the plan."""
        import pyarrow.compute as pc

        weights = _ROW_BYTES + pc.binary_length(rows["path"]).to_numpy() + pc.binary_length(rows["version"]).to_numpy()
        if extra_bytes is not None:
            weights = weights + extra_bytes
        self._bytes += int(weights.sum(dtype=np.int64))
        self._listed.write(rows)
        picked = np.arange(-self._seen % self._stride, rows.num_rows, self._stride)
        self._seen += rows.num_rows
        if len(picked):
            keys = rows.select(["group", "root", "path"]).take(picked)
            self._samples.append((keys.combine_chunks(), weights[picked]))
            self._kept += len(picked)
        if self._kept > _SAMPLED:
            self._thin_out()

    def _thin_out(self) -> None:
        self._stride *= 2
        self._samples = [(keys.take(np.arange(0, len(w), 2)), w[::2]) for keys, w in self._samples]
        self._kept = sum(len(w) for _, w in self._samples)

    def entries(self) -> Iterator[np.ndarray]:
        """For each partition in order: the catalogue rows that its sources have, sorted, each once."""
        self._cut()
        for path in self._partitions:
            found = [np.zeros(0, np.int32)]
            for batch in _batches(path):
                found.append(np.unique(batch["entry"].to_numpy()))
            every = np.unique(np.concatenate(found))
            yield every[every >= 0]

    def __iter__(self) -> Iterator[pa.Table]:
        """Partition by partition, each sorted. Raises ConfigError for a source that was listed twice."""
        import pyarrow as pa
        import pyarrow.compute as pc

        self._cut()
        names = pa.array(list(self._codes), pa.string())
        for path in self._partitions:
            batches = list(_batches(path))
            path.unlink()
            rows = pa.Table.from_batches(batches, staged_schema()).combine_chunks()
            del batches
            keys = pa.table({"major": self._major(rows), "path": rows["path"]})
            order = pc.sort_indices(keys, sort_keys=[("major", "ascending"), ("path", "ascending")])
            rows = rows.take(order).combine_chunks()
            rows = rows.set_column(1, "root", pc.take(names, rows["root"]))
            _refuse_twice(rows)
            yield rows

    def _major(self, rows: pa.Table) -> np.ndarray:
        """Group and root as one number, in their order."""
        order = sorted(self._codes)
        rank = np.empty(len(order), np.int64)
        rank[[self._codes[name] for name in order]] = np.arange(len(order))
        codes = rows["root"].to_numpy()
        major: np.ndarray = rows["group"].to_numpy() * len(order) + (rank[codes] if len(codes) else codes)
        return major

    def _cut(self) -> None:
        """Moves the listed rows into their partitions, once."""
        if self._partitions or self._seen == 0:
            return
        self._listed.close()
        cuts = self._splitters()
        if cuts is None:
            self._partitions = [self._listed.path]
            return
        majors, paths = cuts
        streams = [_Stream(self._folder / f"{n}.arrow") for n in range(len(majors) + 1)]
        for batch in _batches(self._listed.path):
            table = _table(batch)
            part = partition_of(self._major(table), table["path"].chunk(0), majors, paths)
            order = np.argsort(part, kind="stable")
            ends = np.searchsorted(part[order], np.arange(len(streams) + 1))
            moved = table.take(order)
            for n in np.flatnonzero(np.diff(ends)):
                streams[n].write(moved.slice(ends[n], ends[n + 1] - ends[n]))
        self._listed.path.unlink()
        for stream in streams:
            stream.close()
        self._partitions = [stream.path for stream in streams]

    def _splitters(self) -> tuple[np.ndarray, pa.Array] | None:
        """Keys at which partitions begin, of about equal bytes; None where one will do."""
        import pyarrow as pa
        import pyarrow.compute as pc

        parts = min(_PARTITIONS, -(-self._bytes // self._share_bytes))
        if parts < 2:
            return None
        sample = pa.concat_tables([keys for keys, _ in self._samples]).combine_chunks()
        keys = pa.table({"major": self._major(sample), "path": sample["path"]})
        order = pc.sort_indices(keys, sort_keys=[("major", "ascending"), ("path", "ascending")]).to_numpy()
        reached = np.cumsum(np.concatenate([weights for _, weights in self._samples])[order])
        at = np.unique(np.searchsorted(reached, reached[-1] * np.arange(1, parts) / parts))
        keys = keys.take(order[at])
        self._samples.clear()
        return keys["major"].to_numpy(), keys["path"].combine_chunks()


def partition_of(majors: np.ndarray, paths: pa.Array, cut_majors: np.ndarray, cut_paths: pa.Array) -> np.ndarray:
    """How many of the cuts (sorted by number, then path) are not above each row's key."""
    part = np.searchsorted(cut_majors, majors, side="left")
    for major in np.unique(cut_majors):
        first, last = np.searchsorted(cut_majors, [major, major + 1])
        rows = np.flatnonzero(majors == major)
        if len(rows) == len(majors):
            part += _at_or_below(paths, cut_paths.slice(first, last - first))
        elif len(rows):
            part[rows] += _at_or_below(paths.take(rows), cut_paths.slice(first, last - first))
    return part


def _at_or_below(paths: pa.Array, cuts: pa.Array) -> np.ndarray:
    """How many of the sorted cuts are not above each path: few comparisons first, then those between two of them."""
    import pyarrow.compute as pc

    step = -(-len(cuts) // _FANOUT)
    count = np.zeros(len(paths), np.int64)
    for n in range(step - 1, len(cuts), step):
        count += truths(pc.greater_equal(paths, cuts[n]))
    if step == 1:
        return count
    below = count * step
    for n in np.unique(count):
        rows = np.flatnonzero(count == n)
        rest = cuts.slice(int(n) * step, step - 1)
        below[rows] += _at_or_below(paths.take(rows), rest)
    return below


def _refuse_twice(rows: pa.Table) -> None:
    import pyarrow.compute as pc

    root, path = rows["root"].combine_chunks(), rows["path"].combine_chunks()
    same = truths(pc.and_(pc.equal(root[1:], root[:-1]), pc.equal(path[1:], path[:-1])))
    if same.any():
        first = int(np.argmax(same))
        raise ConfigError(f"source {path[first].as_py()!r} is listed twice in root {root[first].as_py()}")


class _Stream:
    """A file of Arrow batches that is being written."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        self.path = path
        self._file = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_stream(self._file, staged_schema())

    def write(self, rows: pa.Table) -> None:
        self._writer.write_table(rows)

    def close(self) -> None:
        self._writer.close()
        self._file.close()


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    with pa.OSFile(str(path), "rb") as file, pa.ipc.open_stream(file) as reader:
        yield from reader


def _table(batch: pa.RecordBatch) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_batches([batch])
