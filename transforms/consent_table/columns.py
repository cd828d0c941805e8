"""Arrow columns as NumPy arrays: instants in microseconds, lists as offsets and values, rows as codes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cached_property
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.errors import ConsentError

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

_MANY_MORE = 16
"""Where so many texts are known per one looked up, Arrow would spend its time on the known ones."""
EARLIEST = -(2**62)
LATEST = 2**62
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(instant: datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


def whole(column: Any) -> pa.Array:
    """A column in one piece."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [pa.array([], column.type)])


def typed(table: pa.Table, fields: tuple[pa.Field, ...], about: str) -> dict[str, pa.Array]:
    """The named columns in the stated types. A missing column, or one of another kind, is a ConsentError: what cannot
    be read as stated is not guessed at."""
    found = {}
    for field in fields:
        place = table.schema.get_all_field_indices(field.name)
        if len(place) != 1:
            raise ConsentError(f"{about} need one column `{field.name}`, and there are {len(place)}")
        column = table.column(place[0])
        if column.type != field.type:
            if not _is_kin(column.type, field.type):
                raise ConsentError(f"{about} need `{field.name}` as {field.type}, and it is {column.type}")
            try:
                column = column.cast(field.type)
            except pa.ArrowInvalid as error:
                raise ConsentError(f"`{field.name}` of {about} does not fit {field.type}: {error}") from None
        found[field.name] = whole(column)
    return found


def _is_kin(kind: pa.DataType, wanted: pa.DataType) -> bool:
    """The same values, stored in another way."""
    if pa.types.is_dictionary(kind):
        return _is_kin(kind.value_type, wanted)
    if pa.types.is_null(kind) or kind == wanted:
        return True
    if pa.types.is_string(wanted):
        return bool(pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
    if pa.types.is_timestamp(wanted):
        return bool(pa.types.is_timestamp(kind) and kind.tz is not None)
    if pa.types.is_list(wanted):
        is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
        return is_list and _is_kin(kind.value_type, wanted.value_type)
    if pa.types.is_struct(wanted):
        return pa.types.is_struct(kind) and all(
            kind.get_field_index(field.name) >= 0 and _is_kin(kind.field(field.name).type, field.type)
            for field in wanted
        )
    return False


def instants(column: pa.Array, null: int) -> Ints:
    """Microseconds since 1970, and `null` where none is stated."""
    numbers = column.cast(pa.int64())
    found: Ints = (numbers.fill_null(null) if numbers.null_count else numbers).to_numpy(zero_copy_only=False)
    return found


def flags(column: pa.Array) -> Flags:
    """True where the column says true: null is no yes."""
    found: Flags = whole(column).fill_null(False).to_numpy(zero_copy_only=False)
    return found


def offsets_of(counts: Any) -> Ints:
    """Where each list begins, and the end of the last, for lists of so many values."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])


def lists(column: pa.Array) -> tuple[Ints, pa.Array]:
    """Offsets (rows + 1, from 0) and values of a column of lists; a null list is empty."""
    counts = pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False)
    return offsets_of(counts), column.flatten()


def places(values: pa.Array, known: pa.Array) -> Ints:
    """Place of each value in `known`, and -1 where it is not there (null never is)."""
    if not len(known) or not len(values):
        return np.full(len(values), -1, np.int64)
    found = pc.index_in(values, value_set=known, skip_nulls=True).fill_null(-1)
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.int64)


class Places:
    """`places` in texts that are known beforehand, for many short columns: the known ones are gone through once."""

    def __init__(self, known: pa.Array) -> None:
        self._known = known

    @cached_property
    def _table(self) -> dict[str, int]:
        # Backwards, so that of equal ones the first counts.
        words = self._known.to_pylist()
        return {words[place]: place for place in range(len(words) - 1, -1, -1)}

    def of(self, values: pa.Array) -> Ints:
        """Place of each value, and -1 where it is not known."""
        if len(self._known) <= _MANY_MORE * len(values):
            return places(values, self._known)
        coded = pc.dictionary_encode(values)
        words = coded.dictionary.to_pylist()
        found = np.fromiter((self._table.get(word, -1) for word in [*words, None]), np.int64, len(words) + 1)
        return np.asarray(found[coded.indices.fill_null(len(words)).to_numpy()])


def firsts(values: pa.Array) -> Flags:
    """True where a value stands for the first time."""
    codes = pc.dictionary_encode(values, null_encoding="encode").indices.to_numpy(zero_copy_only=False)
    # Codes are given in the order in which values appear, so each new one is one higher than all before.
    highest = np.maximum.accumulate(np.concatenate([[-1], codes[:-1]])) if len(codes) else codes
    return np.asarray(codes > highest)


def spread(starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """Every place of the ranges `starts[i]:ends[i]`, one after the other: (which range, which place)."""
    counts = ends - starts
    owner = np.repeat(np.arange(len(starts), dtype=np.int64), counts)
    return owner, np.arange(len(owner), dtype=np.int64) - np.repeat(offsets_of(counts)[:-1] - starts, counts)


def first_best(starts: Ints, scores: Ints) -> Ints:
    """Per segment `starts[i]:starts[i + 1]` of `scores`: the first place of its highest score; -1 for an empty one."""
    counts = np.diff(starts)
    best = np.full(len(counts), -1, np.int64)
    filled = np.flatnonzero(counts)
    if len(filled):
        highest = np.maximum.reduceat(scores, starts[:-1][filled])
        winners = np.flatnonzero(scores == np.repeat(highest, counts[filled]))
        # Backwards, so that of several the first is written last.
        best[np.repeat(filled, counts[filled])[winners][::-1]] = winners[::-1]
    return best


def is_among(keys: Ints, known: Ints) -> Flags:
    """Whether each key is one of `known`, which is sorted."""
    if not len(known):
        return np.zeros(len(keys), np.bool_)
    place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.asarray(known[place] == keys)


def taken(values: pa.Array, places_: Ints) -> pa.Array:
    """The values at these places; null for -1."""
    is_nowhere = places_ < 0
    return values.take(pa.array(places_, mask=is_nowhere if is_nowhere.any() else None))


def pair_keys(left: pa.Array, right: pa.Array) -> pa.Array:
    """One text per pair, different for different pairs; null where either is."""
    length = pc.binary_length(left).cast(pa.string())
    return pc.binary_join_element_wise(length, left, right, ":")


def source_ids(roots: pa.Array, paths: pa.Array) -> pa.Array:
    """`schemas.ids.source_id` of each pair, in a quarter of its time; null where either is null."""
    heads = {root: len(root.encode()).to_bytes(8, "big") + root.encode() for root in roots.unique().to_pylist() if root}
    heads |= {"": bytes(8)}
    ids = [
        None
        if root is None or path is None
        else blake2b(b"".join((heads[root], len(path).to_bytes(8, "big"), path)), digest_size=16).hexdigest()
        for root, path in zip(roots.to_pylist(), paths.cast(pa.binary()).to_pylist(), strict=True)
    ]
    return pa.array(ids, pa.string())
