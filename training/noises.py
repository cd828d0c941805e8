"""Noises, as unlike each other as can be made: real ones changed, voices heaped up, and made ones of many kinds.

Variety of noise limits a blind estimate of SNR before anything else does, and a handful of recordings is not variety.
So real ones are played faster, slower and backwards, cut into grains and laid anew, and lend their spectra to noise;
and most of what is heard in training was never recorded at all. `draw(rng, n, sources)` gives one of unit power.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.sound import ANALYSIS_RATE_HZ as RATE
from schemas.sound import Samples
from training.mixtures import as_long, high_passed, in_room

Array = NDArray[np.float64]
Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Sources:
    """What is real in training noise: recordings, music, voices, room noise of pauses, and rooms to put them in."""

    noises: Sequence[Samples]
    music: Sequence[Samples]
    voices: Sequence[Samples]
    floors: Sequence[Samples]
    """Pauses of recordings: what microphones hear when nobody speaks."""
    responses: Sequence[Samples]


def draw(rng: Rng, n: int, sources: Sources) -> Samples:
    """`n` samples of one kind of noise, now and then of two, above 60 Hz, of unit power."""
    made = _one(rng, n, sources)
    if rng.random() < 0.3:
        made = made + 10 ** (rng.uniform(-12, 0) / 20) * _one(rng, n, sources)
    if rng.random() < 0.1:
        made = made * swelling(n, rng)
    if rng.random() < 0.35:
        made = equalised(made, rng)
    if len(sources.responses) and rng.random() < 0.25:
        made = np.asarray(in_room(np.asarray(made, np.float32), _any(rng, sources.responses)), np.float64)
    return _unit(high_passed(np.asarray(made, np.float32))).astype(np.float32)


def _one(rng: Rng, n: int, sources: Sources) -> Array:
    kinds: tuple[tuple[float, Callable[[], NDArray[np.floating]]], ...] = (
        (0.20, lambda: replayed(_any(rng, sources.noises), n, rng)),
        (0.08, lambda: grains(_any(rng, sources.noises), n, rng)),
        (0.06, lambda: grains(_any(rng, sources.floors), n, rng)),
        (0.06, lambda: replayed(_any(rng, sources.music), n, rng)),
        (0.05, lambda: grains(_any(rng, sources.music), n, rng)),
        (0.10, lambda: shaped_like(_any(rng, _either(rng, sources)), n, rng)),
        (0.09, lambda: babble(n, rng, sources)),
        (0.12, lambda: coloured(n, rng)),
        (0.09, lambda: coloured(n, rng) * swelling(n, rng)),
        (0.05, lambda: by_bands(n, rng)),
        (0.04, lambda: hum(n, rng)),
        (0.03, lambda: grains(_any(rng, sources.voices), n, rng)),
        (0.05, lambda: events(n, rng, knock)),
        (0.03, lambda: events(n, rng, chirp)),
        (0.03, lambda: events(n, rng, cry)),
        (0.07, lambda: series(n, rng, (knock, chirp, cry)[int(rng.integers(3))])),
        (0.03, lambda: crackle(n, rng)),
    )
    chances = np.array([chance for chance, _ in kinds])
    return _unit(np.asarray(kinds[int(rng.choice(len(kinds), p=chances / chances.sum()))][1](), np.float64))


def replayed(recording: Samples, n: int, rng: Rng) -> Samples:
    """A stretch of a recording at another speed, perhaps backwards."""
    import soxr

    speed = float(np.exp(rng.uniform(np.log(0.6), np.log(1.7))))
    wanted = round(n * speed) + 64
    start = int(rng.integers(0, max(1, len(recording) - wanted)))
    piece = recording[start : start + wanted]
    if rng.random() < 0.15:
        piece = piece[::-1]
    return as_long(np.asarray(soxr.resample(piece, speed * RATE, RATE, "LQ"), np.float32), n)


def grains(recording: Samples, n: int, rng: Rng) -> Array:
    """Short pieces of a recording laid over each other anywhere: its texture without its order."""
    size = int(RATE * np.exp(rng.uniform(np.log(0.06), np.log(0.5))))
    size = min(size, len(recording))
    window = np.hanning(size)
    made = np.zeros(n + size)
    for at in range(0, n, max(1, size // 2)):
        start = int(rng.integers(0, max(1, len(recording) - size)))
        made[at : at + size] += recording[start : start + size] * window * np.exp(rng.normal(0, 0.3))
    return made[:n]


def shaped_like(recording: Samples, n: int, rng: Rng) -> Array:
    """Noise with the long-term spectrum of a recording, half of the time rising and falling as it does."""
    size = 1024
    if len(recording) < 2 * size:
        recording = as_long(recording, 2 * size)
    frames = np.lib.stride_tricks.sliding_window_view(recording, size)[:: size // 2]
    power = np.mean(np.abs(np.fft.rfft(frames * np.hanning(size))) ** 2, axis=0)
    made = _filtered(rng.standard_normal(n), np.sqrt(power))
    return made if rng.random() < 0.5 else made * swelling(n, rng)


def babble(n: int, rng: Rng, sources: Sources) -> Array:
    """Three to twenty voices at once, near or through a room; fewer than three are another speaker, not a noise."""
    count = int(rng.integers(3, 21))
    made = np.zeros(n)
    for _ in range(count):
        made += 10 ** (rng.normal(0, 3) / 20) * _unit(replayed(_any(rng, sources.voices), n, rng))
    if len(sources.responses) and rng.random() < 0.6:
        made = np.asarray(in_room(made.astype(np.float32), _any(rng, sources.responses)), np.float64)
    return made


def coloured(n: int, rng: Rng) -> Array:
    """Gaussian noise with a slope from rising to steeply falling, and perhaps a resonance or two."""
    frequency = np.linspace(0, RATE / 2, 513)
    amplitude = np.maximum(frequency, 40.0) ** -rng.uniform(-0.5, 1.4)
    for _ in range(int(rng.integers(0, 4))):
        centre, width = np.exp(rng.uniform(np.log(80), np.log(7000))), rng.uniform(0.03, 0.6)
        amplitude *= 1 + rng.uniform(0.5, 8) * np.exp(-0.5 * (np.log(np.maximum(frequency, 1) / centre) / width) ** 2)
    return _filtered(rng.standard_normal(n), amplitude)


def swelling(n: int, rng: Rng) -> Array:
    """A gain that wanders by up to 15 dB, from slow surf to the rate of syllables, or switches on and off."""
    rate_hz = float(np.exp(rng.uniform(np.log(0.15), np.log(10))))
    points = max(4, int(n / RATE * rate_hz * 2) + 4)
    drawn = rng.normal(0, rng.uniform(2, 9), points)
    if rng.random() < 0.25:
        drawn = np.where(rng.random(points) < rng.uniform(0.3, 0.8), 0.0, -rng.uniform(10, 40))
    level = np.interp(np.linspace(0, points - 1, n), np.arange(points), drawn)
    return np.asarray(10 ** (level / 20))


def by_bands(n: int, rng: Rng) -> Array:
    """Noise whose bands swell each by itself, as leaves, water and traffic do."""
    edges = [0, 300, 700, 1500, 3000, 8000]
    spectrum, frequency = np.fft.rfft(rng.standard_normal(n)), np.fft.rfftfreq(n, 1 / RATE)
    made = np.zeros(n)
    for low, high in itertools.pairwise(edges):
        band = np.fft.irfft(spectrum * ((frequency >= low) & (frequency < high)), n)
        made += band * swelling(n, rng) * 10 ** (rng.normal(0, 5) / 20)
    return made


def hum(n: int, rng: Rng) -> Array:
    """Mains, motors, fans: harmonics of a tone that hardly drifts, over a bed of noise."""
    base = float(rng.choice([50.0, 60.0])) if rng.random() < 0.5 else float(np.exp(rng.uniform(*np.log([40, 900]))))
    drift = np.cumsum(rng.normal(0, 1, n)) * rng.uniform(0, 2e-4)
    phase = 2 * np.pi * np.cumsum(base * (1 + 0.01 * np.tanh(drift))) / RATE
    most = min(int(7800 / base), int(rng.integers(1, 40)))
    fall = rng.uniform(0.2, 1.5)
    tones = np.zeros(n)
    for k in range(1, most + 1):
        tones += np.sin(k * phase + rng.uniform(0, 6.3)) * k**-fall * np.exp(rng.normal(0, 0.7))
    return np.asarray(_unit(tones) + 10 ** (rng.uniform(-25, 3) / 20) * _unit(coloured(n, rng)))


def events(n: int, rng: Rng, kind: Callable[[Rng], Array]) -> Array:
    """Something that happens a few times a second or a minute, over a bed of noise."""
    made = np.zeros(n)
    for _ in range(1 + int(rng.poisson(n / RATE * np.exp(rng.uniform(np.log(0.3), np.log(12)))))):
        event = kind(rng) * np.exp(rng.normal(0, 0.5))
        at = int(rng.integers(0, n))
        made[at : at + len(event)] += event[: n - at]
    return np.asarray(_unit(made) + 10 ** (rng.uniform(-30, 0) / 20) * _unit(coloured(n, rng)))


def knock(rng: Rng) -> Array:
    """A blow on something: a burst of noise and of a few tones that die away, within 5 ms or half a second."""
    length = float(np.exp(rng.uniform(np.log(0.004), np.log(0.5))))
    t = np.arange(int(5 * length * RATE) + 16) / RATE
    tones = sum(
        np.sin(2 * np.pi * np.exp(rng.uniform(*np.log([90, 6000]))) * t) for _ in range(int(rng.integers(1, 6)))
    )
    return np.asarray((tones + rng.uniform(0, 2) * rng.standard_normal(len(t))) * np.exp(-t / length))


def chirp(rng: Rng) -> Array:
    """A call of a bird, an animal, a horn or a phone: a tone with harmonics that glides for up to half a second."""
    t = np.arange(int(rng.uniform(0.04, 0.6) * RATE)) / RATE
    base = np.exp(rng.uniform(*np.log([200, 4500])))
    glide = base * (1 + rng.normal(0, 0.4) * t + rng.uniform(0, 0.2) * np.sin(2 * np.pi * rng.uniform(2, 40) * t))
    phase = 2 * np.pi * np.cumsum(np.clip(glide, 80, 7500)) / RATE
    most = min(int(rng.integers(1, 9)), max(1, int(7500 / base)))
    voice = sum(np.sin(k * phase) / k ** rng.uniform(0.3, 1.5) for k in range(1, most + 1))
    return np.asarray(voice * np.sin(np.pi * np.arange(len(t)) / len(t)) ** rng.uniform(0.3, 2))


def cry(rng: Rng) -> Array:
    """A cluck, a bark, a squeal: a gliding tone and breath, both through resonances that are no human's."""
    t = np.arange(int(np.exp(rng.uniform(*np.log([0.04, 0.7]))) * RATE)) / RATE
    base = float(np.exp(rng.uniform(*np.log([120, 1500]))))
    glide = base * (1 + rng.normal(0, 0.25) * np.sin(np.pi * t / t[-1]) + rng.normal(0, 0.4) * t)
    phase = 2 * np.pi * np.cumsum(np.clip(glide, 60, 3000)) / RATE
    centres = np.exp(rng.uniform(np.log(500), np.log(6000), int(rng.integers(1, 4))))
    width, fall = rng.uniform(0.08, 0.5), rng.uniform(0.0, 1.0)

    def passed(hz: Array) -> Array:
        apart = np.log(np.maximum(hz, 50)[:, None] / centres) / width
        return np.asarray((np.exp(-0.5 * apart**2).sum(axis=1) + 0.02) * (np.maximum(hz, 50) / 500) ** -fall)

    harmonics = np.arange(1, min(40, int(7500 / base)) + 1)
    tone = sum(
        a * np.sin(k * phase) for k, a in zip(harmonics, passed(np.asarray(harmonics * base, np.float64)), strict=True)
    )
    breath = _filtered(rng.standard_normal(len(t)), passed(np.linspace(0, RATE / 2, 129)))
    voice = _unit(np.asarray(tone)) + 10 ** (rng.uniform(-30, 0) / 20) * _unit(breath)
    return np.asarray(voice * np.sin(np.pi * np.arange(len(t)) / len(t)) ** rng.uniform(0.3, 2))


def series(n: int, rng: Rng, kind: Callable[[Rng], Array]) -> Array:
    """The same few sounds again and again, nearly in a rhythm: steps, clucks, keys, a ringing phone."""
    made = np.zeros(n)
    for _ in range(int(rng.integers(1, 4))):
        sound = kind(rng) * np.exp(rng.normal(0, 0.5))
        every = float(np.exp(rng.uniform(*np.log([0.1, 2.0]))))
        at = rng.uniform(0, every)
        while at < n / RATE:
            first = int(at * RATE)
            made[first : first + len(sound)] += sound[: n - first] * np.exp(rng.normal(0, 0.25))
            # Now and then a pause between two runs.
            at += every * np.exp(rng.normal(0, 0.15)) * (rng.uniform(2, 8) if rng.random() < 0.1 else 1)
    return np.asarray(_unit(made) + 10 ** (rng.uniform(-30, 0) / 20) * _unit(coloured(n, rng)))


def crackle(n: int, rng: Rng) -> Array:
    """Fire, vinyl, rain on a roof: impulses of all sizes, ringing a little."""
    per_second = float(np.exp(rng.uniform(np.log(5), np.log(3000))))
    hits = (rng.random(n) < per_second / RATE) * rng.standard_normal(n) * np.exp(rng.normal(0, 1.2, n))
    made = _filtered(hits, np.abs(np.fft.rfft(knock(rng)[:256], 1024)) + 1e-3)
    return np.asarray(_unit(made) + 10 ** (rng.uniform(-30, -3) / 20) * _unit(coloured(n, rng)))


def equalised(samples: NDArray[np.floating], rng: Rng) -> Array:
    """Another microphone, another distance: a smooth curve of a few dB over frequency."""
    points = np.log([40, 100, 250, 600, 1500, 4000, 8000])
    frequency = np.log(np.maximum(np.linspace(0, RATE / 2, 513), 40))
    return _filtered(np.asarray(samples, np.float64), 10 ** (np.interp(frequency, points, rng.normal(0, 5, 7)) / 20))


def _filtered(samples: Array, amplitude: Array) -> Array:
    """`samples` with their spectrum times `amplitude`, given at even steps from 0 to 8 kHz; phases stay."""
    spectrum = np.fft.rfft(samples)
    at = np.linspace(0, len(amplitude) - 1, len(spectrum))
    return np.asarray(np.fft.irfft(spectrum * np.interp(at, np.arange(len(amplitude)), amplitude), len(samples)))


def _either(rng: Rng, sources: Sources) -> Sequence[Samples]:
    return (sources.floors, sources.noises, sources.music, sources.voices)[int(rng.choice(4, p=[0.5, 0.2, 0.2, 0.1]))]


def _any(rng: Rng, recordings: Sequence[Samples]) -> Samples:
    return recordings[int(rng.integers(len(recordings)))]


def _unit(samples: NDArray[np.floating]) -> Array:
    made = np.asarray(samples, np.float64)
    return np.asarray(made / max(float(np.sqrt(np.mean(made * made))), 1e-9))
