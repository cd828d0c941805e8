"""Merkle trees as RFC 6962 (certificate transparency) hashes them: one digest that vouches for a list, and a proof of
some twenty digests that one entry of a million is in it.

A leaf is hashed with a zero before it and a node with a one, so that no node can be passed off as a leaf; where a level
has an odd one out, it goes up as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

EMPTY = hashlib.sha256().digest()
"""The root of nothing."""


def leaf_hash(entry: bytes) -> bytes:
    """Of one entry."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Of two hashes side by side."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(entries: Iterable[bytes]) -> bytes:
    """The tree's head: 32 bytes (RFC 6962, 2.1)."""
    level = [leaf_hash(entry) for entry in entries]
    while len(level) > 1:
        level = _above(level)
    return level[0] if level else EMPTY


def path(entries: Sequence[bytes], index: int) -> list[bytes]:
    """The audit path of entry `index`, from the leaf's neighbour upwards (RFC 6962, 2.1.1). Raises IndexError."""
    if not 0 <= index < len(entries):
        raise IndexError(f"a tree of {len(entries)} entries has none at {index}")
    level, found = [leaf_hash(entry) for entry in entries], []
    while len(level) > 1:
        beside = index ^ 1
        if beside < len(level):
            found.append(level[beside])
        level, index = _above(level), index // 2
    return found


def root_by(entry: bytes, index: int, size: int, beside: Sequence[bytes]) -> bytes | None:
    """The head of the tree of `size` entries in which `entry` stands at `index`, going by its path; None where no
    tree of that size has a path of that length there (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return None
    reached, last, waiting = leaf_hash(entry), size - 1, iter(beside)
    for at, end in _levels(index, last):
        # The last of an odd level has no neighbour, and goes up as it is.
        if at % 2 == 0 and at == end:
            continue
        neighbour = next(waiting, None)
        if neighbour is None or len(neighbour) != len(EMPTY):
            return None
        reached = node_hash(neighbour, reached) if at % 2 else node_hash(reached, neighbour)
    return reached if next(waiting, None) is None else None


def _levels(index: int, last: int) -> Iterator[tuple[int, int]]:
    """Where the entry and the last of all stand, on each level below the head."""
    while last:
        yield index, last
        index, last = index // 2, last // 2


def _above(level: Sequence[bytes]) -> list[bytes]:
    sha256 = hashlib.sha256
    pairs = zip(level[::2], level[1::2], strict=False)
    found = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
    if len(level) % 2:
        found.append(level[-1])
    return found
