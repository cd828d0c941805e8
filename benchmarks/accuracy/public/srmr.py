"""A modulation energy ratio after T. H. Falk, C. Zheng and W.-Y. Chan, A non-intrusive quality and intelligibility
measure of reverberant and dereverberated speech, IEEE TASLP 18(7), 2010.

Speech moves at 2 to 20 Hz; a room's tail moves as fast as noise does. The ratio of slow to fast modulation, over
gammatone bands, falls with reverberation. Its scale is its own: only the order of clips, or a line fitted to C50, says
anything.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from schemas.sound import ANALYSIS_RATE_HZ as RATE
from schemas.sound import Samples

BANDS = 23
LOWEST_HZ = 125.0
MODULATION_HZ = tuple(4.0 * 2 ** (5 * k / 7) for k in range(8))
"""Centres of eight modulation filters, 4 to 128 Hz."""
_Q = 2.0
_HIGHEST_HZ = 400.0

Array = NDArray[np.float64]


def srmr(samples: Samples) -> float | None:
    """Energy of modulation at 4–18 Hz over that at 29–128 Hz; None with less than a second."""
    n = len(samples) // (RATE // 4) * (RATE // 4)
    if n < RATE:
        return None
    spectrum = np.fft.rfft(samples[:n])
    energy = np.zeros(len(MODULATION_HZ))
    for centre_hz, width_hz in zip(_centres_hz(), _widths_hz(), strict=True):
        # The bins around the band's centre, as if they were all there is: their transform is the analytic signal at a
        # lower rate, and its size the envelope.
        half_hz = max(4 * width_hz, 500.0)
        low, high = max(0.0, centre_hz - half_hz), min(RATE / 2, centre_hz + half_hz)
        bins = np.arange(int(low * 4) // 64 * 16 * n // RATE, int(high * 4) // 64 * 16 * n // RATE)
        gammatone = (1 + ((bins * RATE / n - centre_hz) / width_hz) ** 2) ** -2.0
        envelope = np.abs(np.fft.ifft(spectrum[bins] * gammatone)) * len(bins)
        energy += _modulation_energy(envelope, RATE / n)
    return float(energy[:4].sum() / max(energy[4:].sum(), 1e-30))


def srmr_db(samples: Samples) -> float | None:
    ratio = srmr(samples)
    return None if ratio is None else float(10 * np.log10(max(ratio, 1e-6)))


def _modulation_energy(envelope: Array, bin_hz: float) -> Array:
    """Energy behind each modulation filter (second-order resonances of quality 2), shape (8,)."""
    spectrum = np.abs(np.fft.rfft(envelope * np.hanning(len(envelope))) / len(envelope)) ** 2
    hz = np.maximum(np.arange(len(spectrum)) * bin_hz, 1e-6)[None]
    centre = np.array(MODULATION_HZ)[:, None]
    gain = 1 / (1 + (_Q * (hz / centre - centre / hz)) ** 2)
    return np.asarray(gain[:, hz[0] <= _HIGHEST_HZ] @ spectrum[hz[0] <= _HIGHEST_HZ])


@cache
def _centres_hz() -> Array:
    """Equally far apart in equivalent rectangular bandwidths (Glasberg and Moore, 1990)."""
    low, high = (21.4 * np.log10(1 + 0.00437 * hz) for hz in (LOWEST_HZ, 0.46 * RATE))
    return np.asarray((10 ** (np.linspace(low, high, BANDS) / 21.4) - 1) / 0.00437)


def _widths_hz() -> Array:
    """Of fourth-order gammatone filters."""
    return np.asarray(1.019 * 24.7 * (1 + 0.00437 * _centres_hz()))
