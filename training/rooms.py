"""Room responses whose answers follow from the response itself (ISO 3382-1), and simulated rooms as many as wanted.

`c50_db`, `rt60_s` and `drr_db` measure any response, measured or made; `simulated(rng)` draws a room, a source and a
microphone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.sound import ANALYSIS_RATE_HZ as RATE
from schemas.sound import Samples

Array = NDArray[np.float64]
Rng = np.random.Generator

SOUND_M_S = 343.0
RT60_RANGE_S = (0.15, 4.0)
_COMMON_RT60_S, _COMMON_SPREAD = 0.5, 0.45
"""Of half of the rooms, such as people sit in, homes, offices and classrooms: the median, and the spread of its
logarithm. Where noise hides a decay, what is common is the best guess. The other half is spread over all the range."""
_LEAST_RANGE = 1e4
"""Of the loudest 10 ms to the noise at the end: 35 dB of decay, and what it takes to see where they end."""
_OCTAVES_HZ = (125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0)


@dataclass(frozen=True, slots=True)
class Response:
    """A room's response at 16 kHz that starts with the direct sound, and what is true of it."""

    samples: Samples
    c50_db: float
    rt60_s: float
    drr_db: float


def response_of(samples: NDArray[np.floating]) -> Response | None:
    """A response cut to its direct sound, with its answers; None where its decay cannot be read over 30 dB."""
    direct = onset(samples)
    kept = np.asarray(samples, np.float64)[max(0, direct - RATE // 1000) :]
    time_s = rt60_s(kept)
    if time_s is None:
        return None
    return Response(kept.astype(np.float32), c50_db(kept), time_s, drr_db(kept))


def onset(response: NDArray[np.floating]) -> int:
    """First sample within 20 dB of the highest: the direct sound's arrival, also where a reflection is louder."""
    size = np.abs(response)
    return int(np.argmax(size > 0.1 * size.max()))


def c50_db(response: NDArray[np.floating], rate_hz: int = RATE) -> float:
    """Clarity: energy of the first 50 ms from the direct sound on over the rest, dB; 60 where there is no rest."""
    energy = np.square(np.asarray(response, np.float64))[onset(response) :]
    split = round(0.05 * rate_hz)
    late = float(energy[split:].sum())
    return 60.0 if late <= 0 else float(min(10 * np.log10(energy[:split].sum() / late), 60.0))


def drr_db(response: NDArray[np.floating], rate_hz: int = RATE) -> float:
    """Energy within 2.5 ms of the direct sound over the rest, dB; 60 where there is no rest."""
    energy = np.square(np.asarray(response, np.float64))
    at, half = onset(response), round(0.0025 * rate_hz)
    late = float(energy[at + half :].sum())
    return 60.0 if late <= 0 else float(min(10 * np.log10(energy[max(0, at - half) : at + half].sum() / late), 60.0))


def rt60_s(response: NDArray[np.floating], rate_hz: int = RATE) -> float | None:
    """T30: time to fall by 60 dB, from the slope between −5 and −35 dB of the backward integral (Schroeder).

    Integration stops where the response sinks into its own noise, else the noise would lengthen the decay. None where
    that leaves less than 35 dB.
    """
    energy = np.square(np.asarray(response, np.float64))[onset(response) :]
    end = _above_noise(energy, rate_hz)
    backward = np.cumsum(energy[:end][::-1])[::-1]
    if not len(backward) or backward[0] <= 0:
        return None
    level = 10 * np.log10(backward / backward[0] + 1e-30)
    fits = (level <= -5) & (level >= -35)
    if level[-1] > -37 or np.count_nonzero(fits) < 8:
        return None
    slope = float(np.polyfit(np.nonzero(fits)[0] / rate_hz, level[fits], 1)[0])
    return -60 / slope if slope < 0 else None


def _above_noise(energy: Array, rate_hz: int) -> int:
    """Where 10 ms means come within 4 dB of the last tenth's, in samples; 0 where they are hardly above."""
    block = rate_hz // 100
    means = energy[: len(energy) // block * block].reshape(-1, block).mean(axis=1)
    if len(means) < 20:
        return len(energy)
    floor = means[-max(2, len(means) // 10) :].mean()
    if means.max() < _LEAST_RANGE * floor:
        return 0
    loud = np.nonzero(means > 2.5 * floor)[0]
    return int((loud[-1] + 1) * block) if len(loud) else len(energy)


def simulated(rng: Rng) -> Response:
    """A room drawn at random: image sources for what arrives early, then noise that decays band by band.

    T30 from 0.15 to 4 s with a spread over frequency, boxes from a booth to a hall, some with two slopes, direct sound
    from +10 to −15 dB of the rest, the loudspeaker's and the microphone's colour over all of it.
    """
    for _ in range(20):
        found = response_of(_drawn(rng))
        if found is not None and RT60_RANGE_S[0] * 0.7 < found.rt60_s < RT60_RANGE_S[1] * 1.2:
            return found
    raise RuntimeError("twenty rooms in a row had no decay of 35 dB")


def _drawn(rng: Rng) -> Array:
    time_s = float(np.exp(rng.uniform(*np.log(RT60_RANGE_S))))
    if rng.random() < 0.5:
        time_s = float(np.clip(_COMMON_RT60_S * np.exp(rng.normal(0, _COMMON_SPREAD)), *RT60_RANGE_S))
    # Long decays belong to large rooms, with a wide spread: bathrooms ring, and studios are large.
    longest = float(np.clip(3.5 * np.exp(rng.normal(0.8 * np.log(1 + 2 * time_s), 0.45)), 1.8, 45.0))
    box = np.array([longest, longest * rng.uniform(0.5, 1.0), max(2.0, longest * rng.uniform(0.25, 0.6))])
    early_s = float(np.clip(box.prod() ** (1 / 3) / SOUND_M_S * rng.uniform(1.5, 4.0), 0.012, 0.08))
    bands_s = time_s * _slope_over_bands(rng)
    n = int(min(1.15 * bands_s.max() + early_s + 0.05, 5.0) * RATE)
    early, energy_then = _early(box, bands_s, early_s, n, rng)
    tail = _tail(bands_s, n, rng)
    if rng.random() < 0.2:
        # Two coupled spaces: the second rings longer, and starts lower.
        tail += 10 ** (-rng.uniform(8, 25) / 20) * _tail(bands_s * rng.uniform(1.4, 2.5), n, rng)
    starts = np.clip((np.arange(n) / RATE - 0.4 * early_s) / (0.6 * early_s), 0, 1)
    level = np.sqrt(energy_then / max(float(np.mean(tail[: int(2 * early_s * RATE) + 1] ** 2)), 1e-20))
    response = early + tail * starts * level * 10 ** (rng.normal(0, 2.0) / 20)
    return _coloured(_with_drr(response, float(rng.triangular(-15.0, 1.0, 10.0))), rng)


def _slope_over_bands(rng: Rng) -> Array:
    """Decay time per octave over that of the middle: air and curtains shorten the top, thin walls the bottom."""
    octave = np.log2(np.array(_OCTAVES_HZ) / 1000)
    tilt = np.where(octave > 0, rng.normal(-0.18, 0.12), rng.normal(-0.02, 0.15)) * octave
    return np.asarray(np.exp(tilt + rng.normal(0, 0.08, len(octave))))


def _early(box: Array, bands_s: Array, early_s: float, n: int, rng: Rng) -> tuple[Array, float]:
    """Image sources (Allen and Berkley, 1979) up to `early_s`, and the power density where they end."""
    source, mic = (rng.uniform(0.08, 0.92, 3) * box for _ in range(2))
    surface = 2 * (box[0] * box[1] + box[1] * box[2] + box[0] * box[2])
    absorbed = np.clip(0.161 * box.prod() / (surface * np.median(bands_s)), 0.01, 0.95)
    reflected = np.sqrt(1 - np.clip(absorbed * np.exp(rng.normal(0, 0.4, (3, 2))), 0.01, 0.97))
    reach = float(np.linalg.norm(source - mic)) + early_s * 1.3 * SOUND_M_S
    axes = [_images(source[d], box[d], reflected[d], mic[d], reach) for d in range(3)]
    square = axes[0][0][:, None, None] + axes[1][0][None, :, None] + axes[2][0][None, None, :]
    gain = axes[0][1][:, None, None] * axes[1][1][None, :, None] * axes[2][1][None, None, :]
    near = square < reach**2
    distance, gain = np.sqrt(square[near]), gain[near]
    # Walls are rough and people stand in the way: no two reflections are the ideal image's.
    gain = gain / np.maximum(distance, 0.3) * np.exp(rng.normal(0, 0.25, len(gain)))
    first = distance.min()
    at = (distance - first) / SOUND_M_S * RATE * np.where(distance > first, np.exp(rng.normal(0, 0.01, len(gain))), 1)
    response = np.zeros(n)
    whole = at.astype(int)
    inside = whole < n - 1
    np.add.at(response, whole[inside], (gain * (1 - at + whole))[inside])
    np.add.at(response, whole[inside] + 1, (gain * (at - whole))[inside])
    last = slice(int(0.6 * early_s * RATE), int(1.1 * early_s * RATE) + 1)
    return response, float(np.mean(response[last] ** 2))


def _images(source: float, length: float, reflected: Array, mic: float, reach: float) -> tuple[Array, Array]:
    """Along one axis: squared distances of images to the microphone and the product of their reflections."""
    order = np.arange(-int(reach / (2 * length)) - 1, int(reach / (2 * length)) + 2)
    positions = np.concatenate([2 * order * length + source, 2 * order * length - source])
    low = np.concatenate([np.abs(order), np.abs(order - 1)])
    high = np.concatenate([np.abs(order), np.abs(order)])
    square = (positions - mic) ** 2
    kept = square < reach**2
    return square[kept], (reflected[0] ** low * reflected[1] ** high)[kept]


def _tail(bands_s: Array, n: int, rng: Rng) -> Array:
    """Noise whose octaves decay each in its own time."""
    t = np.arange(n) / RATE
    spectrum = np.fft.rfft(rng.standard_normal(n))
    frequency = np.fft.rfftfreq(n, 1 / RATE)
    apart = np.log2(np.maximum(frequency, 30.0))[:, None] - np.log2(np.array(_OCTAVES_HZ))
    share = np.clip(1 - np.abs(apart), 0, 1)
    share[frequency <= _OCTAVES_HZ[0], 0] = 1
    bands = np.fft.irfft(spectrum * share.T, n, axis=1)
    return np.asarray((bands * 10 ** (-3 * t / bands_s[:, None])).sum(axis=0))


def _with_drr(response: Array, asked_db: float) -> Array:
    """The direct sound scaled so that it is `asked_db` over the rest, within what keeps it first."""
    at, half = onset(response), round(0.0025 * RATE)
    scaled = response.copy()
    direct = slice(max(0, at - half), at + half)
    gain = 10 ** ((asked_db - drr_db(response)) / 20)
    scaled[direct] *= gain
    return scaled


def _coloured(response: Array, rng: Rng) -> Array:
    """Loudspeaker and microphone: a smooth curve over frequency, cut at the ends."""
    n = len(response)
    frequency = np.fft.rfftfreq(2 * n, 1 / RATE)
    points = np.log2([30, 60, 120, 250, 500, 1000, 2000, 4000, 8000])
    curve_db = np.interp(np.log2(np.maximum(frequency, 30)), points, rng.normal(0, 2.5, len(points)))
    curve_db -= 12 * np.log2(np.maximum(rng.uniform(30, 130) / np.maximum(frequency, 10), 1))
    return np.asarray(np.fft.irfft(np.fft.rfft(response, 2 * n) * 10 ** (curve_db / 20), 2 * n)[:n])
