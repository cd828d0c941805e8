"""What lies between a mouth and a file: microphones, bandwidths, telephone lines, and what a recorder does wrong.

`through_one_channel` is heard by speech and noise alike, before their ratio is set; `damaged` and `telephoned` do what
they do to the mixture, and leave the ratio what it was said to be.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft

from schemas.sound import ANALYSIS_RATE_HZ as RATE
from schemas.sound import Samples

Rng = np.random.Generator
Gain = NDArray[np.floating]

_POINTS = np.log([40, 100, 250, 600, 1500, 4000, 8000])


def through_one_channel(rng: Rng, speech: Samples, noise: Samples, is_line: bool) -> tuple[Samples, Samples]:
    """Both through the same microphone and bandwidth, which changes their ratio: it is set afterwards. `is_line` is a
    telephone's, which always cuts both ends."""
    if not is_line and rng.random() < 0.45:
        return _drifting(rng, speech), noise
    n = next_fast_len(len(speech), real=True)
    frequency = np.fft.rfftfreq(n, 1 / RATE)
    gain_db = np.interp(np.log(np.maximum(frequency, 40)), _POINTS, rng.normal(0, 4, len(_POINTS)))
    gain_db += _line_db(rng, frequency) if is_line else _ends_db(rng, frequency)
    gain = (10 ** (gain_db / 20)).astype(np.float32)
    both = irfft(rfft(np.stack([speech, noise]), n) * gain, n)[:, : len(speech)]
    return _drifting(rng, both[0]), both[1]


def _ends_db(rng: Rng, frequency: Gain) -> Gain:
    """Now and then without the top, or the bottom, or both."""
    gain_db = np.zeros(len(frequency))
    if rng.random() < 0.35:
        cut_hz = float(rng.choice([3400, 3800, 4000, 5500, 7000])) * rng.uniform(0.95, 1.05)
        gain_db -= np.clip((frequency - cut_hz) / cut_hz * rng.uniform(200, 2000), 0, 90)
    if rng.random() < 0.25:
        low_hz = rng.uniform(80, 350)
        gain_db -= rng.choice([6, 12, 24]) * np.log2(np.maximum(low_hz / np.maximum(frequency, 10), 1))
    return gain_db


def _line_db(rng: Rng, frequency: Gain) -> Gain:
    """A telephone's band, from 100–380 Hz to 3.1–3.9 kHz."""
    low_hz, high_hz = rng.uniform(100, 380), rng.uniform(3100, 3900)
    below = rng.choice([12, 24, 48]) * np.log2(np.maximum(low_hz / np.maximum(frequency, 10), 1))
    above = (frequency - high_hz) / high_hz * rng.uniform(300, 2000)
    return np.asarray(-np.clip(below, 0, 90) - np.clip(above, 0, 120))


def _drifting(rng: Rng, speech: Samples) -> Samples:
    """Now and then a speaker who turns away, or whose level falls at the end of a phrase."""
    if rng.random() > 0.2:
        return speech
    points = max(3, len(speech) // RATE)
    level_db = np.interp(np.linspace(0, points - 1, len(speech)), np.arange(points), rng.normal(0, 3, points))
    return np.asarray(speech * 10 ** (level_db / 20), np.float32)


def damaged(rng: Rng, mixed: Samples) -> Samples:
    """What a recorder may do to all of it: rumble, clipping, companding, coarse steps, a lossy codec."""
    peak = float(np.abs(mixed).max()) or 1.0
    if rng.random() < 0.12:
        mixed = mixed + _rumble(rng, len(mixed)) * np.float32(peak * 10 ** (-rng.uniform(0, 30) / 20))
    kind = rng.random()
    if kind < 0.05:
        return np.clip(mixed, -peak * rng.uniform(0.2, 0.8), peak * rng.uniform(0.2, 0.8)).astype(np.float32)
    if kind < 0.07:
        return _companded(mixed / peak, float(rng.uniform(0.05, 1.0)))
    if kind < 0.10:
        return _lossy(rng, mixed / peak * np.float32(0.7))
    if kind < 0.30:
        # As resampled or decoded: nothing fills the bands that are empty.
        return mixed
    level = np.float32(10 ** (rng.uniform(-45, -3) / 20) / peak)
    # 16 bits, with the dither of a converter.
    return np.round(mixed * level * 32767 + rng.uniform(-0.5, 0.5, len(mixed))).astype(np.float32) / np.float32(32767)


def telephoned(rng: Rng, mixed: Samples) -> Samples:
    """Through a line of 8 kHz and back: eight bits (G.711) at some level, sixteen, or as they were."""
    n = next_fast_len((len(mixed) + 1) // 2, real=True) * 2
    spectrum = rfft(mixed, n)
    half = np.asarray(irfft(spectrum[: n // 4 + 1], n // 2), np.float32)
    half *= np.float32(10 ** (rng.uniform(-30, -1) / 20) / (float(np.abs(half).max()) or 1.0))
    kind = rng.random()
    if kind < 0.5:
        half = _companded(half, 1.0)
    elif kind < 0.75:
        half = np.round(half * 32767).astype(np.float32) / np.float32(32767)
    narrow = np.zeros(n // 2 + 1, np.complex64)
    narrow[: n // 4] = rfft(half)[: n // 4]
    return np.asarray(irfft(narrow, n)[: len(mixed)], np.float32)


def _companded(samples: Samples, level: float) -> Samples:
    """Through the 256 steps of the µ law, where 1 is full scale."""
    scaled = np.clip(samples * np.float32(level), -1, 1)
    coded = np.round(np.sign(scaled) * np.log1p(255 * np.abs(scaled)) / np.log(256) * 127) / 127
    return np.asarray(np.sign(coded) * np.expm1(np.abs(coded) * np.log(256)) / 255, np.float32)


def _rumble(rng: Rng, n: int) -> Samples:
    """Wind, handling, a lift: below 45 Hz, of unit power."""
    whole = next_fast_len(n, real=True)
    gain = 1 / (1 + (np.fft.rfftfreq(whole, 1 / RATE) / rng.uniform(10, 35)) ** 8)
    made = irfft(rfft(rng.standard_normal(whole, np.float32)) * gain.astype(np.float32), whole)[:n]
    return np.asarray(made / max(float(np.sqrt(np.mean(made**2))), 1e-9), np.float32)


def _lossy(rng: Rng, samples: Samples) -> Samples:
    """Through MP3 and back, in place."""
    import soundfile

    file = io.BytesIO()
    level = float(rng.uniform(0.2, 0.95))
    soundfile.write(file, samples, RATE, "MPEG_LAYER_III", format="MP3", compression_level=level)
    file.seek(0)
    decoded = soundfile.read(file, dtype="float32")[0]
    late = max(0, len(decoded) - len(samples))
    # The encoder's delay, where the decoder has not taken it off already.
    return np.resize(decoded[min(late, 1105) :], len(samples)).astype(np.float32)
