"""Mains hum, told from voices and music by what only the mains do: they keep one frequency for seconds on end."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from schemas.sound import ANALYSIS_RATE_HZ, Samples
from transforms.channel import ChannelConfig, Floats, Framed

_MAINS_HZ = (50.0, 60.0)
_HARMONICS = 6
_OFF = np.arange(-50, 51) * 1e-4
"""Shares by which the mains, and a recorder's clock, may be off: half a per cent."""
_DRIFT = 5
"""Steps of `_OFF` that they may move from one stretch to the next."""

_FACTOR = 16
_LOW_HZ = ANALYSIS_RATE_HZ // _FACTOR
_PASSED = 0.8
"""Of half the low rate, so that what lies over it does not fold down on the sixth harmonic."""
_PHASES = 6
_PIECE = 2_048
_WHOLE, _LEAST = 4, 2
"""Pieces in a stretch (8.2 s), and in the shortest that is measured (4.1 s)."""
_DENSE, _STRIDE, _KEPT = 4, 4, 512

_FRAME, _HOP = 256, 32
_AROUND = 13
"""Frames (0.4 s) whose mean power weighs the middle one."""
_SILENT = 1e-6
"""Power, of the strongest, under which a frame is digital silence and has no say."""
_POINTS = 1_024
_BESIDE_HZ = (1.0, 3.0)
_QUIET = 1e-9
"""Mean power of a stretch below which it is digital silence, and says nothing of hum."""
_NOTHING_DB = 3.0
"""What the best of so many frequencies reaches, or nearly, where there is no hum at all."""


class HumMeter:
    """Mains hum: a tone at 50 or 60 Hz with five harmonics, one frequency through pauses and words alike.

    Stretches of 8.2 s of the 16 kHz track: the first four, then every fourth. In each, every harmonic is heard with a
    weight that falls with what sounds around it, so that pauses count and words hardly do, and over the whole
    stretch at once: a tone that keeps its phase gathers in an eighth of a hertz, a voice of the same pitch does not.
    Over all stretches a low quantile leaves what is always there. When 512 are kept, every second one is dropped, and
    from then on only every second taken.
    """

    def __init__(self, config: ChannelConfig) -> None:
        self._quantile = config.hum_quantile
        self._framed = Framed(_FACTOR * _PIECE)
        self._pieces: list[Floats] = []
        self._kept: list[Floats] = []
        self._stride = _STRIDE
        self._seen = 0

    def feed(self, samples: Samples) -> None:
        """`samples` at 16 kHz, full scale 1, shape (n,)."""
        for piece in self._framed.whole(samples).reshape(-1, _FACTOR * _PIECE):
            stretch, self._seen = self._seen // _WHOLE, self._seen + 1
            if stretch >= _DENSE and stretch % self._stride:
                continue
            self._pieces.append(_decimated(piece))
            if len(self._pieces) == _WHOLE:
                self._close()

    def _close(self) -> None:
        low, self._pieces = _joined(self._pieces), []
        if not _is_silent(low):
            self._kept.append(_standing_out(low))
        if len(self._kept) >= _KEPT:
            self._kept = self._kept[::2]
            self._stride *= 2

    def hum_db(self) -> float | None:
        """How far six harmonics stand out of what is beside them on average, the stronger of 50 and 60 Hz, to 0.1 dB.

        Around 0, up to 4: no hum. None with less than 4.1 s that are not digital silence.
        """
        kept = self._kept
        if not kept and len(self._pieces) >= _LEAST:
            low = _joined(self._pieces)
            kept = [] if _is_silent(low) else [_standing_out(low)]
        if not kept:
            return None
        steady = np.quantile(np.stack(kept), self._quantile, axis=0)
        return round(float(steady.max()) - _NOTHING_DB, 1) + 0.0


def _decimated(piece: Samples) -> Floats:
    """A piece of 2 s at 1 kHz, with what its filter rings over its end; shape (_PIECE + _PHASES - 1,)."""
    parts = piece.reshape(_PIECE, _FACTOR) @ _low_pass()
    low = np.zeros(_PIECE + _PHASES - 1, np.float32)
    for phase in range(_PHASES):
        late = _PHASES - 1 - phase
        low[late : late + _PIECE] += parts[:, phase]
    return low


@cache
def _low_pass() -> NDArray[np.float32]:
    """A windowed sinc, shape (_FACTOR, _PHASES)."""
    taps = np.arange(_PHASES * _FACTOR) - (_PHASES * _FACTOR - 1) / 2
    kernel = np.sinc(_PASSED * taps / _FACTOR) * np.hanning(taps.size)
    return np.asarray((kernel / kernel.sum()).reshape(-1, _FACTOR).T, np.float32)


def _joined(pieces: Sequence[Floats]) -> Floats:
    """Pieces in a row as one, each one's end under the next one's beginning; without its mean."""
    low = np.zeros(len(pieces) * _PIECE + _PHASES - 1, np.float32)
    for n, piece in enumerate(pieces):
        low[n * _PIECE : n * _PIECE + piece.size] += piece
    whole = low[: len(pieces) * _PIECE]
    return np.asarray(whole - whole.mean(), np.float32)


def _is_silent(low: Floats) -> bool:
    return not float(np.mean(np.square(low))) > _QUIET


def _standing_out(low: Floats) -> Floats:
    """Per mains and share that it is off, how far its harmonics stand out, dB; shape (2, len(_OFF)).

    `low` is at 1 kHz, shape (n,). The amplitude of a harmonic over that of what is 1 to 3 Hz beside it, in the spectrum
    of the weighted stretch, averaged over harmonics, which makes less of one strong tone than of several. The highest
    within `_DRIFT` steps.
    """
    spectrum = np.fft.fft(_weighted(_harmonics(low)), _POINTS)
    power = spectrum.real**2 + spectrum.imag**2
    line, beside = _bins()
    # The median of what is exponentially distributed, to its mean.
    floor = np.median(power[:, beside], axis=1) / np.log(2)
    ratio = np.take_along_axis(power, line, axis=1) / np.maximum(floor, 1e-30)[:, None]
    found = 20 * np.log10(np.sqrt(ratio).reshape(len(_MAINS_HZ), _HARMONICS, -1).mean(axis=1) + 1e-6)
    padded = np.pad(found, ((0, 0), (_DRIFT, _DRIFT)), mode="edge")
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, 2 * _DRIFT + 1, axis=1).max(axis=2))


def _harmonics(low: Floats) -> NDArray[np.complexfloating]:
    """Each harmonic, brought to 0 Hz, 31 times a second within 8 Hz; shape (2 * _HARMONICS, frames)."""
    frames = np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(low, _FRAME)[::_HOP])
    kernel, back = _tones()
    both = (frames @ kernel).T
    n = len(both) // 2
    return np.asarray((both[:n] + 1j * both[n:]) * back[:, : both.shape[1]])


def _weighted(tones: NDArray[np.complexfloating]) -> NDArray[np.complexfloating]:
    """Frames over the mean power around them, faded in and out: hum is best heard where little else sounds."""
    power = tones.real**2 + tones.imag**2
    sums = np.cumsum(np.pad(power, ((0, 0), (_AROUND // 2 + 1, _AROUND // 2)), mode="edge"), axis=1)
    level = (sums[:, _AROUND:] - sums[:, :-_AROUND]) / _AROUND
    is_heard = level > _SILENT * level.max(axis=1, keepdims=True)
    weight = np.where(is_heard, np.hanning(tones.shape[1] + 2)[1:-1] / np.where(is_heard, level, 1), 0)
    return np.asarray(tones * weight)


@cache
def _tones() -> tuple[NDArray[np.float32], NDArray[np.complex64]]:
    """What windowed frames are multiplied with, the real parts of all tones and then the imaginary ones, shape
    (_FRAME, 2 * tones), and what turns the phase of each frame back, shape (tones, frames of a whole stretch)."""
    tones = _tones_hz()
    turn = np.exp(-2j * np.pi / _LOW_HZ * np.outer(np.arange(_FRAME), tones)) * np.hanning(_FRAME + 2)[1:-1, None]
    begun = np.arange(0, _WHOLE * _PIECE, _HOP)
    back = np.exp(-2j * np.pi / _LOW_HZ * np.outer(tones, begun))
    return np.concatenate([turn.real, turn.imag], axis=1).astype(np.float32), back.astype(np.complex64)


@cache
def _bins() -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Bins of each harmonic by how far the mains are off, shape (tones, len(_OFF)), and those beside it."""
    hz = np.fft.fftfreq(_POINTS, _HOP / _LOW_HZ)
    line = np.rint(np.outer(_tones_hz(), _OFF) / hz[1]).astype(np.intp) % _POINTS
    nearest, furthest = _BESIDE_HZ
    return line, np.flatnonzero((np.abs(hz) > nearest) & (np.abs(hz) < furthest))


def _tones_hz() -> NDArray[np.float64]:
    """Frequencies of all harmonics, those of 50 Hz first."""
    return np.outer(_MAINS_HZ, np.arange(1, _HARMONICS + 1)).ravel()
