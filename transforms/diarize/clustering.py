"""Which vectors are the same voice: average linkage on cosines, in memory that does not grow with the recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
"""One vector per row, shape (n, d)."""

BLOCK = 600
"""Vectors that are clustered at once."""
_MOST = 4 * BLOCK
"""Groups whose cosines are held at once: 46 MB."""


@dataclass(frozen=True, slots=True)
class Clusters:
    """Groups of unit vectors: their `mean`, not normalised, shape (k, d), and how many each holds, shape (k,).

    The mean cosine between the members of two groups is the product of their means, so groups merge exactly as their
    members would.
    """

    mean: Vectors
    weight: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.weight)

    def __getitem__(self, which: Any) -> Clusters:
        return Clusters(self.mean[which], self.weight[which])

    def joined(self, label: NDArray[np.int64]) -> Clusters:
        """Groups of these groups: those with the same label are one. Labels are 0, 1, … without gaps."""
        weight = np.bincount(label, self.weight).astype(np.float64)
        total = np.zeros((len(weight), self.mean.shape[1]))
        np.add.at(total, label, self.mean * self.weight[:, None])
        return Clusters((total / weight[:, None]).astype(np.float32), weight)


def unit(vectors: NDArray[Any]) -> Vectors:
    """Rows at norm 1; rows of zeros stay."""
    norm = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(norm, 1e-9), np.float32)


def cluster(vectors: Vectors, cut: float) -> Clusters:
    """Groups of unit `vectors` whose mean cosine is at least 1 − `cut`, in the order of their first members."""
    return gathered(Clusters(vectors, np.ones(len(vectors))), cut)


def gathered(groups: Clusters, cut: float) -> Clusters:
    """As `merge`, for any number of groups, in bounded memory.

    Blocks first, then the blocks' groups among themselves, until one block holds them, or blocks have nothing more in
    common; of thousands that remain then, the heaviest are kept.
    """
    before = np.inf
    while BLOCK < len(groups) < 0.9 * before:
        before = len(groups)
        blocks = [merge(groups[start : start + BLOCK], cut) for start in range(0, len(groups), BLOCK)]
        groups = Clusters(np.concatenate([b.mean for b in blocks]), np.concatenate([b.weight for b in blocks]))
    if len(groups) > _MOST:
        groups = groups[np.sort(np.argsort(-groups.weight, kind="stable")[:_MOST])]
    return merge(groups, cut)


def merge(groups: Clusters, cut: float, count: int | None = None) -> Clusters:
    """Average linkage: groups whose mean cosine is at least 1 − `cut` become one; or, with `count`, the nearest do
    until so many are left."""
    n = left = len(groups)
    parent = list(range(n))
    for cosine, one, other in sorted(_linkage(groups), key=lambda step: -step[0]):
        if left <= count if count is not None else cosine < 1 - cut:
            break
        parent[_root(parent, other)] = _root(parent, one)
        left -= 1
    roots = [_root(parent, i) for i in range(n)]
    place = {root: at for at, root in enumerate(dict.fromkeys(roots))}
    return groups.joined(np.array([place[root] for root in roots], np.int64))


def _root(parent: list[int], at: int) -> int:
    while parent[at] != at:
        parent[at] = parent[parent[at]]
        at = parent[at]
    return at


def _linkage(groups: Clusters) -> list[tuple[float, int, int]]:
    """Every merge of average linkage as (cosine, one, other), found along chains of nearest neighbours (Murtagh 1983):
    quadratic time, and the same tree as by always merging the nearest pair."""
    n = len(groups)
    cosine = (groups.mean @ groups.mean.T).astype(np.float64)
    np.fill_diagonal(cosine, -np.inf)
    weight, alive = groups.weight.copy(), np.ones(n, np.bool_)
    steps: list[tuple[float, int, int]] = []
    chain: list[int] = []
    while len(steps) < n - 1:
        chain = chain or [int(np.argmax(alive))]
        last = chain[-1]
        nearest = int(np.argmax(cosine[last]))
        # On a tie the chain turns back, else it would run in circles.
        if len(chain) > 1 and cosine[last, chain[-2]] >= cosine[last, nearest]:
            one, other = sorted((chain.pop(), chain.pop()))
            steps.append((float(cosine[one, other]), one, other))
            row = (weight[one] * cosine[one] + weight[other] * cosine[other]) / (weight[one] + weight[other])
            row[[one, other]] = -np.inf
            cosine[one], cosine[:, one] = row, row
            cosine[other], cosine[:, other] = -np.inf, -np.inf
            weight[one] += weight[other]
            alive[other] = False
        else:
            chain.append(nearest)
    return steps
