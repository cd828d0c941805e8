"""The catalogue: who speaks in which source. Kept on disk and looked up by path, so that ten million rows fit.

An exact path beats the longest prefix, and rows never merge: what a source is given is one row, whole.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from pipelines.catalogue_cells import Cells
from pipelines.catalogue_columns import PlainRows, SharedCells, plain_rows
from pipelines.catalogue_entries import Entries, Entry, Groups
from pipelines.catalogue_formats import Values, place
from pipelines.catalogue_places import EXACT, PREFIX, Places
from pipelines.catalogue_rows import OF_ONE_SOURCE, PLACES, read_row
from pipelines.csv_columns import Columns, Rows, in_pieces, read_columns
from pipelines.manifests import manifest_reader
from pipelines.sources import canonical_uri
from pipelines.transcripts import read_rttm
from schemas.catalogue import CatalogueRow
from schemas.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

_EXAMPLES = 5
_REMEMBERED = 65_536


class Catalogue:
    """Rows by place, in files without a name that vanish with the object; not for sharing between threads."""

    def __init__(self, uri: str, pieces: Iterable[Columns | Rows]) -> None:
        import pyarrow as pa

        self.uri = uri
        self._memory: dict[tuple[tuple[str, type, object], ...], int] = {}
        self._said, self._places = Entries(), Places()
        shared = SharedCells(lambda number, values: self._number_of(Cells(uri, number, values)))
        found: list[np.ndarray] = []
        for piece in pieces:
            found += self._added(piece, shared)
        self._said.end()
        self._memory.clear()
        if twice := self._places.end():
            said = f"{twice.key or '*'!r} is named twice, and in {place(uri, twice.first)} before"
            raise ConfigError(f"{place(uri, twice.second)}: {said}")
        self.rows = self._places.rows
        # A last one for sources without a row, whose number is -1.
        self._entry = np.concatenate([*found, np.full(1, -1)]).astype(np.int32)
        self._used = np.zeros(self.rows + 1, bool)
        # What reading took is given back before planning takes as much.
        pa.default_memory_pool().release_unused()

    def _added(self, piece: Columns | Rows, shared: SharedCells) -> list[np.ndarray]:
        """Takes a piece in; returns the number of the entry of each of its rows."""
        plain = plain_rows(piece) if isinstance(piece, Columns) else None
        if plain is not None and (entries := _said_by(plain, shared)) is not None:
            self._places.add(EXACT, plain.keys, plain.roots, plain.numbers)
            return [entries]
        return self._added_by_rows(piece.rows())

    def _added_by_rows(self, rows: Iterable[tuple[int, Values]]) -> list[np.ndarray]:
        import pyarrow as pa

        read = []
        for number, values in rows:
            cells = Cells(self.uri, number, values)
            read.append((*_place(cells), number, self._number_of(cells)))
        for kind, run in groupby(read, key=lambda row: row[0]):
            _, keys, roots, numbers, _ = zip(*run, strict=True)
            self._places.add(kind, pa.array(keys, pa.string()), pa.array(roots, pa.string()), np.array(numbers))
        return [np.array([row[-1] for row in read], np.int32)]

    def _number_of(self, cells: Cells) -> int:
        """The number of what the row says. Most rows say what another said, of another place: that is read once."""
        # With its type, for 1 == True.
        said = tuple((column, type(value), value) for column, value in cells.values.items() if column not in PLACES)
        try:
            known = self._memory.get(said)
        except TypeError:  # lists and objects
            return self._said.add(_entry_of(read_row(cells)))
        if known is None:
            known = self._said.add(_entry_of(read_row(cells)))
            if not any(column in OF_ONE_SOURCE for column, *_ in said):
                if len(self._memory) >= _REMEMBERED:
                    self._memory.clear()
                self._memory[said] = known
        return known

    def entries_of(self, root: str, paths: pa.Array, root_uri: str = "") -> np.ndarray:
        """The number of the one entry that speaks of each source, -1 for none; `root_uri` lets rows that name whole
        URIs count.

        Raises ConfigError where two rows name the place with equal right: for every root and for this one, or as path
        and as URI.
        """
        row, rivals, at = self._places.rows_of(root, paths, root_uri)
        if rivals:
            path = paths[at].as_py()
            one, other = rivals[:2]
            raise ConfigError(f"{place(self.uri, other)}: speaks of {path!r} in root {root}, as line {one} does")
        self._used[row] = True
        entries: np.ndarray = self._entry[row]
        return entries

    def groups(self, buckets: int) -> Groups:
        """Ranks of the people of each entry; see `Entries.groups`."""
        return self._said.groups(buckets)

    def row_bytes(self, entries: np.ndarray) -> np.ndarray:
        """Bytes that each entry takes in a plan."""
        return self._said.row_bytes(entries)

    def row_marks(self, entries: np.ndarray) -> np.ndarray:
        """`plan_done.row_marks` of each entry's digest."""
        return self._said.row_marks(entries)

    def dealt(self, wanted: Sequence[np.ndarray]) -> Iterator[pa.Table]:
        """For each of `wanted` (sorted numbers) a table of these entries; see `Entries.dealt`."""
        return self._said.dealt(wanted)

    def entry_for(self, root: str, path: str, root_uri: str = "") -> Entry | None:
        """The one entry that speaks of this source, or None. Raises ConfigError as `entries_of` does."""
        import pyarrow as pa

        (number,) = self.entries_of(root, pa.array([path], pa.string()), root_uri)
        return self._said.get(int(number)) if number >= 0 else None

    def row_for(self, root: str, path: str, root_uri: str = "") -> CatalogueRow | None:
        """What the catalogue says of one source, or None."""
        entry = self.entry_for(root, path, root_uri)
        return entry.row if entry else None

    @property
    def unmatched(self) -> int:
        """Rows that no source asked for so far."""
        return self.rows - int(np.count_nonzero(self._used[:-1]))

    def unmatched_examples(self) -> tuple[str, ...]:
        """Places of a few of them, each with what it names."""
        rows = [int(row) for row in np.flatnonzero(~self._used[:-1])[:_EXAMPLES]]
        named = zip(rows, self._places.named(rows), strict=True)
        return tuple(
            f"{place(self.uri, int(self._places.numbers[row]))}: {key}{'*' if is_prefix else ''}"
            for row, (key, is_prefix) in named
        )


def load_catalogue(uri: str) -> Catalogue:
    """The catalogue at `uri`: a table (.csv, .tsv, .jsonl, .parquet) or a Lhotse or NeMo manifest (.jsonl, .json).

    Raises ConfigError, naming file, line and column, at the first thing that is wrong with it.
    """
    read_rttm.cache_clear()  # a steward may have edited one since it was read
    if reader := manifest_reader(uri):
        # Its paths are relative to its folder, wherever the command was given.
        whole = canonical_uri(uri)
        return Catalogue(whole, in_pieces(reader(whole)))
    return Catalogue(uri, read_columns(uri))


def _said_by(rows: PlainRows, shared: SharedCells) -> np.ndarray | None:
    try:
        return shared.entries(rows)
    except ConfigError:
        return None  # read one by one, they say first what is wrong first


def _entry_of(row: CatalogueRow) -> Entry:
    json = row.to_json()
    people = "\n".join(sorted(subject.subject_id for subject in row.subjects))
    return Entry(json, hashlib.sha256(json.encode()).hexdigest(), people)


def _place(cells: Cells) -> tuple[str, str, str]:
    """Kind, key and root name of the place that a row speaks of."""
    path, prefix = cells.text("path"), cells.text("prefix")
    if path is not None and prefix is None:
        kind, key = EXACT, _spelt(cells, path, "path")
    elif prefix is not None and path is None:
        kind, key = PREFIX, _spelt(cells, _beginning(prefix), "prefix")
    else:
        raise cells.fault(None, "a row has a `path` or a `prefix`, and not both; the prefix `*` is everything")
    root = cells.word("root") or ""
    if root and _is_uri(key):
        raise cells.fault("root", "a place that is a whole URI has no root beside it")
    return kind, key, root


def _beginning(prefix: str) -> str:
    """What a path must begin with. A folder ends with `/`: the folder `anna` must not take in `annabel`."""
    if prefix.endswith("*"):
        return prefix[:-1]
    return prefix if prefix.endswith("/") else f"{prefix}/"


def _spelt(cells: Cells, text: str, column: str) -> str:
    """One spelling per place, as listings have it: NFC, no `./`, whole URIs as roots are spelt."""
    if text in (".", "./", "/"):
        raise cells.fault(column, f"{text!r} names no source; the prefix `*` is everything")
    if _is_uri(text):
        # The slash that ends a folder is put back.
        return unicodedata.normalize("NFC", canonical_uri(text) + ("/" if text.endswith("/") else ""))
    text = text.removeprefix("./")
    if ".." in text.split("/"):
        raise cells.fault(column, f"{text!r} leaves its root")
    return unicodedata.normalize("NFC", text)


def _is_uri(text: str) -> bool:
    return "://" in text or text.startswith("/")
