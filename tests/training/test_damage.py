"""What training does to mixtures: both parts through one channel, and a ratio that stays what it was said to be."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.sound import Samples
from training.damage import damaged, telephoned, through_one_channel
from training.mixtures import active_speech_snr

SECONDS = 3


def bursts(seed: int = 0) -> Samples:
    """Noise that comes and goes, of unit power or so."""
    made = np.random.default_rng(seed).standard_normal(SECONDS * 16_000)
    return np.asarray(made * (np.sin(np.arange(len(made)) / 2000) > 0), np.float32)


def power_db(samples: Samples, low_hz: float, high_hz: float) -> float:
    spectrum: NDArray[np.float64] = np.abs(np.fft.rfft(samples)) ** 2
    frequency = np.fft.rfftfreq(len(samples), 1 / 16_000)
    return float(10 * np.log10(spectrum[(frequency >= low_hz) & (frequency < high_hz)].sum() + 1e-20))


@pytest.mark.parametrize("is_line", [False, True])
def test_speech_and_noise_go_through_the_same_channel(is_line: bool) -> None:
    heard = 0
    for seed in range(20, 32):
        speech, noise = through_one_channel(np.random.default_rng(seed), bursts(), bursts(), is_line)
        # One in five speakers turns away.
        heard += np.array_equal(speech, noise)
        assert len(speech) == len(noise) == SECONDS * 16_000
        assert speech.dtype == noise.dtype == np.float32
    assert 8 <= heard < 12


def test_a_line_has_neither_bottom_nor_top() -> None:
    for seed in range(10):
        _, noise = through_one_channel(np.random.default_rng(seed), bursts(), bursts(1), is_line=True)
        middle = power_db(noise, 600, 2800)
        assert power_db(noise, 4200, 8000) < middle - 40
        assert power_db(noise, 0, 40) < middle - 20


def test_a_line_of_8_khz_keeps_the_sound_in_place_and_fills_nothing_above() -> None:
    for seed in range(12):
        speech, _ = through_one_channel(np.random.default_rng(1), bursts(), bursts(), is_line=True)
        coded = telephoned(np.random.default_rng(seed), speech)
        assert coded.dtype == np.float32
        assert len(coded) == len(speech)
        assert float(np.corrcoef(coded, speech)[0, 1]) > 0.99
        assert power_db(coded, 4100, 8000) < power_db(coded, 600, 2800) - 90


def test_what_a_line_adds_is_far_below_what_it_carries() -> None:
    speech, _ = through_one_channel(np.random.default_rng(1), bursts(), bursts(), is_line=True)
    for seed in range(12):
        coded = telephoned(np.random.default_rng(seed), speech)
        gain = np.float32(np.dot(coded, speech) / np.dot(speech, speech))
        assert active_speech_snr(gain * speech, coded - gain * speech) > 20


def test_damage_is_sound_of_the_same_length_and_follows_from_its_seed() -> None:
    heard = bursts()
    for seed in range(60):
        made, again = (damaged(np.random.default_rng(seed), heard) for _ in range(2))
        assert len(made) == len(heard)
        assert made.dtype == np.float32
        assert np.isfinite(made).all()
        assert np.abs(made).max() > 1e-3
        assert np.array_equal(made, again)
    assert np.array_equal(damaged(np.random.default_rng(0), np.zeros(9600, np.float32)) * 0, np.zeros(9600))
