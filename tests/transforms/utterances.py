"""Utterances with known answers, made from arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from schemas.catalogue import CatalogueRow
from schemas.sound import ANALYSIS_RATE_HZ, Region, Samples
from tests.transforms.builders import noise
from transforms.items import Track, Utterance


def utterance_of(samples: Samples, speech: tuple[Region, ...] | None = None, **values: Any) -> Utterance:
    """An utterance that is the whole of its recording; all of it is speech unless told. Nothing is on disk."""
    nowhere = Path("nowhere")
    track = Track(
        0, ANALYSIS_RATE_HZ, len(samples), nowhere, "int16", 16, nowhere, len(samples), np.zeros(0, np.float32)
    )
    everything = Region(0, len(samples))
    made: dict[str, Any] = {
        "key": "made-c0-0-1",
        "recording_id": "made",
        "track": track,
        "region": everything,
        "speaker": "spk00",
        "catalogue": CatalogueRow(),
        "samples": samples,
        "speech": (everything,) if speech is None else speech,
    }
    return Utterance(**{**made, **values})


def speechlike(duration_s: float, level_dbfs: float = -20.0, seed: int = 0) -> Samples:
    """Syllables of voiced sound: harmonics of a gliding 120 Hz, louder at the low end, four a second, with a real
    pause after every seventh; `level_dbfs` is the mean power over the frames within 30 dB of the loudest."""
    t = np.arange(round(duration_s * ANALYSIS_RATE_HZ)) / ANALYSIS_RATE_HZ
    drawn = np.random.default_rng(seed)
    phase = 2 * np.pi * (120 * t + 6 * np.sin(2 * np.pi * 0.7 * t))
    voice = sum(np.sin(k * phase + drawn.uniform(0, 6)) / k for k in range(1, 40))
    syllable = np.floor(4 * t).astype(int)
    loudness = drawn.uniform(0.4, 1.0, syllable[-1] + 1)[syllable] * (syllable % 8 != 7)
    made = voice * loudness * np.sin(np.pi * ((4 * t) % 1)) ** 2
    power = np.convolve(made**2, np.full(400, 1 / 400), mode="same")
    active = float(np.mean(made[power > 1e-3 * power.max()] ** 2))
    scaled: Samples = (made * 10 ** (level_dbfs / 20) / np.sqrt(active)).astype(np.float32)
    return scaled


def in_room(dry: Samples, rt60_s: float, seed: int = 0) -> Samples:
    """`dry` in a room that is nothing but an exponential decay: C50 = 10·log10(10^(0.3/RT60) − 1)."""
    t = np.arange(round(1.2 * rt60_s * ANALYSIS_RATE_HZ)) / ANALYSIS_RATE_HZ
    response = np.random.default_rng(seed).standard_normal(len(t)) * 10 ** (-3 * t / rt60_s)
    n = 1 << (len(dry) + len(t)).bit_length()
    wet = np.fft.irfft(np.fft.rfft(dry, n) * np.fft.rfft(response, n), n)[: len(dry)]
    scaled: Samples = (0.3 * wet / np.abs(wet).max()).astype(np.float32)
    return scaled


def steady_noise(samples: Samples, level_dbfs: float, seed: int = 1) -> Samples:
    """White noise as long as `samples`."""
    return noise(len(samples) / ANALYSIS_RATE_HZ, level_dbfs, seed)[: len(samples)]
