"""Mixtures have the ratio that was asked; noises are finite, loud enough, and unlike each other."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from tests.shared_audio import shared_audio
from tests.speech import voice
from training import noises
from training.examples import damaged
from training.mixtures import active, active_speech_snr, as_long, in_room, mix, scaled_noise

RATE = 16_000


def speech(seconds: float = 6.0) -> np.ndarray:
    return voice(seconds=seconds).astype(np.float32)


def hiss(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(n).astype(np.float32)


@pytest.mark.parametrize("asked_db", [-5.0, 0.0, 12.5, 35.0])
def test_a_mixture_has_the_ratio_that_was_asked(asked_db: float) -> None:
    said = speech()
    added = mix(said, hiss(RATE), asked_db) - said
    assert active_speech_snr(said, added) == pytest.approx(asked_db, abs=0.05)
    assert active_speech_snr(said, scaled_noise(said, hiss(len(said)), asked_db)) == pytest.approx(asked_db, abs=0.05)


def test_rumble_below_60_hz_is_not_counted() -> None:
    said, noise = speech(), hiss(6 * RATE)
    rumble = (5 * np.sin(2 * np.pi * 20 * np.arange(len(said)) / RATE)).astype(np.float32)
    assert active_speech_snr(said, noise + rumble) == pytest.approx(active_speech_snr(said, noise), abs=0.3)


def test_silence_before_the_words_does_not_change_the_ratio() -> None:
    said = speech()
    later = np.concatenate([np.zeros(5 * RATE, np.float32), said])
    assert active_speech_snr(later, hiss(len(later))) == pytest.approx(
        active_speech_snr(said, hiss(len(said))), abs=0.1
    )
    assert np.mean(active(later)[: 5 * 50]) == 0


def test_noise_is_made_as_long_as_is_asked_without_a_seam() -> None:
    tone = np.sin(2 * np.pi * 100 * np.arange(RATE) / RATE).astype(np.float32)
    long = as_long(tone, 5 * RATE + 7)
    assert len(long) == 5 * RATE + 7
    assert np.abs(np.diff(long)).max() < 0.08
    assert np.array_equal(as_long(tone, 100), tone[:100])
    with pytest.raises(ValueError, match="no noise"):
        as_long(tone[:0], 10)


def test_a_room_that_only_delays_delays() -> None:
    response = np.zeros(33, np.float32)
    response[32] = 0.5
    said = speech(1.0)
    assert in_room(said, response)[32:] == pytest.approx(0.5 * said[:-32], abs=1e-5)


def test_every_noise_is_loud_and_finite_and_follows_from_its_seed() -> None:
    real = [hiss(RATE, 1), np.sin(np.arange(RATE) / 7).astype(np.float32)]
    sources = noises.Sources(real, real, [speech(3.0)], real, [hiss(800, 2) * np.exp(-np.arange(800) / 90)])
    made = [noises.draw(np.random.default_rng([7, n]), 2 * RATE, sources) for n in range(60)]
    assert all(np.isfinite(one).all() and len(one) == 2 * RATE for one in made)
    assert all(np.sqrt(np.mean(one**2)) == pytest.approx(1, abs=1e-3) for one in made)
    assert np.array_equal(made[3], noises.draw(np.random.default_rng([7, 3]), 2 * RATE, sources))
    # How peaked they are over time tells steady from fitful ones: there are many of both.
    peaked = [np.quantile(np.convolve(one**2, np.ones(800) / 800, "valid"), 0.99) for one in made]
    assert min(peaked) < 1.5
    assert max(peaked) > 4


def test_damage_keeps_the_length_and_follows_from_its_seed() -> None:
    said = speech(2.0)
    made = [damaged(np.random.default_rng([1, n]), said) for n in range(60)]
    assert all(len(one) == len(said) and np.isfinite(one).all() for one in made)
    assert np.array_equal(made[5], damaged(np.random.default_rng([1, 5]), said))
    alike = [abs(np.corrcoef(one, said)[0, 1]) for one in made]
    assert np.median(alike) > 0.95
    assert min(alike) < 0.999


def test_real_pairs_have_the_stated_ratio() -> None:
    import soundfile

    with shared_audio("noisy_pairs.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            noisy, clean = (soundfile.read(shared_audio(row[name]), dtype="float32")[0] for name in ("file", "clean"))
            # Stated without the 60 Hz, below which little of these lies.
            assert active_speech_snr(clean, noisy - clean) == pytest.approx(float(row["active_snr_db"]), abs=0.8)
