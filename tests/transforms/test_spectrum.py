"""Band power: energies that are known, and what must not leak."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.sound import Region
from tests.transforms.builders import noise, tone
from transforms.spectrum import BANDS, band_edges_hz, band_power, speech_frames


def test_bands_touch_and_cover_everything_above_rumble() -> None:
    edges = band_edges_hz()
    assert len(edges) == BANDS + 1
    assert np.all(np.diff(edges) > 0)
    assert edges[0] == pytest.approx(93.75)
    assert edges[-1] > 8000


@pytest.mark.parametrize("frequency_hz", [300.0, 1000.0, 2000.0, 3500.0, 6500.0])
def test_a_tone_has_its_power_in_its_own_band(frequency_hz: float) -> None:
    power = band_power(tone(2.0, frequency_hz, level_dbfs=-20.0)).mean(axis=0)
    band = int(np.searchsorted(band_edges_hz(), frequency_hz) - 1)
    assert 10 * np.log10(power[band]) == pytest.approx(-20.0, abs=0.3)
    assert power[band] == power.max()


def test_white_noise_keeps_its_power() -> None:
    power = band_power(noise(20.0, level_dbfs=-30.0)).sum(axis=1).mean()
    assert 10 * np.log10(power) == pytest.approx(-30.0 + 10 * np.log10((8000 - 93.75) / 8000), abs=0.1)


def test_rumble_below_60_hz_hardly_leaks() -> None:
    power = band_power(tone(2.0, 40.0, level_dbfs=-10.0)).sum(axis=1).mean()
    assert 10 * np.log10(power) < -10.0 - 20.0


def test_too_short_is_no_frame() -> None:
    assert band_power(np.zeros(0, np.float32)).shape == (0, BANDS)
    assert band_power(np.zeros(256, np.float32)).shape == (0, BANDS)
    assert band_power(np.zeros(257, np.float32)).shape == (1, BANDS)


def test_frames_are_speech_where_their_middle_is() -> None:
    # Middles at 128, 448, 768, 1088.
    assert speech_frames((Region(128, 768),), 4).tolist() == [True, True, False, False]
    assert speech_frames((Region(0, 10), Region(1000, 9000)), 4).tolist() == [False, False, False, True]
    assert speech_frames((), 2).tolist() == [False, False]
