"""A fingerprint of sound by its spectral peaks, which shifts, gains, resampling and lossy codecs leave where they are.

Pairs of peaks close in time, as (frequency, frequency, time between), after A. Wang, "An industrial-strength audio
search algorithm", ISMIR 2003. Two pieces of sound are the same where many pairs agree on one shift in time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 8_000
"""What every sound is brought to: below 4 kHz a lossy codec and a resampler leave speech alone."""
_WINDOW = 512
HOP = 128
FRAME_S = HOP / RATE_HZ
_BANDS = (4, 250)
"""Bins that count: 60 Hz to 3.9 kHz."""
_NEAR_FRAMES, _NEAR_BINS = 6, 6
"""A peak is the highest within so many frames and bins on each side."""
_PROMINENCE = 1.4
"""Nepers (12 dB) over the mean of its surroundings: what is noise has few of these."""
_FLOOR = 1e-5
"""Of the highest magnitude: less is what rounding to 16 bits leaves in silence."""
_FAN_OUT = 4
_MIN_FRAMES, _MAX_FRAMES, _MAX_BINS = 2, 63, 60
_STEP = 1
"""Times between peaks are told apart by so many frames."""

_MAX_REPEATS = 40
"""In one piece of sound: more often the same pair comes of a tone."""
MIN_FREQUENCIES = 6

Hashes = NDArray[np.uint32]
Frames = NDArray[np.int32]


def landmarks(samples: NDArray[np.float32]) -> tuple[Hashes, Frames]:
    """(hash, frame of its first peak) of every pair of peaks in `samples`, mono at RATE_HZ; both shape (n,)."""
    frames, bins = _peaks(samples)
    return telling(*_pairs(frames, bins))


def _peaks(samples: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    from scipy.ndimage import maximum_filter1d, uniform_filter

    if len(samples) < 4 * _WINDOW:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    framed = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::HOP]
    spectra = np.abs(np.fft.rfft(framed * np.hanning(_WINDOW).astype(np.float32), axis=1).astype(np.complex64))
    highest = float(spectra.max())
    if not highest > 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    level = np.log(np.maximum(spectra[:, _BANDS[0] : _BANDS[1]], _FLOOR * highest))
    near = maximum_filter1d(level, 2 * _NEAR_FRAMES + 1, axis=0)
    near = maximum_filter1d(near, 2 * _NEAR_BINS + 1, axis=1)
    is_peak = (level == near) & (
        level > uniform_filter(level, (4 * _NEAR_FRAMES + 1, 6 * _NEAR_BINS + 1)) + _PROMINENCE
    )
    frames, bins = np.nonzero(is_peak & (level > np.log(10 * _FLOOR * highest)))
    return frames, bins


def _pairs(frames: NDArray[np.int64], bins: NDArray[np.int64]) -> tuple[Hashes, Frames]:
    """Each peak with the next `_FAN_OUT` in reach."""
    count = len(frames)
    taken = np.zeros(count, np.int64)
    hashes: list[NDArray[np.int64]] = []
    starts: list[NDArray[np.int64]] = []
    for ahead in range(1, min(count, 12 * _FAN_OUT)):
        apart = frames[ahead:] - frames[:-ahead]
        rise = bins[ahead:] - bins[:-ahead]
        fits = (apart >= _MIN_FRAMES) & (apart <= _MAX_FRAMES) & (np.abs(rise) <= _MAX_BINS)
        fits &= taken[:-ahead] < _FAN_OUT
        taken[:-ahead] += fits
        at = np.flatnonzero(fits)
        hashes.append((bins[at] << 13) | ((rise[at] + _MAX_BINS) << 6) | (apart[at] // _STEP))
        starts.append(frames[at])
    if not hashes:
        return np.zeros(0, np.uint32), np.zeros(0, np.int32)
    joined, begun = np.concatenate(hashes), np.concatenate(starts)
    order = np.argsort(begun, kind="stable")
    return joined[order].astype(np.uint32), begun[order].astype(np.int32)


def frequencies(hashes: Hashes) -> NDArray[np.uint32]:
    """The bin of each pair's first peak."""
    return hashes >> np.uint32(13)


def telling(hashes: Hashes, frames: Frames) -> tuple[Hashes, Frames]:
    """Without the pairs that come again and again, as of a hum or a tone: they match everywhere and say nothing."""
    if not len(hashes):
        return hashes, frames
    _, back, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    is_rare = counts[back] <= _MAX_REPEATS
    return hashes[is_rare], frames[is_rare]


def best_match(
    asked: NDArray[np.uint64] | Hashes, frames: Frames, bins: NDArray[np.uint32],
    known: NDArray[np.uint64], known_frames: Frames, known_sounds: NDArray[np.int32],
) -> tuple[int, int, int] | None:  # fmt: skip
    """(sound, agreeing pairs, shift in frames) of the known sound that agrees best; None where none does.

    `known` is sorted; `known_frames` and `known_sounds` say of each hash when and in which sound it comes. `bins` are
    the frequencies of what is asked: agreement on fewer than MIN_FREQUENCIES of them is a tone, and no voice.
    """
    first, last = np.searchsorted(known, asked, "left"), np.searchsorted(known, asked, "right")
    counts = last - first
    total = int(counts.sum())
    if not total:
        return None
    of_asked = np.repeat(np.arange(len(asked)), counts)
    place = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
    shift = known_frames[place].astype(np.int64) - frames[of_asked]
    key = known_sounds[place].astype(np.int64) * (1 << 32) + shift + (1 << 31)
    votes, per_vote = np.unique(key, return_counts=True)
    # Half a frame of shift splits the votes between neighbours.
    together = per_vote.copy()
    beside = np.flatnonzero(np.diff(votes) == 1)
    together[beside] += per_vote[beside + 1]
    together[beside + 1] += per_vote[beside]
    best = int(np.argmax(together))
    agreeing = np.abs(key - votes[best]) <= 1
    if len(np.unique(bins[of_asked[agreeing]])) < MIN_FREQUENCIES:
        return None
    sound, moved = divmod(int(votes[best]), 1 << 32)
    return sound, int(together[best]), moved - (1 << 31)
