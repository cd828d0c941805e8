"""A release's audit rows, made from its index: per person, grant and rule a count, seconds, and a Merkle root.

The root is over the keys of those utterances, sorted by their bytes: whoever has an utterance and its proof can show
years later that it was in the release, on which permission, also when the index is gone. As long as that is there,
roots follow from it, and its digests are in the release's record; so they are written when it goes. At ten million
utterances they cost as much as making the release.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from lake import merkle
from lake.audit import put_rows
from lake.lake import Lake
from lake.parquet_sql import files, open_duckdb, reading
from schemas.records import StoredObject
from schemas.releases import ReleaseRecord

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_MEMORY = "2GB"
_AT_ONCE = 65_536
_EVERY = """
create view every as
select why.subject_id as subject_id, why.grant_id as grant_id, why.rule::integer as rule, key, duration_s, allowed_until
from (select unnest(justifications) as why, key, duration_s, allowed_until from {files})
"""
_ROWS = """
select subject_id, grant_id, rule, count(*)::bigint as utterances,
       sum(round(coalesce(duration_s, 0) * 1e6)::bigint)::double / 1e6 as audio_s, min(allowed_until) as allowed_until
from every group by all order by subject_id, grant_id, rule
"""
_KEYS = "select key from every order by subject_id, grant_id, rule, key"
_SOME = "select key from every where subject_id = ? and grant_id = ? and rule = ? order by key"


def audit_rows(
    lake: Lake, name: str, version: int, index: Sequence[StoredObject], *, with_roots: bool = True
) -> pa.Table:  # fmt: skip
    """Rows of AUDIT_SCHEMA by person, grant and rule, of a release with this index. Hashing every key takes most of the
    time; without it, roots are null."""
    import pyarrow as pa

    from schemas.audit import AUDIT_SCHEMA

    if not index:
        return AUDIT_SCHEMA.empty_table()
    with reading(), open_duckdb(lake.root, _MEMORY) as connection:
        _view(connection, lake, index)
        rows = connection.sql(_ROWS).to_arrow_table()
        roots: list[str | None] = [None] * rows.num_rows
        if with_roots:
            # Two questions, so that keys need not be in memory but for one person at a time.
            keys = _keys(connection.sql(_KEYS).to_arrow_reader(_AT_ONCE))
            roots = [merkle.root(islice(keys, count)).hex() for count in rows["utterances"].to_pylist()]
    columns = {
        **{column: rows[column] for column in rows.column_names},
        "release": pa.array([name] * rows.num_rows, pa.string()),
        "version": pa.array([version] * rows.num_rows, pa.int32()),
        "root": pa.array(roots, pa.string()),
    }
    # Column by column: what DuckDB hands out may be null, and of these nothing is.
    return pa.Table.from_arrays([columns[field.name].cast(field.type) for field in AUDIT_SCHEMA], schema=AUDIT_SCHEMA)


def keys_of_row(lake: Lake, record: ReleaseRecord, subject_id: str, grant_id: str, rule: int) -> list[bytes]:
    """The sorted keys behind one audit row; nothing where the release's index is gone."""
    if not record.index:
        return []
    with reading(), open_duckdb(lake.root, _MEMORY) as connection:
        _view(connection, lake, record.index)
        found = connection.execute(_SOME, [subject_id, grant_id, rule]).fetchall()
    return [key.encode() for (key,) in found]


def write_audit_rows(lake: Lake, name: str, version: int, index: Sequence[StoredObject]) -> StoredObject:
    """Makes and stores the rows of a release that is being made, without roots."""
    return put_rows(lake, name, version, audit_rows(lake, name, version, index, with_roots=False))


def kept_audit_rows(lake: Lake, record: ReleaseRecord) -> StoredObject | None:
    """For a release whose index is about to go: its rows, with the roots that follow from it. None where it is gone."""
    if not record.index:
        return None
    return put_rows(lake, record.name, record.version, audit_rows(lake, record.name, record.version, record.index))


def _view(connection: duckdb.DuckDBPyConnection, lake: Lake, index: Sequence[StoredObject]) -> None:
    connection.execute(_EVERY.format(files=files([lake.root.uri_of(stored.path) for stored in index])))


def _keys(batches: pa.RecordBatchReader) -> Iterator[bytes]:
    for batch in batches:
        yield from (key.encode() for key in batch.column(0).to_pylist())
