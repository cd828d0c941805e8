"""Blind reverberation time by maximum likelihood over free decays.

R. Ratnam et al., Blind estimation of reverberation time, JASA 114(5), 2003; with the preselection of decaying stretches
and the histogram of H. W. Löllmann et al., An improved algorithm for blind reverberation time estimation, IWAENC 2010.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from schemas.sound import ANALYSIS_RATE_HZ as RATE
from schemas.sound import Samples

BLOCK = RATE // 200
"""5 ms: within it no room decays by much, so that energies stand for samples."""
STRETCH = 50
"""Blocks per stretch, 0.25 s."""
_PART = 7
"""Blocks whose energy, maximum and minimum must fall from one part to the next."""
_PARTS = 4
CANDIDATES_S = np.exp(np.linspace(np.log(0.15), np.log(4.0), 60))

Array = NDArray[np.float64]


def rt60_by_decay_s(samples: Samples) -> float | None:
    """Seconds to fall by 60 dB, 0.15…4; None where fewer than three stretches decay."""
    blocks = samples[: len(samples) // BLOCK * BLOCK].reshape(-1, BLOCK).astype(np.float64)
    energy = np.square(blocks).sum(axis=1)
    times = [_likeliest(energy[at : at + STRETCH]) for at in _decays(blocks, energy)]
    if len(times) < 3:
        return None
    counts, _ = np.histogram(np.log(times), np.log(np.r_[CANDIDATES_S * 0.972, CANDIDATES_S[-1] * 1.03]))
    smooth = np.convolve(counts, np.hanning(9)[1:-1], "same")
    # The voice's own decays are never shorter than the room's: the first strong peak is the room.
    is_peak = (smooth >= np.r_[0, smooth[:-1]]) & (smooth > np.r_[smooth[1:], 0]) & (smooth >= smooth.max() / 2)
    return float(CANDIDATES_S[int(np.flatnonzero(is_peak)[0])])


def _decays(blocks: Array, energy: Array) -> list[int]:
    """First blocks of stretches whose parts fall one after the other in energy, maximum and minimum."""
    highest, lowest = blocks.max(axis=1), blocks.min(axis=1)
    found, at = [], 0
    while at + STRETCH <= len(energy):
        parts = [slice(at + k * _PART, at + (k + 1) * _PART) for k in range(_PARTS)]
        falls = all(
            energy[b].sum() < energy[a].sum()
            and highest[b].max() < highest[a].max()
            and lowest[b].min() > lowest[a].min()
            for a, b in pairwise(parts)
        )
        if falls:
            found.append(at)
        at += _PART if falls else 2
    return found


def _likeliest(energy: Array) -> float:
    """The candidate under which Gaussian noise that decays so explains the energies of one stretch best."""
    falling = -3 * np.log(10) * BLOCK / RATE / CANDIDATES_S
    """ln of the amplitude's factor per block."""
    n = np.arange(len(energy))
    power = (energy * np.exp(-2 * falling[:, None] * n)).mean(axis=1)
    log_likelihood = -falling * (len(energy) - 1) - np.log(np.maximum(power, 1e-30))
    return float(CANDIDATES_S[int(np.argmax(log_likelihood))])
