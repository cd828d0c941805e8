"""Is there a voice that the catalogue does not name? A finer test than clustering, for a few seconds are enough.

Clusters of a few seconds are put aside, for in long recordings they are mostly moods of one speaker. Here every stretch
of two to six seconds is compared with the voices that are known: the mean of a stretch says far more of a voice than
one window does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.catalogue import CatalogueRow, Role
from transforms.diarize.clustering import BLOCK, Clusters, Vectors, merge, unit
from transforms.diarize.windows import WINDOW, Windows

_STRETCHES = ((1.8, 0.76), (2.4, 0.80), (3.6, 0.845), (4.8, 0.875), (6.0, 0.885))
"""Seconds of a stretch, and the cosine with every known voice below which it is a stranger's."""
_SURE_S, _LESS_PER_DOUBLING, _LESS_AT_MOST = 180.0, 0.01, 0.06
"""Those cosines hold for three minutes of speech. The more one speaker says, the further the oddest stretch strays."""
_LONGEST = 16
"""Windows that a stretch may span."""
_SCATTERED = 0.70
"""For a cluster of shorter pieces."""
_SAME_STRANGER = 0.27
_TYPICAL = 0.75

_Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Listened:
    """One track as it was heard: a unit vector per window, shape (n, d), and which of its voices each one is, (n,)."""

    embeddings: Vectors
    windows: Windows
    voice: NDArray[np.int64]

    def mean_of(self, which: _Mask) -> Vectors:
        """The unit mean of some windows, each by the seconds that it answers for; shape (d,)."""
        return unit(self.windows.seconds[which] @ self.embeddings[which])

    def seconds_of(self, which: _Mask) -> float:
        return float(self.windows.seconds[which].sum())


def named_voices(catalogue: CatalogueRow) -> int:
    """How many people the catalogue says can be heard: everybody but those who merely hold rights."""
    return sum(subject.role is not Role.RIGHTS_HOLDER for subject in catalogue.subjects)


def longest_stranger_s(tracks: Sequence[Listened], named: int) -> float:
    """Seconds of the longest voice beyond those of `named` people, to 0.1 s; 0 where there is none.

    The longest voices over all tracks are taken to be the people who are named; where there are fewer voices than
    people, the longest strangers are those who are missing.
    """
    heard = [(track, track.voice == voice) for track in tracks for voice in np.unique(track.voice)]
    heard.sort(key=lambda one: -one[0].seconds_of(one[1]))
    if named == 0 or not heard:
        return round(max((track.seconds_of(which) for track, which in heard), default=0.0), 1)
    known = np.stack([_typical(track, which) for track, which in heard[:named]])
    less = _less_for(sum(track.seconds_of(which) for track, which in heard))
    strange = {id(track): _strange_windows(track, known, less) for track in tracks}
    for track, which in heard[named:]:
        # By its longest stretch, not by its sum: windows that were picked for being odd are odd together.
        longest_s = max(track.seconds_of(part) for part in _stretches(which))
        if _cosine(track.mean_of(which)[None], known)[0] < _limit(longest_s) - less:
            strange[id(track)] |= which
    stretches = [(t.mean_of(which), t.seconds_of(which)) for t in tracks for which in _stretches(strange[id(t)])]
    strangers = _grouped(stretches)[max(0, named - len(heard)) :]
    return round(strangers[0], 1) if strangers else 0.0


def _typical(track: Listened, which: _Mask) -> Vectors:
    """The mean of the three quarters of a voice's windows that are most alike: a stranger among them moves it less."""
    mean = track.mean_of(which)
    for _ in range(3):
        cosine = track.embeddings @ mean
        mean = track.mean_of(which & (cosine >= np.quantile(cosine[which], 1 - _TYPICAL)))
    return mean


def _less_for(speech_s: float) -> float:
    return min(_LESS_AT_MOST, _LESS_PER_DOUBLING * float(np.log2(max(1.0, speech_s / _SURE_S))))


def _limit(seconds: float) -> float:
    """The cosine under which so many seconds are a stranger's."""
    return max((limit for length, limit in _STRETCHES if length <= seconds), default=_SCATTERED)


def _cosine(vectors: Vectors, known: Vectors) -> NDArray[np.float64]:
    """How near unit `vectors`, shape (n, d), come to the known voices or to any blend of two of them, shape (n,).

    A stretch in which two people take turns, or speak at once, is a blend of both, and neither is a stranger.
    """
    each = (vectors @ known.T).astype(np.float64)
    nearest: NDArray[np.float64] = each.max(1)
    if len(known) == 1:
        return nearest
    order = np.argsort(-each, axis=1, kind="stable")[:, :2]
    first, second = np.take_along_axis(each, order, 1).T
    between = np.einsum("nd,nd->n", known[order[:, 0]], known[order[:, 1]]).astype(np.float64)
    # The nearest point of the plane through both; it is a blend where the second has a share that is not negative.
    in_plane = (first**2 + second**2 - 2 * first * second * between) / np.maximum(1 - between**2, 1e-6)
    blended: NDArray[np.float64] = np.sqrt(np.clip(in_plane, nearest**2, 1))
    return np.where(second > between * first, blended, nearest)


def _strange_windows(track: Listened, known: Vectors, less: float) -> _Mask:
    """Windows in a stretch that is no known voice, unless they themselves are nearer to one than to the stretch."""
    lengths = track.windows.end - track.windows.start
    index = np.flatnonzero(lengths >= WINDOW // 2)
    strange = np.zeros(len(track.embeddings), np.bool_)
    for start in range(0, len(index), BLOCK):
        # Stretches begin in this block, and may end in the next.
        block = index[start : start + BLOCK + _LONGEST]
        within = _in_strange_stretch(track.embeddings[block], track.windows.seconds[block], known, less)
        strange[block] |= within
    for which in _stretches(strange):
        nearer = track.embeddings @ track.mean_of(which) >= _cosine(track.embeddings, known)
        strange &= ~which | nearer
    return strange


def _in_strange_stretch(embeddings: Vectors, seconds: NDArray[np.float64], known: Vectors, less: float) -> _Mask:
    """Windows that some stretch covers whose mean is no known voice, shape (n,)."""
    n = len(embeddings)
    sums = np.concatenate([np.zeros((1, embeddings.shape[1])), np.cumsum(embeddings * seconds[:, None], 0)])
    until_s = np.concatenate([[0.0], np.cumsum(seconds)])
    covered = np.zeros(n + 1, np.int64)
    for length_s, limit in _STRETCHES:
        after = np.searchsorted(until_s, until_s[:-1] + length_s - 1e-6)
        first = np.flatnonzero(after <= n)
        after = after[first]
        is_strange = _cosine(unit(sums[after] - sums[first]), known) < limit - less
        np.add.at(covered, first[is_strange], 1)
        np.add.at(covered, after[is_strange], -1)
    return np.cumsum(covered)[:n] > 0


def _stretches(strange: _Mask) -> list[_Mask]:
    """A mask for each run of strange windows."""
    change = np.flatnonzero(np.diff(np.r_[False, strange, False].astype(np.int8)))
    found = []
    for start, end in change.reshape(-1, 2):
        which = np.zeros(len(strange), np.bool_)
        which[start:end] = True
        found.append(which)
    return found


def _grouped(stretches: Sequence[tuple[Vectors, float]]) -> list[float]:
    """Seconds of each stranger, the longest first: stretches of the same voice count together."""
    if not stretches:
        return []
    means, seconds = zip(*stretches, strict=True)
    return sorted(merge(Clusters(np.stack(means), np.array(seconds)), _SAME_STRANGER).weight.tolist(), reverse=True)
