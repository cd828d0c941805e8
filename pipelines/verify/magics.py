"""Where something may begin: the first bytes by which formats are known, found all in one pass at any offset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.verify.decoding import mp3_frame

_BLOCK = 1 << 18
_TABLE_BITS = 16
_MULTIPLIER = np.uint32(0x9E3779B1)
_MP3_CHAIN = 4
"""Frames that must follow each other: the two bytes that begin one come by chance once in some thousand places."""


@dataclass(frozen=True, slots=True)
class Magic:
    """Four bytes that a format has `before` bytes after its beginning."""

    window: bytes
    before: int = 0


class Finder:
    """Finds every magic of some named formats."""

    def __init__(self, magics: Iterable[tuple[str, Magic]]) -> None:
        self._known: dict[int, list[tuple[str, int]]] = {}
        for name, magic in magics:
            self._known.setdefault(int.from_bytes(magic.window, "little"), []).append((name, magic.before))
        self._table = np.zeros(1 << _TABLE_BITS, bool)
        self._table[_hashed(np.array(list(self._known), np.uint32))] = True

    def __call__(self, data: memoryview) -> Iterator[tuple[int, str]]:
        """(where it would begin, name) of every place, block by block, in order within a block."""
        for begin in range(0, len(data) - 3, _BLOCK):
            found: list[tuple[int, str]] = []
            for shift in range(4):
                count = (min(len(data), begin + _BLOCK + 3) - begin - shift) // 4
                windows = np.frombuffer(data, "<u4", max(0, count), begin + shift)
                for place in np.flatnonzero(self._table.take(_hashed(windows), mode="wrap")):
                    for name, before in self._known.get(int(windows[place]), ()):
                        if (at := begin + shift + 4 * int(place) - before) >= 0:
                            found.append((at, name))
            yield from sorted(found)


def _hashed(windows: NDArray[np.uint32]) -> NDArray[np.int64]:
    return ((windows * _MULTIPLIER) >> np.uint32(32 - _TABLE_BITS)).astype(np.int64)


def mp3_starts(data: memoryview) -> Iterator[int]:
    """Where chains of MPEG layer III frames begin; within one, no other."""
    reached = 0
    for begin in range(0, len(data) - 3, _BLOCK):
        block = np.frombuffer(data, np.uint8, min(_BLOCK + 2, len(data) - begin), begin)
        places = np.flatnonzero(block[:-2] == 0xFF)
        second, third = block[places + 1], block[places + 2]
        likely = (second & 0xE6 == 0xE2) & (third >> 4 != 15) & (third >> 4 != 0) & (third & 12 != 12)
        for place in places[likely]:
            at = begin + int(place)
            if at >= reached and (end := _chain(data, at)):
                yield at
                reached = end


def _chain(data: memoryview, at: int) -> int:
    """Where a chain that is long enough ends; 0 where there is none."""
    frames = 0
    while (length := mp3_frame(data, at)) and at + length <= len(data):
        at, frames = at + length, frames + 1
    return at if frames >= _MP3_CHAIN else 0
