"""In which order a share is read: a pure function of seed, epoch and share, so that it can be picked up again anywhere.

Rows that lie side by side in a shard make a block, which is read at once. Shuffling draws blocks in a random order, and
rows at random out of a buffer of those that have been drawn.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RANGE_BYTES = 4 << 20
"""A block's bytes, at most one utterance more: what is read at once, and what a shuffle keeps together."""
GAP_BYTES = 128 << 10
"""Bytes between two utterances that are read along rather than asked for separately."""
_FIRST_SHARE = 10  # a shuffle begins with a tenth of its buffer, and fills the rest while it goes on
_GROWTH = 2


def block_bounds(shards: NDArray[np.int32], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> list[int]:
    """Where blocks begin among rows that are sorted by shard and place, and the number of rows at the end.

    `shards`, `starts` and `ends` (n,): the shard of each row, and its first byte and one past its last there.
    """
    import numpy as np

    n = len(shards)
    if n == 0:
        return [0]
    is_new = np.ones(n, bool)
    is_new[1:] = (shards[1:] != shards[:-1]) | (starts[1:] - ends[:-1] > GAP_BYTES) | (starts[1:] < starts[:-1])
    # Within a stretch without gaps: a new block wherever another RANGE_BYTES have passed since it began.
    began = starts[np.flatnonzero(is_new)][np.cumsum(is_new) - 1]
    passed = (starts - began) // RANGE_BYTES
    is_new[1:] |= passed[1:] != passed[:-1]
    return [*np.flatnonzero(is_new).tolist(), n]


class Order:
    """Draws the rows `0 … bounds[-1]` one by one. Without a `seed` they come as they lie."""

    def __init__(self, bounds: Sequence[int], buffer: int, seed: str | None) -> None:
        self._bounds = bounds
        self._buffer = buffer
        self._chance = None if seed is None else random.Random(seed)
        self.blocks = list(range(len(bounds) - 1))
        """Numbers of the blocks, in the order in which they are drawn."""
        self.admitted = 0
        """How many of them have been drawn."""
        self.held: list[int] = []
        """Rows of those that have not been drawn yet."""
        self.drawn = 0
        if self._chance is not None:
            self._chance.shuffle(self.blocks)

    def rows_of(self, block: int) -> range:
        return range(self._bounds[block], self._bounds[block + 1])

    def draw(self) -> int | None:
        """The next row; None when there is none left."""
        wanted = min(self._buffer, self._buffer // _FIRST_SHARE + _GROWTH * self.drawn) if self._chance else 1
        while self.admitted < len(self.blocks) and len(self.held) < max(1, wanted):
            rows = self.rows_of(self.blocks[self.admitted])
            # Backwards where nothing is shuffled: rows are taken from the end.
            self.held.extend(rows if self._chance else reversed(rows))
            self.admitted += 1
        if not self.held:
            return None
        self.drawn += 1
        if self._chance is not None:
            n = int(self._chance.random() * len(self.held))
            self.held[n], self.held[-1] = self.held[-1], self.held[n]
        return self.held.pop()

    def skip(self, rows: int) -> None:
        """Draws `rows` rows without a look at them."""
        for _ in range(rows):
            if self.draw() is None:
                return
