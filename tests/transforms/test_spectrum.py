"""Mel and band power: energies that are known, and what must not leak."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.sound import Region
from tests.transforms.builders import noise, tone
from transforms.spectrum import (
    BANDS,
    MEL_RANGE_HZ,
    MELS,
    band_edges_hz,
    band_power,
    bands_of,
    frames_in,
    mel_edges_hz,
    mel_power,
    speech_frames,
)


def test_bands_touch_and_cover_everything_above_rumble() -> None:
    edges = band_edges_hz()
    assert len(edges) == BANDS + 1
    assert np.all(np.diff(edges) > 0)
    assert (edges[0], edges[-1]) == pytest.approx(MEL_RANGE_HZ)
    assert len(mel_edges_hz()) == MELS + 2


@pytest.mark.parametrize("frequency_hz", [300.0, 800.0, 2000.0, 3600.0, 6500.0])
def test_a_tone_has_its_power_in_its_own_band(frequency_hz: float) -> None:
    power = band_power(tone(2.0, frequency_hz, level_dbfs=-20.0)).mean(axis=0)
    band = int(np.searchsorted(band_edges_hz(), frequency_hz) - 1)
    assert 10 * np.log10(power[band]) == pytest.approx(-20.0, abs=0.3)
    assert power[band] == power.max()


@pytest.mark.parametrize("frequency_hz", [120.0, 1000.0, 3000.0, 7600.0])
def test_a_tone_keeps_its_power_wherever_it_lies(frequency_hz: float) -> None:
    power = mel_power(tone(2.0, frequency_hz, level_dbfs=-20.0)).mean(axis=0)
    assert 10 * np.log10(power.sum()) == pytest.approx(-20.0, abs=0.6)
    nearest = int(np.argmin(np.abs(mel_edges_hz()[1:-1] - frequency_hz)))
    assert power[max(0, nearest - 1) : nearest + 2].sum() > 0.8 * power.sum()


def test_white_noise_keeps_its_power() -> None:
    power = band_power(noise(20.0, level_dbfs=-30.0)).sum(axis=1).mean()
    assert 10 * np.log10(power) == pytest.approx(-30.0 + 10 * np.log10((7800 - 60) / 8000), abs=0.1)


def test_bands_are_sums_of_mels() -> None:
    samples = noise(1.0)
    assert bands_of(mel_power(samples)).sum(axis=1) == pytest.approx(mel_power(samples).sum(axis=1), rel=1e-4)
    assert np.array_equal(bands_of(mel_power(samples)), band_power(samples))


def test_rumble_below_60_hz_hardly_leaks() -> None:
    power = band_power(tone(2.0, 25.0, level_dbfs=-10.0)).sum(axis=1).mean()
    assert 10 * np.log10(power) < -10.0 - 15.0


def test_a_frame_does_not_depend_on_what_follows() -> None:
    samples = noise(3.0)
    assert np.array_equal(mel_power(samples)[:40], mel_power(samples[: 48_000 - 777])[:40])


def test_too_short_is_no_frame() -> None:
    assert band_power(np.zeros(0, np.float32)).shape == (0, BANDS)
    assert mel_power(np.zeros(400, np.float32)).shape == (0, MELS)
    assert band_power(np.zeros(401, np.float32)).shape == (1, BANDS)
    assert [frames_in(n) for n in (0, 400, 401, 720, 721)] == [0, 0, 1, 1, 2]


def test_frames_are_speech_where_their_middle_is() -> None:
    # Middles at 200, 520, 840, 1160.
    assert speech_frames((Region(200, 840),), 4).tolist() == [True, True, False, False]
    assert speech_frames((Region(0, 10), Region(1000, 9000)), 4).tolist() == [False, False, False, True]
    assert speech_frames((), 2).tolist() == [False, False]
