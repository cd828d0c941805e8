"""Meters of damage and bandwidth, fed block by block while a recording is decoded.

`DamageMeter` hears every source channel at its own rate, for a downmix hides clipping and offset. `BandwidthMeter`, and
`HumMeter` beside this module, hear a track: what is cut into utterances. No meter grows with the recording, and the
length of a block changes nothing that is reported.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from schemas.model import Frozen
from schemas.sound import ANALYSIS_RATE_HZ
from transforms.channel_ceiling import CeilingMeter
from transforms.channel_dropouts import DropoutMeter
from transforms.channel_edge import cliff_hz

Floats = NDArray[np.floating]

_WHISTLE_HZ = 400
"""Half the width over which a spectrum is smoothed: wider than a single tone with the skirts of its window."""

_GRID = 32_768
"""Levels of clipped runs are kept on the 16-bit grid, so that their number is bounded."""


_PILE = 16
"""Samples in pairs at the highest level of all that make clipping."""


class ChannelConfig(Frozen):
    """What counts as clipped, as content and as hum."""

    clip_near_ratio: float = Field(
        0.005, ge=0, le=0.1, description="share of the observed full scale within which a flat run counts as clipped"
    )
    clip_min_level: float = Field(
        0.1, gt=0, le=1, description="lowest observed full scale at which flat runs are clipping, as a share of 1"
    )
    clip_min_run: int = Field(3, ge=2, le=64, description="equal samples in a row that make a clipped run")
    content_range_db: float = Field(
        80.0, ge=30, le=120, description="content is within this many dB of the strongest part of the spectrum, dB"
    )
    cliff_db: float = Field(
        12.0, ge=6, le=60, description="content also ends where the spectrum falls by this much to flat noise, dB"
    )
    hum_quantile: float = Field(
        0.25,
        ge=0.05,
        le=0.95,
        description="quantile over stretches of 8 s at which hum is read: what is always there, 0..1",
    )


class Framed:
    """Cuts a stream of blocks at multiples of `size`, whatever the length of each block."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.rest: Floats = np.empty(0, np.float32)

    def whole(self, block: Floats) -> Floats:
        """The samples that now make whole frames, shape (k * size,); the remainder waits for the next block."""
        joined = np.concatenate([self.rest, block]) if self.rest.size else block
        used = joined.size - joined.size % self.size
        self.rest = joined[used:].copy()
        return joined[:used]


class DamageMeter:
    """Peak, clipping, offset and dropouts of every channel of a recording."""

    def __init__(self, channels: int, config: ChannelConfig, sample_rate_hz: int = ANALYSIS_RATE_HZ) -> None:
        self.n_samples = 0
        self._min_level = config.clip_min_level
        self.high = np.zeros(channels)
        self.low = np.zeros(channels)
        self.sums = np.zeros(channels)
        self._flat = [(_FlatTops(config), _FlatTops(config)) for _ in range(channels)]
        self._ceilings = [CeilingMeter() for _ in range(channels)]
        self._dropouts = [DropoutMeter(sample_rate_hz) for _ in range(channels)]

    def feed(self, block: Floats, high: Floats, low: Floats) -> None:
        """`block` is finite, full scale 1, shape (channels, n); `high` and `low` are its extremes per channel."""
        self.n_samples += block.shape[1]
        np.maximum(self.high, high, out=self.high)
        np.minimum(self.low, low, out=self.low)
        self.sums += block.sum(axis=1, dtype=block.dtype)
        for samples, top, bottom, (above, below) in zip(block, high, low, self._flat, strict=True):
            above.feed(samples, float(top), 1)
            below.feed(samples, -float(bottom), -1)
        for samples, top, bottom, ceiling, dropouts in zip(
            block, high, low, self._ceilings, self._dropouts, strict=True
        ):
            ceiling.feed(samples)
            dropouts.feed(samples, max(float(top), -float(bottom)))

    def measured(self, channels: Sequence[int]) -> tuple[float | None, float | None, float | None]:
        """`(peak_dbfs, clipping_ratio, dc_offset)`: the worst of `channels`. Peak to 0.01 dB, the others to 1e-6.

        Clipped are samples in flat tops, or at a ceiling under which levels crowd, whichever are more.
        """
        if not self.n_samples:
            return None, None, None
        peak = max(max(self.high[channel], -self.low[channel]) for channel in channels)
        clipped = max(self._clipped_ratio(channel) for channel in channels)
        offset = max((float(self.sums[channel]) / self.n_samples for channel in channels), key=abs)
        peak_dbfs = round(20 * float(np.log10(peak)), 2) + 0.0 if peak > 0 else None
        return peak_dbfs, round(clipped, 6), round(offset, 6) + 0.0

    def _clipped_ratio(self, channel: int) -> float:
        flat = sum(side.clipped() for side in self._flat[channel]) / self.n_samples
        return max(flat, self._ceilings[channel].clipped_ratio(self._min_level))

    def dropout_ratio(self, channels: Sequence[int]) -> float | None:
        """Share of samples in dropouts, the worst of `channels`, to 1e-6; None of nothing."""
        if not self.n_samples:
            return None
        return round(max(self._dropouts[channel].dropped() for channel in channels) / self.n_samples, 6)


class _FlatTops:
    """Samples of one channel and one sign in runs of equal samples near the highest level seen."""

    def __init__(self, config: ChannelConfig) -> None:
        self._config = config
        self._full_scale = 0.0
        self._samples_at: dict[int, int] = {}
        self._pairs_at: tuple[int, int] = (0, 0)
        """The highest level that two samples in a row had, and how many samples had it so."""
        self._open: tuple[float, int] = (0.0, 0)
        """Level and length of the run that reaches the end of the last block."""

    @property
    def _near(self) -> float:
        return max(self._full_scale * (1 - self._config.clip_near_ratio), self._config.clip_min_level)

    def feed(self, samples: Floats, top: float, sign: int) -> None:
        # The threshold only rises, so every run that counts in the end was found when it passed.
        self._full_scale = max(self._full_scale, min(top, 1.0))
        near = self._near
        if top < near:
            self._close()
            return
        at = np.flatnonzero(samples >= near) if sign > 0 else np.flatnonzero(samples <= -near)
        # What lies beyond full scale (an overshoot of a lossy codec) is flat once it is stored.
        levels = np.minimum(samples[at] if sign > 0 else -samples[at], 1.0)
        starts = np.flatnonzero(np.concatenate([[True], (np.diff(at) != 1) | (np.diff(levels) != 0)]))
        lengths = np.diff(np.concatenate([starts, [at.size]]))
        runs = levels[starts]
        level, waiting = self._open
        if waiting and at[0] == 0 and runs[0] == level:
            lengths[0] += waiting
        else:
            self._close()
        self._open = (0.0, 0)
        if at[-1] == samples.size - 1:
            self._open = (float(runs[-1]), int(lengths[-1]))
            runs, lengths = runs[:-1], lengths[:-1]
        long = lengths >= self._config.clip_min_run
        self._count(runs[long], lengths[long])
        self._count_pairs(runs[(lengths == 2) & ~long])

    def _count(self, levels: Floats, lengths: NDArray[np.intp]) -> None:
        for level, length in zip(np.floor(levels * _GRID).astype(int).tolist(), lengths.tolist(), strict=True):
            self._samples_at[level] = self._samples_at.get(level, 0) + length
        if len(self._samples_at) > _GRID // 64:
            lowest = int(np.floor(self._near * _GRID))
            self._samples_at = {level: count for level, count in self._samples_at.items() if level >= lowest}

    def _count_pairs(self, levels: Floats) -> None:
        if not levels.size:
            return
        at = np.floor(levels * _GRID).astype(int)
        top, count = self._pairs_at
        if at.max() > top:
            top, count = int(at.max()), 0
        self._pairs_at = top, count + 2 * int(np.count_nonzero(at == top))

    def _close(self) -> None:
        level, length = self._open
        self._open = (0.0, 0)
        if length >= self._config.clip_min_run:
            self._count(np.array([level]), np.array([length]))
        elif length == 2:
            self._count_pairs(np.array([level]))

    def clipped(self) -> int:
        """Samples in clipped runs so far."""
        self._close()
        lowest = int(np.floor(self._near * _GRID))
        # A clipped peak of speech at 16 kHz is two samples wide: pairs count where many of them share the very top.
        top, pairs = self._pairs_at
        is_piled = pairs >= _PILE and top >= int(np.floor(self._full_scale * _GRID)) and top >= lowest
        return sum(count for level, count in self._samples_at.items() if level >= lowest) + pairs * is_piled


class BandwidthMeter:
    """The highest frequency with content: tells upsampled and lossy material from true bandwidth.

    Power spectra of some windows of about 20 ms (a power of two of samples): the first 16, then every 16th up to the
    1,024th (some 20 s), then one in four seconds. They are summed in four groups in turn, and content must show in two
    of them: one click is not content.
    """

    _DENSE, _SPARSE, _STEP = 16, 1_024, 16
    _GROUPS = 4

    def __init__(self, sample_rate_hz: int, floor_db: float, config: ChannelConfig) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.size = 1 << max(6, round(float(np.log2(sample_rate_hz * 0.02))))
        self._floor = 10.0 ** (floor_db / 10)
        self._range = 10.0 ** (-config.content_range_db / 10)
        self._cliff_db = config.cliff_db
        window = _blackman_harris(self.size)
        # White noise of power p then reads p in every bin, whatever the window's size.
        self._window = window / np.sqrt(np.sum(window**2))
        self._framed = Framed(self.size)
        self._stride = max(self._STEP, round(4 * sample_rate_hz / self.size))
        self._power = np.zeros((self._GROUPS, self.size // 2 + 1))
        self._taken = np.zeros(self._GROUPS, np.int64)
        self._seen = self._count = 0

    def feed(self, samples: Floats) -> None:
        """`samples` of the track at its own rate, full scale 1, shape (n,)."""
        frames = self._framed.whole(samples).reshape(-1, self.size)
        index = np.arange(self._seen, self._seen + len(frames))
        self._seen += len(frames)
        step = np.where(index < self._SPARSE, self._STEP, self._stride)
        wanted = np.flatnonzero((index < self._DENSE) | (index % step == 0))
        spectra = np.fft.rfft(frames[wanted].astype(np.float32, copy=False) * self._window)
        power = spectra.real**2 + spectra.imag**2
        group = np.arange(self._count, self._count + wanted.size) % self._GROUPS
        self._count += wanted.size
        for member in range(self._GROUPS):
            self._power[member] += power[group == member].sum(axis=0)
            self._taken[member] += np.count_nonzero(group == member)

    def bandwidth_hz(self) -> float | None:
        """To 50 Hz; None when shorter than two windows, or when nothing reaches the floor."""
        if self._count < 2:
            return None
        used = self._taken > 0
        means = np.sort(self._power[used] / self._taken[used, None], axis=0)
        smooth = _median_smoothed(means[-2], max(1, round(_WHISTLE_HZ * self.size / self.sample_rate_hz)))
        content = np.flatnonzero(smooth > max(self._floor, float(smooth.max()) * self._range))
        if not content.size:
            return None
        nyquist, bin_hz = self.sample_rate_hz / 2, self.sample_rate_hz / self.size
        edge = (int(content[-1]) + 0.5) * bin_hz
        cliff = cliff_hz(smooth, bin_hz, self._cliff_db)
        edge = edge if cliff is None else min(edge, cliff)
        return round(nyquist, 1) if edge > 0.97 * nyquist else 50.0 * round(edge / 50)


def _blackman_harris(size: int) -> NDArray[np.float32]:
    """Four terms (Harris 1978): skirts of -92 dB, where those of a Hann window would pass for content."""
    turn = 2 * np.pi * np.arange(size) / size
    terms = (0.35875, -0.48829, 0.14128, -0.01168)
    return np.asarray(sum(term * np.cos(k * turn) for k, term in enumerate(terms)), np.float32)


def _median_smoothed(power: Floats, half: int) -> Floats:
    """Running median over 2·half + 1 bins: a whistle or a pilot tone alone is no bandwidth."""
    padded = np.pad(power, half, mode="edge")
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=1))
