"""Where utterances lie now: a release's index says where they lay, and only a unit's current commit knows better.

A unit gets another generation by an erasure alone, so that one listing of commits vouches for every unit that has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from lake.commits import committed_units, read_commit
from lake.lake import Lake
from lake.parts import read_part
from lake.snapshots import newest_snapshot
from provoice.loader.index import Index
from provoice.loader.share import Share
from schemas.errors import LakeError
from schemas.records import Commit
from schemas.tables import PLACE_FIELDS

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

NONE = -1
"""Offset of a text that an utterance does not have."""


class Location(NamedTuple):
    """Where the members of one utterance lie: `schemas.tables.PLACE_FIELDS`, in this order."""

    shard: str
    audio_offset: int
    audio_size: int
    json_offset: int
    json_size: int
    text_offset: int
    text_size: int


LOCATION_COLUMNS = tuple(field.name for field in PLACE_FIELDS)
_GENERATION = ("run_id", "unit_id", "generation")


def locations_of(table: pa.Table) -> Iterator[Location]:
    """A location per row of a table with `LOCATION_COLUMNS`."""
    columns = [table.column(name).to_pylist() for name in LOCATION_COLUMNS]
    for shard, *numbers in zip(*columns, strict=True):
        yield Location(shard, *(NONE if number is None else number for number in numbers))


def moved_rows(lake: Lake, index: Index, share: Share) -> dict[int, Location | None]:
    """Rows of `share` that an erasure has rewritten since: where they lie now, or None where they are gone.

    Rows are counted from the share's first. Costs a listing per run, and reads the commits of rewritten units only.
    """
    table = index.read(share, ["run_id", "unit_id", "shard"])
    moved: dict[int, Location | None] = {}
    for run_id, unit_id, rows, shards in _rewritten(lake, table):
        commit = current_commit(lake, run_id, unit_id)
        if not shards <= {stored.path for stored in commit.objects}:
            now = places_of_unit(lake, commit)
            chosen = index.read(Share(share.first + rows[0], share.first + rows[-1] + 1), ["key"]).column("key")
            moved |= {row: now.get(chosen[row - rows[0]].as_py()) for row in rows}
    return moved


def current_commit(lake: Lake, run_id: str, unit_id: str) -> Commit:
    """The commit of a unit that has been committed. Raises LakeError where there is none: commits are never deleted."""
    commit = read_commit(lake, run_id, unit_id)
    if commit is None:
        raise LakeError(f"{lake.root.uri}: unit {unit_id} of run {run_id} has no commit any more")
    return commit


def places_of_unit(lake: Lake, commit: Commit) -> Mapping[str, Location]:
    """Where the utterances of a unit lie, by key, after its commit."""
    found: dict[str, Location] = {}
    for stored in commit.objects:
        if stored.kind == "utterances":
            table = read_part(lake.root, stored.path, ["key", *LOCATION_COLUMNS])
            found |= zip(table.column("key").to_pylist(), locations_of(table), strict=True)
    return found


def _rewritten(lake: Lake, table: pa.Table) -> Iterator[tuple[str, str, list[int], set[str]]]:
    """Run, unit, rows and shards of every unit that is not in its first generation any more."""
    import numpy as np

    (run, runs), (unit, units), (shard, shards) = (codes_of(table.column(i)) for i in range(3))
    pairs = run.astype(np.int64) * max(1, len(units)) + unit
    of_run: dict[str, list[str]] = {}
    for pair in np.unique(pairs).tolist():
        of_run.setdefault(runs[pair // len(units)], []).append(units[pair % len(units)])
    for run_id, unit_id in sorted(_later_generations(lake, of_run)):
        rows = np.flatnonzero(pairs == runs.index(run_id) * len(units) + units.index(unit_id))
        yield run_id, unit_id, rows.tolist(), {shards[code] for code in np.unique(shard[rows]).tolist()}


def _later_generations(lake: Lake, units: Mapping[str, Sequence[str]]) -> set[tuple[str, str]]:
    """Of the `units` of each run those with more than the first generation, or with none.

    The newest snapshot knows most of them, for an erasure takes one before it deletes; where it does not hold a unit,
    the commits of its run are listed.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    found: set[tuple[str, str]] = set()
    snapshot = newest_snapshot(lake)
    folded = None if snapshot is None else read_part(lake.root, snapshot.commits.path, _GENERATION)
    for run_id, names in units.items():
        left = pa.array(names, pa.string())
        if folded is not None:
            own = folded.filter(pc.equal(folded.column("run_id"), run_id))
            later = own.filter(pc.greater(own.column("generation"), 0)).column("unit_id")
            found |= {(run_id, name) for name in left.filter(pc.is_in(left, later)).to_pylist()}
            left = left.filter(pc.invert(pc.is_in(left, own.column("unit_id"))))
        if len(left):
            listed = committed_units(lake, run_id)
            found |= {(run_id, name) for name in left.to_pylist() if listed.get(name) != 0}
    return found


def codes_of(column: pa.ChunkedArray) -> tuple[NDArray[np.int32], list[str]]:
    """A column's words, and which of them each row has."""
    import numpy as np
    import pyarrow as pa

    if len(column) == 0:
        return np.zeros(0, np.int32), []
    whole = column.combine_chunks()
    encoded = whole if pa.types.is_dictionary(whole.type) else whole.dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int32, copy=False), encoded.dictionary.to_pylist()
