"""Dropouts: samples that a lost buffer left at zero, or held at one value, in the midst of sound."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

MIN_S, MAX_S = 0.002, 1.0
"""Shorter runs of equal samples happen by themselves; longer ones are pauses that somebody made."""
_EDGE_S = 0.002
_RANGE_DB = 40
"""A dropout has sound on both sides: a sample within this many dB of the recording's peak, 2 ms away at most."""
_BINS = 128
_AROUND = 8
"""Edges that are looked back at for what is louder."""


class DropoutMeter:
    """Share of one channel's samples that are in dropouts: runs of 2 ms to 1 s of exactly equal samples with sound at
    both edges. A non-zero run that its neighbours leave on one side only is a clipped top, and does not count.

    What a lossy codec has heard since is no longer equal and is not found. Keeps a second of sound; the length of a
    block changes nothing.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._step = max(2, int(MIN_S * sample_rate_hz) // 4)
        self._shortest, self._longest = 4 * self._step, round(MAX_S * sample_rate_hz)
        self._edge = max(2, round(_EDGE_S * sample_rate_hz))
        self._kept: list[Floats] = []
        self._n_kept = self._n_new = 0
        self._peak = 0.0
        self._by_level = np.zeros(_BINS, np.int64)
        """Samples in runs by the level of their quieter edge, in whole dB under full scale."""

    def feed(self, samples: Floats, peak: float) -> None:
        """`samples` of the channel, shape (n,), full scale 1, and their highest absolute value."""
        self._peak = max(self._peak, peak)
        self._kept.append(samples.copy())
        self._n_kept += samples.size
        self._n_new += samples.size
        if self._n_new >= self._longest:
            self._look()

    def dropped(self) -> int:
        """Samples in dropouts so far."""
        if self._n_new:
            self._look()
        if not self._peak:
            return 0
        quietest = _RANGE_DB - 20 * float(np.log10(self._peak))
        return int(self._by_level[: max(0, min(_BINS, int(quietest) + 1))].sum())

    def _look(self) -> None:
        """Counts the runs whose far edge has arrived since the last look."""
        sound = np.concatenate(self._kept)
        # A run is counted once: when the last sample of its far edge is new.
        before = sound.size - self._n_new
        for start, end in self._runs(sound):
            if not _AROUND * self._edge <= start or not before < end + self._edge <= sound.size:
                continue
            if self._shortest <= end - start <= self._longest and not self._is_top(sound, start, end):
                self._by_level[self._edge_level(sound, start, end)] += end - start
        keep = self._longest + (_AROUND + 1) * self._edge + 2
        self._kept = [sound[-keep:].copy()]
        self._n_kept, self._n_new = self._kept[0].size, 0

    def _runs(self, sound: Floats) -> list[tuple[int, int]]:
        """Every run of equal samples, as long as `_shortest` or longer: found at every `_step`th sample."""
        at = sound[:: self._step]
        is_equal = np.concatenate([[False], at[1:] == at[:-1], [False]])
        turns = np.flatnonzero(is_equal[1:] != is_equal[:-1])
        first, last = turns[::2], turns[1::2]
        long = last - first >= 2
        found = []
        for begin, finish in zip((first[long] * self._step).tolist(), (last[long] * self._step).tolist(), strict=True):
            value = sound[begin]
            # Equal at every step and not between: a tone that fits the step.
            if (sound[begin : finish + 1] != value).any():
                continue
            lead = np.flatnonzero(sound[max(0, begin - self._step) : begin][::-1] != value)
            tail = np.flatnonzero(sound[finish : finish + self._step + 1] != value)
            start = begin - (int(lead[0]) if lead.size else min(begin, self._step))
            end = finish + (int(tail[0]) if tail.size else min(sound.size - finish, self._step + 1))
            found.append((start, end))
        return found

    def _edge_level(self, sound: Floats, start: int, end: int) -> int:
        before = float(np.abs(sound[start - self._edge : start]).max())
        after = float(np.abs(sound[end : end + self._edge]).max())
        quieter = max(min(before, after), 1e-6)
        return int(np.clip(-20 * np.log10(quieter), 0, _BINS - 1))

    def _is_top(self, sound: Floats, start: int, end: int) -> bool:
        """A flat top: as far from zero as anything around it, and the sound comes from one side and goes back to it."""
        value, before, after = float(sound[start]), float(sound[start - 1]), float(sound[end])
        if value == 0 or (before - value) * (after - value) <= 0:
            return False
        around = np.concatenate([sound[start - _AROUND * self._edge : start], sound[end : end + self._edge]])
        return bool(np.abs(around).max() <= 1.05 * abs(value))
