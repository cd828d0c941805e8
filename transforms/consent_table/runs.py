"""Utterances beside each other that ask the same: rows are read as codes, and decided once per run of equal ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

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
)

CONSENT_COLUMNS = (
    "consent.list.element.subject_id",
    "consent.list.element.grant_id",
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
    """
    import pyarrow.parquet as pq

    never_import_pandas_for_a_question()
    parquet = pq.ParquetFile(file, read_dictionary=_AS_CODES)
    columns = [name for name in CONSENT_COLUMNS if name != "grant_ids" or name in parquet.schema_arrow.names]
    for number in range(parquet.num_row_groups):
        group = parquet.read_row_group(number, columns=columns, use_threads=False)
        yield consent_runs(group, names_sources=names_sources)


def with_source_ids(records: pa.Table) -> pa.Table:
    """Records with `source_id` in place of `source_root` and `source_path` (CONSENT_RECORDS_SCHEMA)."""
    if not records.num_rows:
        return CONSENT_RECORDS_SCHEMA.empty_table()
    ids = source_ids(records["source_root"].combine_chunks(), records["source_path"].combine_chunks())
    return records.append_column("source_id", ids).select(CONSENT_RECORDS_SCHEMA.names).cast(CONSENT_RECORDS_SCHEMA)


def _runs(batch: pa.RecordBatch) -> tuple[pa.Table, Ints]:
    columns = _flat(batch)
    changed = np.zeros(batch.num_rows, np.bool_)
    changed[0] = True
    for column in columns.values():
        changed[1:] |= _changes(column)
    starts = np.flatnonzero(changed)
    rows = pa.array(starts)
    records = {name: _taken(column, starts, rows) for name, column in columns.items()}
    records["grant_ids"] = _narrowed(records.pop("grant_ids"), records.pop("named_grants", None))
    table = pa.table([records[field.name] for field in _PLAIN], schema=_PLAIN)
    return table, np.diff(np.append(starts, batch.num_rows))


def _flat(batch: pa.RecordBatch) -> dict[str, pa.Array]:
    """The columns that a decision reads, each by itself."""
    try:
        consent, lineage = batch.column("consent"), batch.column("lineage")
        grant_ids = batch.column("grant_ids") if "grant_ids" in batch.schema.names else _no_lists(batch.num_rows)
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


def _no_lists(rows: int) -> pa.Array:
    return pa.nulls(rows, pa.list_(pa.string()))


def _field(column: pa.StructArray, name: str) -> pa.Array:
    """A field of a struct; null where the struct is."""
    found = column.field(name)
    return pc.struct_field(column, [name]) if column.null_count else found


def _of_each(consent: pa.ListArray, name: str) -> pa.Array:
    """One field of every element of a list of structs, as a list."""
    offsets, values = lists(consent)
    mask = consent.is_null() if consent.null_count else None
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), _field(values, name), mask=mask)


def _codes(values: pa.Array) -> Ints:
    """A number per value, the same for equal ones, and -1 for null."""
    if pa.types.is_timestamp(values.type):
        return instants(values, EARLIEST)
    if pa.types.is_boolean(values.type):
        return np.asarray(values.cast(pa.int8()).fill_null(-1))
    indices = values.indices if pa.types.is_dictionary(values.type) else pc.dictionary_encode(values).indices
    return np.asarray(indices.fill_null(-1) if indices.null_count else indices)


def _changes(column: pa.Array) -> Flags:
    """Per row but the first: it differs from the one before. Lists differ in length, or in a value."""
    if not pa.types.is_list(column.type):
        codes = _codes(column)
        return np.asarray(codes[1:] != codes[:-1])
    offsets, values = lists(column)
    counts = np.diff(offsets)
    changed: Flags = counts[1:] != counts[:-1]
    if column.null_count:
        is_null = flags(column.is_null())
        changed |= is_null[1:] != is_null[:-1]
    if not len(values):
        return changed
    codes = _codes(values)
    if counts.min() == counts.max() == 1:
        return np.asarray(changed | (codes[1:] != codes[:-1]))
    # Where the row before is as long, its values lie just that far back.
    back = np.repeat(counts, counts)
    place = np.arange(len(codes))
    differs = np.flatnonzero(codes != codes[np.maximum(place - back, 0)])
    row = np.searchsorted(offsets, differs, side="right") - 1
    changed[row[row > 0] - 1] = True
    return changed


def _taken(column: pa.Array, starts: Ints, rows: pa.Array) -> pa.Array:
    """The column at these rows, as plain text."""
    if not pa.types.is_list(column.type):
        return _as_text(column.take(rows))
    offsets, values = lists(column)
    counts = np.diff(offsets)[starts]
    _, place = spread(offsets[starts], offsets[starts] + counts)
    mask = column.is_null().take(rows) if column.null_count else None
    taken = _as_text(values.take(pa.array(place)))
    return pa.ListArray.from_arrays(pa.array(offsets_of(counts).astype(np.int32)), taken, mask=mask)


def _as_text(values: pa.Array) -> pa.Array:
    return values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values


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
