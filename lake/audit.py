"""Audit rows as stored: one Parquet object per release in `<ledger>/audit/`, named by its content, never changed.

A release's record names the object with its digest. So whoever trusts the record, and the ledger's events about uses
name it by digest, trusts the rows; and they stay when the index is removed.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lake import layout
from lake.lake import Lake
from lake.parts import read_part, write_table
from lake.storage import Missing
from schemas.errors import LakeError
from schemas.records import StoredObject
from schemas.releases import ReleaseRecord

if TYPE_CHECKING:
    import pyarrow as pa

KIND = "audit_rows"
_ROW_GROUP_ROWS = 65_536


def stored_rows(record: ReleaseRecord) -> StoredObject | None:
    """Where a release's rows lie, within the ledger's root; None for one that was made before there were any. What was
    written when its index went has roots, and comes first."""
    if record.replaced is not None and record.replaced.audit is not None:
        return record.replaced.audit
    return record.audit


def put_rows(lake: Lake, name: str, version: int, rows: pa.Table) -> StoredObject:
    """Stores the rows (AUDIT_SCHEMA) of a release; the same rows are the same object."""
    with tempfile.TemporaryDirectory(prefix="provoice-audit-") as folder:
        path = Path(folder) / "rows.parquet"
        size, sha256 = write_table(path, rows.combine_chunks(), _ROW_GROUP_ROWS)
        place = layout.audit_rows_path(name, version, sha256)
        lake.ledger().root.put(place, path, sha256)
    return StoredObject(kind=KIND, path=place, size_bytes=size, sha256=sha256, rows=rows.num_rows)


def read_rows(lake: Lake, stored: StoredObject) -> pa.Table:
    """Rows of AUDIT_SCHEMA. Raises LakeError where they are gone, or not to the byte what the release names."""
    from schemas.audit import AUDIT_SCHEMA

    root = lake.ledger().root
    try:
        whole = hashlib.sha256(root.read(stored.path)).hexdigest() == stored.sha256
    except Missing:
        raise LakeError(f"{root.uri_of(stored.path)} is gone: the audit rows of a release lay there") from None
    if not whole:
        raise LakeError(f"{root.uri_of(stored.path)} is not what was once written: its digest is another")
    return read_part(root, stored.path, AUDIT_SCHEMA.names).cast(AUDIT_SCHEMA)
