"""The voices of one track: how many there are, and which one each window is likeliest to be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from transforms.diarize.clustering import Clusters, Vectors, cluster, merge, unit
from transforms.diarize.windows import FRAME_S, WINDOW, Windows

_SMOOTHING = np.float32(0.6)
_CHANGE_COST = 0.08
"""What a change of voice costs from one window to the next, as a cosine; it fades over a pause, by 1/e a second."""
_SHARE, _SHARE_AT_MOST_S = 0.03, 20.0
_KNOWN_AT_LEAST_S, _FINER = 1.5, 0.85
_MOOD, _MOOD_SHARE = 0.85, 0.1
"""A cluster of less than this share of the speech is a mood of the voice that its mean comes so near to."""


def smoothed(embeddings: Vectors, windows: Windows) -> Vectors:
    """Each window's vector with a share of its neighbours in the same region, at norm 1; shape (n, d)."""
    joined = (windows.region[:-1] == windows.region[1:])[:, None] * _SMOOTHING
    out = embeddings.copy()
    out[:-1] += joined * embeddings[1:]
    out[1:] += joined * embeddings[:-1]
    return unit(out)


def find_voices(
    vectors: Vectors, windows: Windows, cut: float, min_s: float, count: int | None = None, most: int | None = None
) -> Vectors:
    """A unit vector per voice, shape (k, d), in the order in which they are first heard; at least one.

    Windows of full length are clustered at a mean cosine of 1 − `cut`; clusters shorter than `min_s` (or 3 % of the
    speech, at most 20 s, if that is more) are nobody. With `count` exactly so many are found, if there are so many
    windows, of clusters that are a little finer; `most` is the most that may be.
    """
    whole = windows.is_whole if windows.is_whole.any() else np.ones(len(windows), np.bool_)
    each_s = float(windows.seconds[whole].mean())
    total_s = each_s * int(whole.sum())
    # Who knows how many there are is sooner wrong by joining two than by parting one.
    groups = cluster(vectors[whole], cut if count is None else _FINER * cut)
    # With a known count a short cluster is sooner somebody, for it cannot add a voice.
    least_s = max(_KNOWN_AT_LEAST_S if count else min_s, min(_SHARE_AT_MOST_S, _SHARE * total_s))
    if count is not None and len(groups) < count:
        groups = cluster(vectors[whole], cut / 4)
    kept = heard_at_least(groups, least_s / each_s, count or 1)
    if count is None:
        kept = _moods_joined(kept, _MOOD_SHARE * total_s / each_s)
    limit = count if count is not None else most
    if limit is not None and len(kept) > limit:
        kept = merge(kept, cut, limit)
    return unit(kept.mean)


def heard_at_least(groups: Clusters, weight: float, count: int) -> Clusters:
    """The groups of at least this weight; the `count` heaviest where those are fewer."""
    kept = np.flatnonzero(groups.weight >= weight)
    if len(kept) < count:
        kept = np.sort(np.argsort(-groups.weight, kind="stable")[:count])
    return groups[kept]


def _moods_joined(groups: Clusters, most: float) -> Clusters:
    """Groups of a weight up to `most` become one with the group whose mean is nearest, if it is near enough."""
    while len(groups) > 1:
        mean = unit(groups.mean)
        cosine = mean @ mean.T
        np.fill_diagonal(cosine, -1)
        cosine[np.minimum.outer(groups.weight, groups.weight) > most] = -1
        one, other = sorted(divmod(int(np.argmax(cosine)), len(groups)))
        if cosine[one, other] < _MOOD:
            break
        label = np.arange(len(groups))
        label[other] = one
        label[other + 1 :] -= 1
        groups = groups.joined(label)
    return groups


def likeliest_voices(vectors: Vectors, windows: Windows, voices: Vectors) -> NDArray[np.int64]:
    """Which voice each window is, shape (n,): the path with the highest sum of cosines less the cost of changes
    (Viterbi). Short windows count for less."""
    n, k = len(vectors), len(voices)
    if k == 1:
        return np.zeros(n, np.int64)
    share = np.minimum(1, (windows.end - windows.start) / WINDOW)
    cosine = (vectors @ voices.T) * share[:, None]
    pause_s = np.maximum(0, windows.start[1:] - windows.end[:-1]) * FRAME_S
    cost = _CHANGE_COST * np.exp(-pause_s)
    stays = np.arange(k)
    came_from = np.zeros((n, k), np.int16)
    score = cosine[0].astype(np.float64)
    for i in range(1, n):
        best = int(np.argmax(score))
        changed = score[best] - cost[i - 1]
        came_from[i] = np.where(score >= changed, stays, best)
        score = np.maximum(score, changed) + cosine[i]
    path = np.zeros(n, np.int64)
    path[-1] = int(np.argmax(score))
    for i in range(n - 1, 0, -1):
        path[i - 1] = came_from[i, path[i]]
    return path
