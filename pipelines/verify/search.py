"""Finds any of very many byte strings in one pass, whether they are known or only their keyed hashes are.

Of each string one telling window of 8 bytes (4 of a short one) is hashed by multiplication; every window of the data is
hashed the same way, eight at a time, and looked up in a table of bits. What is left is compared whole, with the string
itself, or in a keyed seal with its digest. So a keyed scan finds what a plain one finds.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.verify.encodings import forms
from pipelines.verify.needles import MIN_BYTES, Needles, Pattern, Term

_BLOCK = 1 << 18
_TABLE_BITS = range(16, 23)
"""The table has 32 places per pattern where it can: half a megabyte of it stays in a core's cache."""
_WIDTHS: dict[int, np.dtype[np.unsignedinteger[Any]]] = {8: np.dtype("<u8"), 4: np.dtype("<u4")}
_WORD = re.compile(rb"[A-Za-z0-9_\x80-\xff]")
_DIGEST_BYTES = 16
_PLAIN_MULTIPLIER = 0x9E3779B97F4A7C15


class Searcher:
    """Every pattern of some needles, but those of the encodings named in `without`."""

    def __init__(self, needles: Needles, without: frozenset[str] = frozenset()) -> None:
        made = needles.patterns if needles.is_keyed else patterns_of(needles.terms)
        patterns = [pattern for pattern in made if pattern.encoding not in without]
        self._key = needles.key
        self._multiplier = np.uint64(_multiplier(needles.key))
        self._tables = [
            _Table(width, own) for width in _WIDTHS if (own := [one for one in patterns if one.width == width])
        ]

    def find(self, data: Any) -> Iterator[tuple[int, Pattern]]:
        """(offset, pattern) of every place; `data` is anything that gives bytes (a memory map, say)."""
        view = memoryview(data)
        for table in self._tables:
            for begin in range(0, len(view) - table.width + 1, _BLOCK):
                yield from self._in_block(view, begin, table)

    def _in_block(self, view: memoryview, begin: int, table: _Table) -> Iterator[tuple[int, Pattern]]:
        for shift in range(table.width):
            count = (min(len(view), begin + _BLOCK + table.width - 1) - begin - shift) // table.width
            if count <= 0:
                return
            windows = np.frombuffer(view, _WIDTHS[table.width], count, begin + shift)
            hashed: NDArray[np.uint64] = windows.astype(np.uint64, copy=False)
            hashed = hashed * self._multiplier
            found = np.flatnonzero(table.bits.take((hashed >> table.down).view(np.int64), mode="wrap"))
            if len(found):
                tags = (hashed[found] >> np.uint64(32)).astype(np.uint32)
                for place, pattern in table.candidates(tags):
                    at = begin + shift + int(found[place]) * table.width - pattern.anchor
                    if self._is_there(view, at, pattern):
                        yield at, pattern

    def _is_there(self, view: memoryview, at: int, pattern: Pattern) -> bool:
        end = at + pattern.length
        if at < 0 or end > len(view):
            return False
        content = bytes(view[at:end])
        if self._key is None:
            if content != pattern.content:
                return False
        elif not hmac.compare_digest(keyed_digest(self._key, content), pattern.content):
            return False
        return not pattern.apart or not (
            _is_letter(view, at - pattern.apart, pattern.apart) or _is_letter(view, end, pattern.apart)
        )


class _Table:
    """Patterns with windows of one width, by tag."""

    def __init__(self, width: int, patterns: Sequence[Pattern]) -> None:
        self.width = width
        self._patterns = sorted(patterns, key=lambda pattern: pattern.tag)
        self._tags = np.array([pattern.tag for pattern in self._patterns], np.uint32)
        bits = min(max((32 * len(patterns)).bit_length(), _TABLE_BITS[0]), _TABLE_BITS[-1])
        self.down = np.uint64(64 - bits)
        self.bits = np.zeros(1 << bits, bool)
        self.bits[self._tags >> np.uint32(32 - bits)] = True

    def candidates(self, tags: NDArray[np.uint32]) -> Iterator[tuple[int, Pattern]]:
        """(which of the tags, pattern) wherever a tag is a pattern's."""
        first, last = np.searchsorted(self._tags, tags, "left"), np.searchsorted(self._tags, tags, "right")
        for place in np.flatnonzero(last > first):
            for n in range(int(first[place]), int(last[place])):
                yield int(place), self._patterns[n]


def patterns_of(terms: Sequence[Term], key: bytes | None = None) -> list[Pattern]:
    """Every form of every term, each with its most telling window; with a key, digests instead of the bytes."""
    made = [(term, *form) for term in terms for form in forms(term.text) if len(form[1]) >= MIN_BYTES]
    widths = [8 if len(content) >= 8 else 4 for *_, content, _ in made]
    choices = [_places(len(content), width) for (*_, content, _), width in zip(made, widths, strict=True)]
    common = Counter(
        content[at : at + width]
        for (*_, content, _), width, places in zip(made, widths, choices, strict=True)
        for at in places
    )
    multiplier = _multiplier(key)
    patterns = []
    for (term, encoding, content, apart), width, places in zip(made, widths, choices, strict=True):
        rare = _telling(content, width, common)
        at = min(places, key=rare)
        value = int.from_bytes(content[at : at + width], "little")
        tag = (value * multiplier & 0xFFFF_FFFF_FFFF_FFFF) >> 32
        kept = content if key is None else keyed_digest(key, content)
        patterns.append(Pattern(term.kind, term.label, encoding, len(content), at, width, tag, kept, apart))
    return patterns


def keyed_digest(key: bytes, content: bytes) -> bytes:
    return hmac.digest(key, content, "sha256")[:_DIGEST_BYTES]


def _telling(content: bytes, width: int, common: Counter[bytes]) -> Callable[[int], tuple[int, int]]:
    """Rare among all patterns first, then of many different bytes: it should not lie everywhere in a lake."""

    def rank(at: int) -> tuple[int, int]:
        window = content[at : at + width]
        return common[window], -len(set(window))

    return rank


def _places(length: int, width: int) -> list[int]:
    """Where the window may begin: some places, spread evenly."""
    last = length - width
    return sorted({0, last // 4, last // 2, 3 * last // 4, last})


def _multiplier(key: bytes | None) -> int:
    if key is None:
        return _PLAIN_MULTIPLIER
    return int.from_bytes(hashlib.blake2b(key=key, digest_size=8, person=b"windows").digest(), "little") | 1


def _is_letter(view: memoryview, at: int, width: int) -> bool:
    """A letter or a digit stands there, in characters of `width` bytes."""
    if at < 0 or at + width > len(view):
        return False
    character = bytes(view[at : at + width]).replace(b"\0", b"")
    return bool(_WORD.match(character))
