"""Utterances beside each other that ask the same: rows are read as codes, and decided once per run of equal ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.consent_tables import CONSENT_RECORDS_SCHEMA
from schemas.errors import ConsentError
from schemas.quick_arrow import never_import_pandas_for_a_question
from transforms.consent_table.columns import (
    EARLIEST,
    Flags,
    Ints,
    flags,
    instants,
    lists,
    offsets_of,
    source_ids,
    spread,
    taken,
    typed,
)

_GRANTS_TAKEN_IN_ON = "consent.list.element.grant_id"
CONSENT_COLUMNS = (
    "consent.list.element.subject_id",
    _GRANTS_TAKEN_IN_ON,
    "grant_ids",
    "consent_complete",
    "collected_at",
    "lineage.source_root",
    "lineage.source_path",
    "lineage.catalogue_row_sha256",
)
"""The columns of a Parquet file of utterances that the decision reads."""

_AS_CODES = [*CONSENT_COLUMNS[:2], "grant_ids.list.element", *CONSENT_COLUMNS[-3:]]
_PLAIN = pa.schema(
    [
        *(field for field in CONSENT_RECORDS_SCHEMA if field.name != "source_id"),
        pa.field("source_root", pa.string()),
        pa.field("source_path", pa.string()),
    ]
)


def consent_runs(table: pa.Table, *, names_sources: bool = True) -> tuple[pa.Table, Ints]:
    """Runs of adjacent utterances that a decision cannot tell apart: (CONSENT_RECORDS_SCHEMA, rows in each run).

    `table` has CONSENT_COLUMNS. A row without `grant_ids` (older lakes) is narrowed to the grants that its own consent
    names. Without `names_sources` the records keep `source_root` and `source_path` in place of `source_id`, whose
    digests cost more than deciding does; `with_source_ids` names those that are kept. Raises ConsentError for a column
    that is missing.
    """
    never_import_pandas_for_a_question()
    found = [_runs(batch) for batch in table.to_batches() if batch.num_rows]
    records = pa.concat_tables([_PLAIN.empty_table(), *(records for records, _ in found)])
    lengths = np.concatenate([np.zeros(0, np.int64), *(lengths for _, lengths in found)])
    return (with_source_ids(records) if names_sources else records), lengths


def file_runs(file: Any, *, names_sources: bool = True) -> Iterator[tuple[pa.Table, Ints]]:
    """`consent_runs` of an open Parquet file of utterances, row group by row group.

    Within a row group words stay codes from the page to the comparison: a fifth of the time of reading them as text.
    The grants that a row was taken in on are read only where `grant_ids` is null.
    """
    import pyarrow.parquet as pq

    never_import_pandas_for_a_question()
    about = pq.read_metadata(file)
    there = {about.schema.column(number).path for number in range(about.num_columns)}
    parquet = pq.ParquetFile(file, metadata=about, read_dictionary=[name for name in _AS_CODES if name in there])
    is_old = "grant_ids.list.element" not in there
    columns = [name for name in CONSENT_COLUMNS if not (is_old and name == "grant_ids")]
    without_grants = [name for name in columns if name != _GRANTS_TAKEN_IN_ON]
    for number in range(parquet.num_row_groups):
        group = None if is_old else parquet.read_row_group(number, columns=without_grants, use_threads=False)
        if group is None or group["grant_ids"].null_count:
            group = parquet.read_row_group(number, columns=columns, use_threads=False)
        yield consent_runs(group, names_sources=names_sources)


def with_source_ids(records: pa.Table) -> pa.Table:
    """Records with `source_id` in place of `source_root` and `source_path` (CONSENT_RECORDS_SCHEMA)."""
    if not records.num_rows:
        return CONSENT_RECORDS_SCHEMA.empty_table()
    ids = source_ids(records["source_root"].combine_chunks(), records["source_path"].combine_chunks())
    return records.append_column("source_id", ids).select(CONSENT_RECORDS_SCHEMA.names).cast(CONSENT_RECORDS_SCHEMA)


def _runs(batch: pa.RecordBatch) -> tuple[pa.Table, Ints]:
    columns = {name: _Coded.of(column) for name, column in _flat(batch).items()}
    changed = np.zeros(batch.num_rows, np.bool_)
    changed[0] = True
    for column in columns.values():
        changed[1:] |= column.changes()
    starts = np.flatnonzero(changed)
    records = {name: column.taken(starts) for name, column in columns.items()}
    records["grant_ids"] = _narrowed(records.pop("grant_ids"), records.pop("named_grants", None))
    table = pa.table(typed(pa.table(records), tuple(_PLAIN), "utterances"), schema=_PLAIN)
    return table, np.diff(np.append(starts, batch.num_rows))


def _flat(batch: pa.RecordBatch) -> dict[str, pa.Array]:
    """The columns that a decision reads, each by itself."""
    try:
        consent, lineage = batch.column("consent"), batch.column("lineage")
        is_old = "grant_ids" not in batch.schema.names
        grant_ids = pa.nulls(batch.num_rows, pa.list_(pa.string())) if is_old else batch.column("grant_ids")
        columns = {
            "subject_ids": _of_each(consent, "subject_id"),
            "complete": batch.column("consent_complete"),
            "collected_at": batch.column("collected_at"),
            "grant_ids": grant_ids,
            **{name: _field(lineage, name) for name in ("catalogue_row_sha256", "source_root", "source_path")},
        }
        if grant_ids.null_count:
            columns["named_grants"] = _of_each(consent, "grant_id")
    except (KeyError, pa.ArrowInvalid) as error:
        raise ConsentError(f"utterances cannot be decided without their consent columns: {error}") from None
    return columns


def _field(column: pa.StructArray, name: str) -> pa.Array:
    """A field of a struct; null where the struct is."""
    return pc.struct_field(column, [name]) if column.null_count else column.field(name)


def _of_each(consent: pa.ListArray, name: str) -> pa.Array:
    """One field of every element of a list of structs, as a list."""
    if not consent.null_count:
        return pa.ListArray.from_arrays(consent.offsets, _field(consent.values, name))
    offsets, links = lists(consent)
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), _field(links, name), mask=consent.is_null())


@dataclass(frozen=True, slots=True)
class _Coded:
    """A column as numbers that are equal where its values are; -1 is null. Lists have `offsets` of their values."""

    codes: NDArray[Any]
    words: pa.Array | None
    """What the codes stand for, or None where they are the values themselves, of type `kind`."""
    kind: pa.DataType
    offsets: NDArray[np.int32] | None = None
    is_null: Flags | None = None
    """Of lists, where any is null."""

    @classmethod
    def of(cls, column: pa.Array) -> _Coded:
        if pa.types.is_list(column.type):
            offsets = column.offsets.to_numpy()
            if column.null_count:
                # A null list may have values behind it.
                exact, values = lists(column)
                return replace(cls.of(values), offsets=exact.astype(np.int32), is_null=flags(column.is_null()))
            values = column.values.slice(offsets[0], offsets[-1] - offsets[0])
            return replace(cls.of(values), offsets=offsets - offsets[0])
        if pa.types.is_timestamp(column.type) or pa.types.is_boolean(column.type):
            return cls(_numbers(column), None, column.type)
        coded = column if pa.types.is_dictionary(column.type) else pc.dictionary_encode(column)
        indices = coded.indices.fill_null(-1) if coded.indices.null_count else coded.indices
        return cls(indices.to_numpy(), coded.dictionary, pa.string())

    def changes(self) -> Flags:
        """Per row but the first: it differs from the one before. Lists differ in length, or in a value."""
        codes, offsets = self.codes, self.offsets
        if offsets is None:
            return np.asarray(codes[1:] != codes[:-1])
        counts = np.diff(offsets)
        changed = np.asarray(counts[1:] != counts[:-1])
        if self.is_null is not None:
            changed |= self.is_null[1:] != self.is_null[:-1]
        if not len(codes):
            return changed
        # The first value of each row, and then, of the few that are longer, one more after the other.
        first = codes[np.minimum(offsets[:-1], len(codes) - 1)]
        changed |= (first[1:] != first[:-1]) & (counts[1:] > 0)
        rows = np.flatnonzero((counts[1:] > 1) & ~changed) + 1
        nth = 1
        while len(rows):
            changed[rows - 1] |= codes[offsets[rows] + nth] != codes[offsets[rows - 1] + nth]
            nth += 1
            rows = rows[counts[rows] > nth]
        return changed

    def taken(self, rows: Ints) -> pa.Array:
        """The values of these rows."""
        if self.offsets is None:
            return self._decoded(self.codes[rows])
        counts = np.diff(self.offsets)[rows]
        starts = self.offsets[rows].astype(np.int64)
        _, place = spread(starts, starts + counts)
        mask = None if self.is_null is None else pa.array(self.is_null[rows])
        offsets = pa.array(offsets_of(counts).astype(np.int32))
        return pa.ListArray.from_arrays(offsets, self._decoded(self.codes[place]), mask=mask)

    def _decoded(self, codes: NDArray[Any]) -> pa.Array:
        if self.words is not None:
            return taken(self.words, codes).cast(self.kind)
        null = EARLIEST if codes.dtype == np.int64 else -1
        values = pa.array(codes, mask=codes == null)
        return values.cast(self.kind)


def _numbers(column: pa.Array) -> NDArray[Any]:
    """Instants in microseconds, EARLIEST where there is none; booleans as 0 and 1, -1 where there is none."""
    if pa.types.is_timestamp(column.type):
        return instants(column, EARLIEST)
    return np.asarray(column.cast(pa.int8()).fill_null(-1))


def _narrowed(grant_ids: pa.Array, named: pa.Array | None) -> pa.Array:
    """Null `grant_ids` become the grants that the row's own consent names; where it names none, none counts (null)."""
    if named is None:
        return grant_ids
    offsets, values = lists(named)
    kept = flags(pc.is_valid(values))
    counts = np.diff(offsets_of(kept)[offsets])
    text = pa.ListArray.from_arrays(
        pa.array(offsets_of(counts).astype(np.int32)), values.filter(pa.array(kept)), mask=pa.array(counts == 0)
    )
    return pc.coalesce(grant_ids, text)
