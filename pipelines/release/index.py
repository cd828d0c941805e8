"""Index parts: chosen rows of many files, sorted by shard, every shard whole in one part.

A merged file is sorted by person, and a tar holds many people: so what is chosen from each file rests on this machine's
disk, sorted by shard, until all files are through; then each part gathers its shards from all of them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake.layout import unit_of_shard
from lake.parts import write_table
from schemas.consent_tables import CONSENT_RECORD_FIELDS, JUSTIFICATION, RELEASE_INDEX_SCHEMA
from schemas.errors import LakeError
from schemas.tables import PLACE_FIELDS

ROW_GROUP_ROWS = 16_384
"""Of an index part: what one loader worker reads at a time."""
SAME = ("key", "recording_id", *(field.name for field in PLACE_FIELDS), "audio_sha256", "duration_s")
"""Columns that a row of an index has from `utterances` as they are."""
DECIDED = (*(field.name for field in CONSENT_RECORD_FIELDS), "justifications", "allowed_until")
"""Columns that all rows of a run share: what was decided on, and what came of it."""
_ASIDE = tuple(name for name in SAME if name != "shard")
"""Rows that are put aside lie by shard, so where each shard begins says which it is."""
REPEATING = (
    "recording_id", "run_id", "unit_id", "shard", "json_size", "subject_ids.list.element", "grant_ids.list.element",
    "source_id", "collected_at", "catalogue_row_sha256", "allowed_until",
    *(f"justifications.list.element.{field.name}" for field in JUSTIFICATION),
)  # fmt: skip
ENCODINGS = {
    **dict.fromkeys(("audio_offset", "audio_size", "json_offset"), "DELTA_BINARY_PACKED"),
    "audio_sha256": "DELTA_LENGTH_BYTE_ARRAY",
}
"""Half the time of writing digests, and fewer bytes for places."""
BOUNDED = ("key", "recording_id", "run_id", "unit_id", "shard", "audio_offset", "allowed_until")
"""Columns whose least and greatest value in a row group help whoever looks for something."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Chosen rows of one row group, sorted by shard, in two files: the rows, and what was decided of their runs."""

    rows: Path
    runs: Path
    shards: tuple[str, ...]
    """Sorted, each once."""
    starts: tuple[int, ...]
    """Where the rows of each shard begin, and the end of the last."""


@dataclass(frozen=True, slots=True)
class Span:
    """The shards of one part, from the first to the last."""

    number: int
    first: str
    last: str


def put_aside(rows: pa.Table, decided: pa.Table, kept: Any, run: Any, place: Path) -> Batch | None:
    """Writes the rows at `kept` to files beside `place`; `run`: the row of `decided` (DECIDED) of each."""
    if not len(kept):
        return None
    shards = encoded(rows["shard"])
    rank = _ranks(shards.dictionary)
    code = rank[shards.indices.to_numpy()[kept]]
    order = np.lexsort((rows["audio_offset"].combine_chunks().take(pa.array(kept)).to_numpy(), code))
    kept, code, run = kept[order], code[order], run[order]
    used, own = np.unique(run, return_inverse=True)
    chosen = rows.select(_ASIDE).take(pa.array(kept))
    # Words of a recording are left as text: a dictionary goes whole with every slice.
    columns = [_plain(chosen[name]) for name in _ASIDE]
    run_id = encoded(pc.struct_field(rows["lineage"].combine_chunks(), ["run_id"])).take(pa.array(kept))
    _write(
        place.with_suffix(".rows"),
        pa.table([*columns, run_id, pa.array(own.astype(np.int32))], names=[*_ASIDE, "run_id", "run"]),
    )
    _write(place.with_suffix(".runs"), decided.select(DECIDED).take(pa.array(used)))
    starts = np.flatnonzero(np.concatenate([[True], code[1:] != code[:-1]]))
    names = shards.dictionary.take(pc.sort_indices(shards.dictionary)).take(pa.array(code[starts])).to_pylist()
    bounds = tuple(map(int, (*starts, len(code))))
    return Batch(place.with_suffix(".rows"), place.with_suffix(".runs"), tuple(names), bounds)


def spans(batches: Iterable[Batch], rows: int) -> Iterator[Span]:
    """Parts of about so many rows, in order of shard; they depend on what is chosen, not on the files it is from."""
    counts: Counter[str] = Counter()
    for batch in batches:
        for shard, begin, end in zip(batch.shards, batch.starts, batch.starts[1:], strict=False):
            counts[shard] += end - begin
    number, held, first = 0, 0, ""
    names = sorted(counts)
    for shard in names:
        first, held = first or shard, held + counts[shard]
        if held >= rows or shard == names[-1]:
            yield Span(number, first, shard)
            number, held, first = number + 1, 0, ""


def write_part(span: Span, batches: Sequence[Batch], stale: pa.Array, path: Path) -> tuple[Path, int, str, int]:
    """Gathers and writes a part: its file, size, SHA-256 and rows. Raises LakeError for a row named in `stale`."""
    rows, runs, shards = _gathered(span, batches)
    _check_current(rows, stale)
    order = np.lexsort((rows["audio_offset"].to_numpy(), shards.indices.to_numpy()))
    index = _index(rows.take(pa.array(order)), runs, shards.take(pa.array(order)))
    del rows, runs
    size, sha256 = write_table(
        path, index, ROW_GROUP_ROWS, repeating=REPEATING, encodings=ENCODINGS, statistics=BOUNDED
    )
    return path, size, sha256, index.num_rows


def _gathered(span: Span, batches: Sequence[Batch]) -> tuple[pa.Table, pa.Table, pa.DictionaryArray]:
    """The part's rows, what was decided of their runs, which `run` counts, and the shard of each row, by a sorted
    dictionary."""
    found: list[pa.Table] = []
    runs: list[pa.Table] = []
    shards: list[tuple[Sequence[str], Any]] = []
    count = 0
    for batch in batches:
        first, last = bisect_left(batch.shards, span.first), bisect_right(batch.shards, span.last)
        begin, end = batch.starts[first], batch.starts[last]
        if begin < end:
            rows = _read(batch.rows).slice(begin, end - begin)
            used, own = np.unique(rows["run"].to_numpy(), return_inverse=True)
            run = pa.array((own + count).astype(np.int32))
            found.append(rows.set_column(rows.schema.get_field_index("run"), "run", run))
            runs.append(_read(batch.runs).take(pa.array(used)))
            shards.append((batch.shards[first:last], np.diff(batch.starts[first : last + 1])))
            count += len(used)
    names = sorted({name for some, _ in shards for name in some})
    place = {name: number for number, name in enumerate(names)}
    codes = np.concatenate([np.repeat([place[name] for name in some], counts) for some, counts in shards])
    shard = pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(names, pa.string()))
    return pa.concat_tables(found).unify_dictionaries().combine_chunks(), pa.concat_tables(runs).combine_chunks(), shard


def stale_names(stale: pa.Table) -> pa.Array:
    """Each row of `recording_id` and `run_id` as one text."""
    return pc.binary_join_element_wise(stale["recording_id"], stale["run_id"], "@").combine_chunks()


def _index(rows: pa.Table, runs: pa.Table, shards: pa.DictionaryArray) -> pa.Table:
    units = [unit_of_shard(path) for path in shards.dictionary.to_pylist()]
    of = rows["run"]
    placed: dict[str, Any] = {
        **{name: rows[name] for name in _ASIDE},
        "shard": shards,
        "run_id": pa.array([run_id for run_id, _ in units], pa.string()).take(shards.indices),
        "unit_id": pa.array([unit_id for _, unit_id in units], pa.string()).take(shards.indices),
        **{name: runs[name].take(of) for name in DECIDED},
    }
    columns = [_cast(placed[field.name], field.type) for field in RELEASE_INDEX_SCHEMA]
    return pa.Table.from_arrays(columns, schema=RELEASE_INDEX_SCHEMA)


def _check_current(rows: pa.Table, stale: pa.Array) -> None:
    """Once more, and by other means than they were left out: no row of a recording that a later run has made anew."""
    if len(stale):
        pairs = rows.select(["recording_id", "run_id"]).group_by(["recording_id", "run_id"]).aggregate([])
        names = stale_names(
            pa.table([_cast(column, pa.string()) for column in pairs.columns], names=pairs.column_names)
        )
        found = names.filter(pc.is_in(names, stale))
        if len(found):
            raise LakeError(f"{found[0].as_py()} is not current, and was chosen all the same; no release was made")


def encoded(column: Any) -> pa.DictionaryArray:
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return column if pa.types.is_dictionary(column.type) else column.dictionary_encode()


def _plain(column: Any) -> Any:
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _ranks(words: pa.Array) -> Any:
    """The place of each word among all when they are sorted."""
    found = np.empty(len(words), np.int64)
    found[pc.sort_indices(words).to_numpy()] = np.arange(len(words))
    return found


def _write(path: Path, table: pa.Table) -> None:
    table = table.combine_chunks()
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def _read(path: Path) -> pa.Table:
    """Pages are read when they are touched, and belong to nobody once the table is gone."""
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def _cast(column: Any, kind: pa.DataType) -> Any:
    return column if column.type == kind else column.cast(kind)
