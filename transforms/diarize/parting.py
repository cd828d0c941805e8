"""Two people whom clustering took for one: their voices are near, but each speaks for long enough to be told apart.

The mean cosine of single windows says little where a telephone or a room makes all voices alike. The means of several
seconds still differ, and more than those of one speaker do.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from transforms.diarize.clustering import Vectors, cluster, merge, unit
from transforms.diarize.voices import heard_at_least, likeliest_voices
from transforms.diarize.windows import Mask, Windows, longest_run_s

_TWO_VOICES = ((2.4, 0.80), (3.6, 0.85), (4.8, 0.885))
"""Seconds that somebody speaks without another between, and the cosine of two voices below which they are two."""
_SCATTERED = 0.70
"""The same for pieces shorter than those: windows that were picked for being odd are odd together."""
_SURE_S, _LESS_PER_DOUBLING, _LESS_AT_MOST = 180.0, 0.01, 0.06
"""Such cosines hold for three minutes of speech. The more one speaker says, the further the oddest stretch strays."""
_FINE_CUT = 0.15
_LEAST_S = 1.5
_ROUNDS = 8


def two_voices_below(longest_s: float, speech_s: float) -> float:
    """The cosine of two voices below which they are two, where the shorter is heard for `longest_s` at a stretch."""
    limit = max((limit for length, limit in _TWO_VOICES if length <= longest_s), default=_SCATTERED)
    return limit - less_in(speech_s)


def less_in(speech_s: float) -> float:
    """What is taken off a cosine because a speaker strays further in more speech."""
    return min(_LESS_AT_MOST, _LESS_PER_DOUBLING * float(np.log2(max(1.0, speech_s / _SURE_S))))


def parted(
    embeddings: Vectors, vectors: Vectors, windows: Windows, voice: NDArray[np.int64], most: int | None = None
) -> NDArray[np.int64]:
    """Which voice each window is, shape (n,), after each of the voices in `voice` has been parted in two as often as
    it is two. `vectors` are the smoothed embeddings; there are never more than `most` voices."""
    voices = [voice == label for label in np.unique(voice)]
    done: list[Mask] = []
    while voices:
        mine = voices.pop()
        halves = None
        if most is None or len(voices) + len(done) + 1 < most:
            halves = _halves(embeddings, vectors, windows, mine)
        if halves is None:
            done.append(mine)
        else:
            voices += halves
    if len(done) == len(np.unique(voice)):
        return voice
    means = np.stack([_mean(embeddings, windows, mine) for mine in done])
    return likeliest_voices(vectors, windows, means)


def _halves(embeddings: Vectors, vectors: Vectors, windows: Windows, mine: Mask) -> list[Mask] | None:
    """The two people that one voice is, or None where it is one."""
    whole = mine & windows.is_whole
    pair = _two_means(vectors[whole], float(windows.seconds[whole].mean()) if whole.any() else 1.0)
    if pair is None:
        return None
    index = np.flatnonzero(mine)
    which = likeliest_voices(vectors[index], windows[index], pair)
    halves = [np.zeros(len(mine), np.bool_) for _ in pair]
    for half, mask in enumerate(halves):
        mask[index[which == half]] = True
    if not all(half.any() for half in halves):
        return None
    one, other = (_mean(embeddings, windows, half) for half in halves)
    longest_s = min(longest_run_s(windows, half) for half in halves)
    speech_s = float(windows.seconds[mine].sum())
    return halves if float(one @ other) < two_voices_below(longest_s, speech_s) else None


def _two_means(vectors: Vectors, each_s: float) -> Vectors | None:
    """The two means that `vectors` lie around, shape (2, d): k-means from the two groups of a fine clustering."""
    if not len(vectors):
        return None
    groups = heard_at_least(cluster(vectors, _FINE_CUT), _LEAST_S / each_s, 2)
    if len(groups) < 2:
        return None
    means = unit(merge(groups, 0, 2).mean)
    for _ in range(_ROUNDS):
        nearest = (vectors @ means.T).argmax(1)
        if nearest.min() == nearest.max():
            return None
        means = np.stack([unit(vectors[nearest == half].sum(0)) for half in (0, 1)])
    return means


def _mean(embeddings: Vectors, windows: Windows, which: Mask) -> Vectors:
    return unit(windows.seconds[which] @ embeddings[which])
