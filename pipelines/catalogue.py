"""The catalogue: who speaks in which source. Kept on disk and looked up by path, so that ten million rows fit.

An exact path beats the longest prefix, and rows never merge: what a source is given is one row, whole.
"""

from __future__ import annotations

import hashlib
import sqlite3
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipelines.catalogue_cells import Cells
from pipelines.catalogue_formats import Values, place, read_rows
from pipelines.catalogue_rows import OF_ONE_SOURCE, PLACES, read_row
from pipelines.manifests import manifest_reader
from pipelines.sources import canonical_uri
from pipelines.transcripts import read_rttm
from schemas.catalogue import CatalogueRow
from schemas.errors import ConfigError

_EXACT, _PREFIX = 0, 1
_CACHE_KIB = 65_536
_EXAMPLES = 5
_REMEMBERED = 65_536


@dataclass(frozen=True, slots=True)
class Entry:
    """A row as it travels: canonical JSON, its digest, and the people in it (sorted ids, one per line)."""

    json: str
    sha256: str
    people: str

    @property
    def row(self) -> CatalogueRow:
        return CatalogueRow.model_validate_json(self.json)


class Catalogue:
    """Rows by place. A private database on disk that vanishes with the object; not for sharing between threads."""

    def __init__(self, uri: str, rows: Iterable[tuple[int, Values]]) -> None:
        self.uri = uri
        self._memory: dict[tuple[tuple[str, type, object], ...], Entry] = {}
        self._lengths: set[int] = set()
        self._has_uris = False
        # An empty name is SQLite's temporary file: it is gone when the connection is, and memory holds only the cache.
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute(
            "CREATE TABLE entries "
            "(number INTEGER, kind INTEGER, key TEXT, root TEXT, json TEXT, sha256 TEXT, people TEXT)"
        )
        self._database.execute("BEGIN")
        self._database.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)", self._inserted(rows))
        self._database.execute("COMMIT")
        self._index()
        self.rows: int = self._database.execute("SELECT count(*) FROM entries").fetchone()[0]
        self._used = bytearray(self.rows + 1)

    def _inserted(self, rows: Iterable[tuple[int, Values]]) -> Iterator[tuple[int | str, ...]]:
        for number, values in rows:
            cells = Cells(self.uri, number, values)
            kind, key, root = _place(cells)
            entry = self._entry(cells)
            if kind == _PREFIX:
                self._lengths.add(len(key))
            self._has_uris |= _is_uri(key)
            yield number, kind, key, root, entry.json, entry.sha256, entry.people
        self._memory.clear()

    def _entry(self, cells: Cells) -> Entry:
        """What the row says. Most rows say what another said, of another place: that is read once."""
        # With its type, for 1 == True.
        said = tuple((column, type(value), value) for column, value in cells.values.items() if column not in PLACES)
        try:
            known = self._memory.get(said)
        except TypeError:  # lists and objects
            return _entry_of(read_row(cells))
        if known is None:
            known = _entry_of(read_row(cells))
            if not any(column in OF_ONE_SOURCE for column, *_ in said):
                if len(self._memory) >= _REMEMBERED:
                    self._memory.clear()
                self._memory[said] = known
        return known

    def _index(self) -> None:
        try:
            self._database.execute("CREATE UNIQUE INDEX places ON entries (key, kind, root)")
        except sqlite3.IntegrityError:
            one, other, key = self._database.execute(
                "SELECT min(number), max(number), key FROM entries GROUP BY key, kind, root HAVING count(*) > 1 "
                "ORDER BY max(number) LIMIT 1"
            ).fetchone()
            said = f"{key or '*'!r} is named twice, and in {place(self.uri, one)} before"
            raise ConfigError(f"{place(self.uri, other)}: {said}") from None

    def close(self) -> None:
        """Gives the disk space back."""
        self._database.close()

    def entry_for(self, root: str, path: str, root_uri: str = "") -> Entry | None:
        """The one row that speaks of this source, or None; `root_uri` lets rows that name whole URIs count.

        Raises ConfigError where two rows name the place with equal right: for every root and for this one, or as path
        and as URI.
        """
        name = unicodedata.normalize("NFC", path)
        uri = unicodedata.normalize("NFC", f"{root_uri.rstrip('/')}/{path}") if self._has_uris and root_uri else ""
        found = self._found(_EXACT, [name, uri] if uri else [name], root)
        if not found and self._lengths:
            starts = [text[:length] for text in (name, uri) for length in self._lengths if 0 < length <= len(text)]
            found = self._found(_PREFIX, [*starts, ""], root)
            # How much of the path a prefix fixes; in one that is a URI, the root's part of it does not count.
            fixed = [len(row[2]) - (len(uri) - len(name) if _is_uri(row[2]) else 0) for row in found]
            found = [row for row, length in zip(found, fixed, strict=True) if length == max(fixed)]
        if len(found) > 1:
            one, other = sorted(row[1] for row in found)[:2]
            raise ConfigError(f"{place(self.uri, other)}: speaks of {path!r} in root {root}, as line {one} does")
        if not found:
            return None
        self._used[found[0][0]] = 1
        return Entry(*found[0][3:])

    def _found(self, kind: int, keys: list[str], root: str) -> list[tuple[int, int, str, str, str, str]]:
        return self._database.execute(
            "SELECT rowid, number, key, json, sha256, people FROM entries "
            f"WHERE kind = ? AND root IN ('', ?) AND key IN ({', '.join('?' * len(keys))})",
            (kind, root, *keys),
        ).fetchall()

    def row_for(self, root: str, path: str, root_uri: str = "") -> CatalogueRow | None:
        """What the catalogue says of one source, or None."""
        entry = self.entry_for(root, path, root_uri)
        return entry.row if entry else None

    @property
    def unmatched(self) -> int:
        """Rows that no source asked for so far."""
        return self.rows - self._used.count(1)

    def unmatched_examples(self) -> tuple[str, ...]:
        """Places of a few of them, each with what it names."""
        examples: list[str] = []
        rowid = self._used.find(0, 1)
        while rowid != -1 and len(examples) < _EXAMPLES:
            number, kind, key = self._database.execute(
                "SELECT number, kind, key FROM entries WHERE rowid = ?", (rowid,)
            ).fetchone()
            examples.append(f"{place(self.uri, number)}: {key}{'*' if kind == _PREFIX else ''}")
            rowid = self._used.find(0, rowid + 1)
        return tuple(examples)


def load_catalogue(uri: str) -> Catalogue:
    """The catalogue at `uri`: a table (.csv, .tsv, .jsonl, .parquet) or a Lhotse or NeMo manifest (.jsonl, .json).

    Raises ConfigError, naming file, line and column, at the first thing that is wrong with it.
    """
    read_rttm.cache_clear()  # a steward may have edited one since it was read
    if reader := manifest_reader(uri):
        # Its paths are relative to its folder, wherever the command was given.
        whole = canonical_uri(uri)
        return Catalogue(whole, reader(whole))
    return Catalogue(uri, read_rows(uri))


def _entry_of(row: CatalogueRow) -> Entry:
    json = row.to_json()
    people = "\n".join(sorted(subject.subject_id for subject in row.subjects))
    return Entry(json, hashlib.sha256(json.encode()).hexdigest(), people)


def _place(cells: Cells) -> tuple[int, str, str]:
    """Kind, key and root name of the place that a row speaks of."""
    path, prefix = cells.text("path"), cells.text("prefix")
    if path is not None and prefix is None:
        kind, key = _EXACT, _spelt(cells, path, "path")
    elif prefix is not None and path is None:
        kind, key = _PREFIX, _spelt(cells, _beginning(prefix), "prefix")
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
