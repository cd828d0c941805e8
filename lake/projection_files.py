"""Parquet files of a projection: written in their order, read in part, and vouched for as far as they are read.

The head knows the digest of each file's footer, the footer the place of every page, and each page carries a checksum.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lake import layout
from lake.storage import Root
from schemas.consent import TERMS
from schemas.consent_tables import EVENTS_SCHEMA
from schemas.errors import ConsentError, LakeError
from schemas.model import Frozen

Key = tuple[int | str, ...]
"""What rows of an order are sorted by, but for the position."""

NAMES_SCHEMA = pa.schema([("high", pa.uint64()), ("low", pa.uint64())])
SEGMENTS_SCHEMA = pa.schema(
    [
        ("first_position", pa.int64()),
        ("events", pa.int64()),
        ("previous_sha256", pa.string()),
        ("events_sha256", pa.string()),
        ("sha256", pa.string()),
        ("size_bytes", pa.int64()),
    ]
)
SCHEMAS = {"position": EVENTS_SCHEMA, "subject": EVENTS_SCHEMA, "name": NAMES_SCHEMA, "segment": SEGMENTS_SCHEMA}
"""The orders: two of the events, one of names that are taken, one of the segments of the log."""

_GROUP_ROWS = {"position": 32_768, "subject": 2048, "name": 65_536, "segment": 65_536}
"""Of subjects few: whoever asks for one reads them all."""
_FILE_ROWS = {"position": 1 << 20, "subject": 1 << 20, "name": 1 << 23, "segment": 1 << 20}
_FEW_VALUES = ["type", "grant.jurisdiction", "grant.scope", "grant.rules.list.element.effect",
               *(f"grant.rules.list.element.{name}.list.element" for name in ("action", *TERMS))]  # fmt: skip
_INDEX = b"provoice.first_keys"
_TAIL = 8  # length of the footer, and the magic word


class ProjectedFile(Frozen):
    """One file of a run: events `first` to `last`, in one order."""

    order: str
    path: str
    first: int
    last: int
    rows: int
    size_bytes: int
    sha256: str
    footer_sha256: str
    lowest: tuple[int | str, ...]
    highest: tuple[int | str, ...]


def key_of(order: str, row: dict[str, Any]) -> Key:
    """What `row` is sorted by. In the order of subjects: vocabularies, then sources whose row changed, then people."""
    if order == "name":
        return (row["high"], row["low"])
    if order != "subject":
        return ()
    if row["type"] == "vocabulary":
        return (0, "", "")
    if is_about_source(row):
        return (1, row["source_root"], row["source_path"])
    return (2, row["subject_id"] or "", "")


def is_about_source(row: dict[str, Any]) -> bool:
    """Whether the event says which catalogue row a source has; it then says nothing about a person's grants."""
    return row["source_root"] is not None and row["source_path"] is not None and row["type"] not in SAYS_OTHERWISE


SAYS_OTHERWISE = ("given", "withdrawn", "refused", "invalidated", "vocabulary")
"""Types whose source, if they name one, changes nothing."""

_KEYS = {"position": [], "subject": ["type", "source_root", "source_path", "subject_id"], "name": ["high", "low"],
         "segment": []}  # fmt: skip


class _Writer:
    """One local file, row group by row group; the first key of each goes into its footer."""

    def __init__(self, order: str, path: Path) -> None:
        self.order, self.path = order, path
        self.rows = 0
        self.keys: list[Key] = []
        self.highest: Key = ()
        self._file = pq.ParquetWriter(
            path,
            SCHEMAS[order],
            compression="zstd",
            compression_level=1,
            use_dictionary=_FEW_VALUES if order in ("position", "subject") else False,
            write_statistics=False,
            write_page_checksum=True,
        )

    def write(self, group: pa.Table) -> None:
        self._file.write_table(group, row_group_size=len(group))
        edge = group.select(_KEYS[self.order]).take([0, len(group) - 1]).to_pylist() if _KEYS[self.order] else [{}, {}]
        self.keys.append(key_of(self.order, edge[0]))
        self.highest = key_of(self.order, edge[1])
        self.rows += len(group)

    def finish(self) -> None:
        self._file.add_key_value_metadata({_INDEX: json.dumps(self.keys, separators=(",", ":")).encode()})
        self._file.close()


def write_run(
    root: Root, order: str, rows: Iterable[pa.RecordBatch], first: int, last: int, work: Path
) -> list[ProjectedFile]:
    """Stores `rows`, which come in order, as files of a run; what is stored depends on the rows alone."""
    made: list[ProjectedFile] = []
    writer: _Writer | None = None
    for group in _groups(rows, SCHEMAS[order], _GROUP_ROWS[order]):
        if writer is None:
            writer = _Writer(order, work / f"{order}-{len(made)}.parquet")
        writer.write(group)
        if writer.rows >= _FILE_ROWS[order]:
            made.append(_stored(root, writer, first, last))
            writer = None
    if writer is not None:
        made.append(_stored(root, writer, first, last))
    return made


def _groups(batches: Iterable[pa.RecordBatch], schema: pa.Schema, rows: int) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        while count + len(batch) >= rows:
            cut = rows - count
            yield pa.Table.from_batches([*held, batch.slice(0, cut)], schema).combine_chunks()
            batch, held, count = batch.slice(cut), [], 0
        if len(batch):
            held.append(batch)
            count += len(batch)
    if held:
        yield pa.Table.from_batches(held, schema).combine_chunks()


def _stored(root: Root, writer: _Writer, first: int, last: int) -> ProjectedFile:
    writer.finish()
    path = writer.path
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.seek(0, 2)
        footer = _footer_bytes(file, size)
    where = layout.projection_file_path(writer.order, first, last, sha256)
    root.put(where, path, sha256)
    path.unlink(missing_ok=True)
    return ProjectedFile(
        order=writer.order, path=where, first=first, last=last, rows=writer.rows, size_bytes=size, sha256=sha256,
        footer_sha256=hashlib.sha256(footer).hexdigest(), lowest=writer.keys[0], highest=writer.highest,
    )  # fmt: skip


def _footer_bytes(file: Any, size: int) -> bytes:
    file.seek(max(0, size - _TAIL))
    tail = file.read(_TAIL)
    length = int.from_bytes(tail[:4], "little") + _TAIL
    if len(tail) < _TAIL or length > size:
        raise ValueError("it is no Parquet file")
    file.seek(size - length)
    footer: bytes = file.read(length)
    return footer


def read_groups(
    root: Root,
    files: Sequence[ProjectedFile],
    columns: Sequence[str] | None = None,
    may_hold: Callable[[Key, Key], bool] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Row groups of files in one order, one after the other; with `may_hold`, those of whose lowest and highest key it
    says so. Raises ConsentError where a file is missing, or is not what was stored."""
    for listed in files:
        if may_hold is not None and not may_hold(listed.lowest, listed.highest):
            continue
        try:
            with root.open(listed.path) as file:
                yield from _groups_of(file, listed, columns, may_hold)
        except (LakeError, pa.ArrowException, OSError, ValueError) as error:
            said = " ".join(str(error).split())
            raise ConsentError(
                f"the projection of the consent ledger {root.uri} is broken at {listed.path}: {said}; {REMEDY}"
            ) from None


REMEDY = "delete the folder `projection` beside its `log`, and it is made anew"


def _groups_of(
    file: Any, listed: ProjectedFile, columns: Sequence[str] | None, may_hold: Callable[[Key, Key], bool] | None
) -> Iterator[pa.RecordBatch]:
    size = file.seek(0, 2)
    if size != listed.size_bytes or hashlib.sha256(_footer_bytes(file, size)).hexdigest() != listed.footer_sha256:
        raise ValueError("its bytes are not those that were stored")
    file.seek(0)
    parquet = pq.ParquetFile(file, page_checksum_verification=True, pre_buffer=True)
    firsts = [tuple(key) for key in json.loads(parquet.metadata.metadata[_INDEX])]
    # A key may begin in one group and go on in the next: each reaches to the first of the next, which is included.
    for number, (low, high) in enumerate(zip(firsts, [*firsts[1:], listed.highest], strict=True)):
        if may_hold is None or may_hold(low, high):
            table = parquet.read_row_group(number, columns=None if columns is None else list(columns))
            schema = pa.schema([SCHEMAS[listed.order].field(name) for name in table.column_names])
            yield from table.cast(schema).combine_chunks().to_batches()


def any_of(wanted: Sequence[Key]) -> Callable[[Key, Key], bool]:
    """Whether one of these keys, which are sorted, may lie between two others, both included."""

    def may_hold(low: Key, high: Key) -> bool:
        at = bisect_right(wanted, high)
        return at > 0 and wanted[at - 1] >= low

    return may_hold


def work_folder() -> tempfile.TemporaryDirectory[str]:
    """A place on this machine for what is being built; gone afterwards."""
    return tempfile.TemporaryDirectory(prefix="provoice-projection-")
