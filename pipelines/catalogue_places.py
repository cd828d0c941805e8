"""Which catalogue row speaks of which source: exact places by a 128-bit digest, prefixes by their lengths."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipelines.catalogue_entries import Spool
from pipelines.glob_columns import truths
from pipelines.plan_done import as_keys, find
from pipelines.plan_ids import digests

if TYPE_CHECKING:
    import pyarrow as pa

EXACT, PREFIX = "path", "prefix"
_NONE = -(2**62)


@dataclass(frozen=True, slots=True)
class Twice:
    """Two rows that name one place, in the numbers of their lines, and what they name."""

    first: int
    second: int
    key: str


class Places:
    """Rows by what they name. Ten million take 300 MB; a prefix takes some 200 bytes more."""

    def __init__(self) -> None:
        self._spool = Spool()
        self._halves: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        self._numbers: list[np.ndarray] = []
        self._prefixes: dict[tuple[str, int], list[tuple[bytes, int]]] = defaultdict(list)
        self._exact_roots: set[str] = set()
        self._has_uris = False
        self.rows = 0

    def add(self, kind: str, keys: pa.Array, roots: pa.Array, numbers: np.ndarray) -> None:
        """Adds rows of one kind: what each names, its root's name or "", and the number of its line."""
        import pyarrow as pa
        import pyarrow.compute as pc

        found = as_keys(digests([kind, roots, keys]))
        for halves, column in zip(self._halves, (0, 1), strict=True):
            halves.append(found[:, column].copy())
        self._numbers.append(numbers.astype(np.int32))
        self._spool.write(pa.table({"key": keys, "is_prefix": pa.array(np.full(len(keys), kind == PREFIX))}))
        self._has_uris |= bool(pc.any(is_uri(keys)).as_py())
        if kind == EXACT:
            self._exact_roots.update(pc.unique(roots).to_pylist())
        else:
            for row, (key, root) in enumerate(zip(keys.to_pylist(), roots.to_pylist(), strict=True), self.rows):
                self._prefixes[root, len(key.encode())].append((key.encode(), row))
        self.rows += len(keys)

    def end(self) -> Twice | None:
        """Nothing more will be added. Says which two rows name one place, the ones that are met first."""
        import pyarrow as pa

        self._spool.end()
        self._first, self._second = (np.concatenate([np.zeros(0, np.uint64), *halves]) for halves in self._halves)
        self._halves = ([], [])
        order = np.argsort(self._first, kind="stable")
        self._first, self._second = self._first[order], self._second[order]
        # A last one for what is not found, whose place is -1.
        self._row = np.append(order.astype(np.int32), np.int32(-1))
        del order
        self.numbers = np.concatenate([np.zeros(0, np.int32), *self._numbers])
        self._numbers.clear()
        self._tables = {
            place: (pa.array([key for key, _ in listed], pa.binary()), np.array([row for _, row in listed]))
            for place, listed in self._prefixes.items()
        }
        self._prefixes.clear()
        return self._twice()

    def _twice(self) -> Twice | None:
        rows_of: dict[tuple[int, int], list[int]] = defaultdict(list)
        for n in np.flatnonzero(self._first[1:] == self._first[:-1]):
            for k in (int(n), int(n) + 1):
                if self._row[k] not in (rows := rows_of[int(self._first[k]), int(self._second[k])]):
                    rows.append(self._row[k])
        several = [sorted(int(self.numbers[row]) for row in rows) for rows in rows_of.values() if len(rows) > 1]
        if not several:
            return None
        numbers = min(several, key=lambda found: found[-1])
        row = int(np.flatnonzero(self.numbers == numbers[-1])[0])
        return Twice(numbers[0], numbers[-1], self.named([row])[0][0])

    def named(self, rows: list[int]) -> list[tuple[str, bool]]:
        """What these rows (in order) name, and whether it is a prefix."""
        found: list[tuple[str, bool]] = []
        begin = 0
        for batch in self._spool:
            while len(found) < len(rows) and rows[len(found)] < begin + batch.num_rows:
                at = rows[len(found)] - begin
                found.append((batch.column("key")[at].as_py(), batch.column("is_prefix")[at].as_py()))
            begin += batch.num_rows
        return found

    def rows_of(self, root: str, paths: pa.Array, root_uri: str) -> tuple[np.ndarray, list[int], int]:
        """The row that speaks of each source, -1 for none.

        Where several speak of one with equal right: the numbers of their lines, and the first such source.
        """
        import pyarrow.compute as pc

        texts = [nfc(paths)]
        if self._has_uris and root_uri:
            texts.append(nfc(pc.binary_join_element_wise(root_uri.rstrip("/"), paths, "/")))
        row = np.full(len(paths), -1, np.int64)
        rivals: dict[int, set[int]] = {}
        for found in self._exact(root, texts):
            for at in np.flatnonzero((found >= 0) & (row >= 0)):
                rivals.setdefault(int(at), {int(row[at])}).add(int(found[at]))
            row = np.where(found >= 0, found, row)
        rest = np.flatnonzero(row < 0)
        if self._tables and len(rest):
            row[rest], more = self._longest(root, [text.take(rest) for text in texts])
            rivals |= {int(rest[at]): rows for at, rows in more.items()}
        if not rivals:
            return row, [], -1
        first = min(rivals)
        return row, sorted(int(self.numbers[rival]) for rival in rivals[first]), first

    def _exact(self, root: str, texts: list[pa.Array]) -> list[np.ndarray]:
        asked = [(name, text) for name in dict.fromkeys(["", root]) if name in self._exact_roots for text in texts]
        return [
            self._row[find(self._first, self._second, as_keys(digests([EXACT, name, text])))].astype(np.int64)
            for name, text in asked
        ]

    def _longest(self, root: str, texts: list[pa.Array]) -> tuple[np.ndarray, dict[int, set[int]]]:
        """The row with the longest prefix for each; and where there are several, all of them."""
        import pyarrow.compute as pc

        texts = [text.cast("binary") for text in texts]
        lengths = [pc.binary_length(text).to_numpy() for text in texts]
        # How much of the path a prefix fixes: in one that is a URI, the root's part of it does not count.
        outside = (lengths[1] if len(texts) > 1 else 0) - lengths[0]
        best, row = np.full(len(texts[0]), _NONE), np.full(len(texts[0]), -1, np.int64)
        rivals: dict[int, set[int]] = {}
        for (name, length), (keys, rows) in self._tables.items():
            if name not in ("", root):
                continue
            of_uri = truths(is_uri(keys.cast("string")))
            for text, text_length in zip(texts, lengths, strict=True):
                found = pc.index_in(pc.binary_slice(text, 0, length), value_set=keys)
                at = np.flatnonzero(truths(found.is_valid()) & (text_length >= length))
                which = found.take(at).to_numpy(zero_copy_only=False).astype(np.int64)
                fixed = length - np.where(of_uri[which], outside[at], 0)
                for n in np.flatnonzero((fixed == best[at]) & (rows[which] != row[at])):
                    rivals.setdefault(int(at[n]), {int(row[at[n]])}).add(int(rows[which[n]]))
                longer = fixed > best[at]
                better = at[longer]
                best[better], row[better] = fixed[longer], rows[which[longer]]
                if rivals:
                    rivals = {n: found for n, found in rivals.items() if n not in set(better.tolist())}
        return row, rivals


def nfc(texts: pa.Array) -> pa.Array:
    """In Unicode's composed form, as Python has it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    is_ascii = truths(pc.string_is_ascii(texts))
    if is_ascii.all():
        return texts
    composed = [unicodedata.normalize("NFC", text) for text in texts.filter(pa.array(~is_ascii)).to_pylist()]
    return pc.replace_with_mask(texts, pa.array(~is_ascii), pa.array(composed, pa.string()))


def is_uri(keys: pa.Array) -> pa.Array:
    """Which of these name a whole place, and not one within a root."""
    import pyarrow.compute as pc

    return pc.or_(pc.match_substring(keys, "://"), pc.starts_with(keys, "/"))
