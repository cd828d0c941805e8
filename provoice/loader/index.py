"""Rows of a release's index by their number, reading no more columns and row groups than are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lake.lake import Lake
from lake.releases import check_not_replaced, read_release
from lake.storage import Missing
from provoice.loader.share import Share
from schemas.errors import LakeError
from schemas.quick_arrow import never_import_pandas_for_a_question
from schemas.records import StoredObject
from schemas.releases import ReleaseRecord

if TYPE_CHECKING:
    import pyarrow as pa

REPEATED = ("run_id", "unit_id", "shard", "source_id")
"""Columns whose values come again and again: they stay codes into a dictionary while they are read."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A file of the index, and the numbers of its rows."""

    stored: StoredObject
    rows: Share


class Index:
    """The index of one release."""

    def __init__(self, lake: Lake, release: ReleaseRecord) -> None:
        self._lake = lake
        self._release = release
        self._parts: list[_Part] = []
        first = 0
        for stored in release.index:
            if stored.rows is None:
                raise LakeError(f"{lake.root.uri_of(stored.path)}: its release does not say how many rows it has")
            self._parts.append(_Part(stored, Share(first, first + stored.rows)))
            first += stored.rows
        self.rows = first

    def check(self, share: Share) -> None:
        """Raises LakeError where a file with rows of `share` is not, to the byte, the one that the release names."""
        for part in self._overlapping(share):
            path = part.stored.path
            if self._lake.root.size(path) != part.stored.size_bytes or self._digest(path) != part.stored.sha256:
                self._check_not_replaced()
                raise LakeError(f"{self._lake.root.uri_of(path)} is not the index that {self._named} was made with")

    def read(self, share: Share, columns: Sequence[str], *, encoded: bool = True) -> pa.Table:
        """`columns` of the rows of `share`, in order, in one chunk; what repeats is dictionary-encoded, unless told."""
        import pyarrow as pa

        never_import_pandas_for_a_question()
        tables = [table for part in self._overlapping(share) for table in self._read(part, share, columns, encoded)]
        if not tables:
            from schemas.consent_tables import RELEASE_INDEX_SCHEMA

            return pa.schema([RELEASE_INDEX_SCHEMA.field(name) for name in columns]).empty_table()
        return pa.concat_tables(tables).unify_dictionaries().combine_chunks()

    @property
    def _named(self) -> str:
        return f"release {self._release.name} {self._release.version}"

    def _overlapping(self, share: Share) -> Iterator[_Part]:
        for part in self._parts:
            if part.rows.first < share.last and share.first < part.rows.last:
                yield part

    def _check_not_replaced(self) -> None:
        """An erasure removes the index; the record says so from then on."""
        check_not_replaced(read_release(self._lake, self._release.name, self._release.version))

    def _digest(self, path: str) -> str:
        try:
            return self._lake.root.sha256(path)
        except Missing:
            return ""

    def _read(self, part: _Part, share: Share, columns: Sequence[str], encoded: bool) -> Iterator[pa.Table]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self._lake.root.exists(part.stored.path):
            self._check_not_replaced()
        with self._lake.root.open(part.stored.path) as file:
            try:
                opened = pq.ParquetFile(file, pre_buffer=True, read_dictionary=list(REPEATED) if encoded else [])
                first = part.rows.first
                groups: list[int] = []
                group_first = group_last = first
                for number in range(opened.num_row_groups):
                    last = first + opened.metadata.row_group(number).num_rows
                    if first < share.last and share.first < last:
                        group_first = group_first if groups else first
                        group_last = last
                        groups.append(number)
                    first = last
                table = opened.read_row_groups(groups, columns=list(columns), use_threads=False)
            except (OSError, pa.ArrowException) as error:
                where, said = self._lake.root.uri_of(part.stored.path), " ".join(str(error).split())
                raise LakeError(f"{where} cannot be read as Parquet: {said}") from error
        begin, end = max(share.first, group_first), min(share.last, group_last)
        yield table.select(list(columns)).slice(begin - group_first, end - begin)
