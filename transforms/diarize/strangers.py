"""Is there a voice that the catalogue does not name? A finer test than clustering, for a few seconds are enough.

Clusters of a few seconds are put aside, for in long recordings they are mostly moods of one speaker. Here every stretch
of two to six seconds is compared with the voices that are known: the mean of a stretch says far more of a voice than
one window does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transforms.diarize.clustering import BLOCK, Clusters, Vectors, merge, unit
from transforms.diarize.windows import WINDOW, Windows

_STRETCHES = ((1.8, 0.76), (2.4, 0.80), (3.6, 0.845), (4.8, 0.875), (6.0, 0.885))
"""Seconds of a stretch, and the cosine with every known voice below which it is a stranger's."""
_SEEN_S, _LESS_PER_DOUBLING, _LESS_AT_MOST = 180.0, 0.01, 0.06
"""Those cosines hold for three minutes of speech. The more one speaker says, the further the oddest stretch strays."""
_SAME_STRANGER = 0.27
_ENOUGH = WINDOW // 2
"""Frames of a window whose voice counts."""
_LONGEST = 16
"""Windows that a stretch may span, at most."""


@dataclass(frozen=True, slots=True)
class Listened:
    """One track as it was heard: a unit vector per window, shape (n, d), and which of its voices each one is, (n,)."""

    embeddings: Vectors
    windows: Windows
    voice: NDArray[np.int64]


def longest_stranger_s(tracks: Sequence[Listened], named: int) -> float:
    """Seconds of the longest voice beyond those of `named` people, 0 where there is none; to 0.1 s.

    The longest voices, over all tracks, are taken to be the people who are named, and strangers in order of length to
    be those of them who are missing still.
    """
    heard = [(track, voice, _seconds_of(track, voice)) for track in tracks for voice in np.unique(track.voice)]
    heard.sort(key=lambda one: -one[2])
    if named == 0 or not heard:
        return round(max((seconds for _, _, seconds in heard), default=0.0), 1)
    known = np.stack([_typical(track, voice) for track, voice, _ in heard[:named]])
    less = _less_for(sum(seconds for _, _, seconds in heard))
    found = [stretch for track in tracks for stretch in _strange_stretches(track, known, less)]
    for track, voice, seconds in heard[named:]:
        if _nearness(_mean_of(track, track.voice == voice)[None], known)[0] < _limit(seconds) - less:
            found.append((_mean_of(track, track.voice == voice), seconds))
    if not found:
        return 0.0
    return 0.0
