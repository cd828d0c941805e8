"""Is there a voice that the catalogue does not name? A finer test than clustering, for a few seconds are enough.

Clusters of a few seconds are put aside, for in long recordings they are mostly moods of one speaker. Here every stretch
of two to four seconds is compared with the voices that are known: the mean of a stretch says far more of a voice than
one window does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.catalogue import CatalogueRow, Role
from transforms.diarize.clustering import BLOCK, Clusters, Vectors, gathered, unit
from transforms.diarize.parting import less_in, two_voices_below
from transforms.diarize.windows import WINDOW, Mask, Windows, longest_run_s, runs_of

_STRETCHES = ((1.8, 0.76), (2.4, 0.80), (3.6, 0.82))
"""Seconds of a stretch, and the cosine with every known voice below which it is a stranger's. For three minutes of
speech: in more, one speaker strays further."""
_TOGETHER = 0.1
"""How much higher that cosine may be where the detector is sure that two speak at once: over a main voice that is as
loud or louder, a stranger moves it less."""
_LONGEST = 16
"""Windows that a stretch may span."""
_SAME_STRANGER = 0.27
_TYPICAL = 0.75


@dataclass(frozen=True, slots=True)
class Listened:
    """One track as it was heard: a unit vector per window, shape (n, d), and which of its voices each one is, (n,)."""

    embeddings: Vectors
    windows: Windows
    voice: NDArray[np.int64]
    together: NDArray[np.float64] | None = None
    """How likely two speak at once in each window, shape (n,); None where nobody listened for that."""

    def mean_of(self, which: Mask | slice) -> Vectors:
        """The unit mean of some windows, each by the seconds that it answers for; shape (d,)."""
        return unit(self.windows.seconds[which] @ self.embeddings[which])

    def seconds_of(self, which: Mask | slice) -> float:
        return float(self.windows.seconds[which].sum())


def named_voices(catalogue: CatalogueRow) -> int:
    """How many people the catalogue says can be heard: everybody but those who merely hold rights."""
    return sum(subject.role is not Role.RIGHTS_HOLDER for subject in catalogue.subjects)


def longest_stranger_s(tracks: Sequence[Listened], named: int) -> float:
    """Seconds of the longest voice beyond those of `named` people, to 0.1 s; 0 where there is none of 1.8 s.

    The longest voices over all tracks are taken to be the people who are named; where there are fewer voices than
    people, the longest strangers are those who are missing.
    """
    heard = [(n, track.voice == voice) for n, track in enumerate(tracks) for voice in np.unique(track.voice)]
    heard.sort(key=lambda one: -tracks[one[0]].seconds_of(one[1]))
    each_s = [tracks[n].seconds_of(which) for n, which in heard]
    if named == 0 or not heard:
        return round(max(each_s, default=0.0), 1)
    known = np.stack([_typical(tracks[n], which) for n, which in heard[:named]])
    speech_s = sum(each_s)
    strange = [_strange_windows(track, known, less_in(speech_s)) for track in tracks]
    for n, which in heard[named:]:
        longest_s = longest_run_s(tracks[n].windows, which)
        if _cosine(tracks[n].mean_of(which)[None], known)[0] < two_voices_below(longest_s, speech_s):
            strange[n] |= which
    parts = [(track, part) for track, mask in zip(tracks, strange, strict=True) for part in runs_of(mask)]
    strangers = _grouped([(track.mean_of(part), track.seconds_of(part)) for track, part in parts])
    unnamed = strangers[max(0, named - len(heard)) :]
    return round(unnamed[0], 1) if unnamed and unnamed[0] >= _STRETCHES[0][0] else 0.0


def _typical(track: Listened, which: Mask) -> Vectors:
    """The mean of the three quarters of a voice's windows that are most alike: a stranger among them moves it less."""
    mean = track.mean_of(which)
    for _ in range(3):
        cosine = track.embeddings @ mean
        mean = track.mean_of(which & (cosine >= np.quantile(cosine[which], 1 - _TYPICAL)))
    return mean


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


def _strange_windows(track: Listened, known: Vectors, less: float) -> Mask:
    """Windows in a stretch that is no known voice, unless they themselves are nearer to one than to the stretch."""
    lengths = track.windows.end - track.windows.start
    index = np.flatnonzero(lengths >= WINDOW // 2)
    strange = np.zeros(len(track.embeddings), np.bool_)
    for start in range(0, len(index), BLOCK):
        # Stretches begin in this block, and may end in the next.
        block = index[start : start + BLOCK + _LONGEST]
        together = np.zeros(len(block)) if track.together is None else track.together[block]
        within = _in_strange_stretch(track.embeddings[block], track.windows.seconds[block], known, less, together)
        strange[block] |= within
    for run in runs_of(strange):
        strange[run] = track.embeddings[run] @ track.mean_of(run) >= _cosine(track.embeddings[run], known)
    return strange


def _in_strange_stretch(
    embeddings: Vectors,
    seconds: NDArray[np.float64],
    known: Vectors,
    less: float,
    together: NDArray[np.float64],
) -> Mask:
    """Windows that some stretch covers whose mean is no known voice, shape (n,)."""
    n = len(embeddings)
    together_s = np.concatenate([[0.0], np.cumsum(together * seconds)])
    sums = np.concatenate([np.zeros((1, embeddings.shape[1])), np.cumsum(embeddings * seconds[:, None], 0)])
    until_s = np.concatenate([[0.0], np.cumsum(seconds)])
    covered = np.zeros(n + 1, np.int64)
    for length_s, limit in _STRETCHES:
        after = np.searchsorted(until_s, until_s[:-1] + length_s - 1e-6)
        first = np.flatnonzero(after <= n)
        after = after[first]
        share = (together_s[after] - together_s[first]) / (until_s[after] - until_s[first])
        is_strange = _cosine(unit(sums[after] - sums[first]), known) < limit - less + _TOGETHER * share
        np.add.at(covered, first[is_strange], 1)
        np.add.at(covered, after[is_strange], -1)
    return np.cumsum(covered)[:n] > 0


def _grouped(stretches: Sequence[tuple[Vectors, float]]) -> list[float]:
    """Seconds of each stranger, the longest first: stretches of the same voice count together."""
    if not stretches:
        return []
    means, seconds = zip(*stretches, strict=True)
    groups = gathered(Clusters(np.stack(means), np.array(seconds)), _SAME_STRANGER)
    return sorted(groups.weight.tolist(), reverse=True)
