"""Meters of clipping without flat tops, of dropouts and of cliffs in the spectrum, on sound whose damage is known."""

from __future__ import annotations

import numpy as np
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st

from tests.transforms.sound_files import noise, pcm16, tone
from tests.transforms.test_channel import bandwidth_of, blocks_of, damage_of
from transforms.channel_ceiling import CeilingMeter
from transforms.channel_dropouts import DropoutMeter

RATE = 16_000


def voice_like(seconds=10.0, seed=0):
    """Noise in syllables of every loudness: its levels thin out as speech's do."""
    rng = np.random.default_rng(seed)
    gain = np.repeat(10 ** rng.uniform(-1.5, 0, round(seconds * 10)), RATE // 10)
    sound = soxr.resample(rng.standard_normal(len(gain) // 8) * gain[::8], RATE / 8, RATE)
    return (0.9 * sound / np.abs(sound).max()).astype(np.float32)


def ceiling_of(samples, lengths=(1 << 16,)):
    meter = CeilingMeter()
    for block in blocks_of(np.asarray(samples, np.float32), lengths):
        meter.feed(block)
    return meter.clipped_ratio(0.1)


def dropped_of(samples, lengths=(1 << 16,)):
    meter = DropoutMeter(RATE)
    for block in blocks_of(np.asarray(samples, np.float32), lengths):
        meter.feed(block, float(np.abs(block).max()))
    return meter.dropped()


def test_clipping_shows_after_resampling_and_gain_where_no_two_samples_are_equal():
    sound = voice_like()
    ceiling = np.quantile(np.abs(sound), 0.97)
    hard = soxr.resample(soxr.resample(np.clip(sound, -ceiling, ceiling) / ceiling, RATE, 44_100), 44_100, RATE)
    assert ceiling_of(sound) == 0
    assert 0.015 < ceiling_of(0.5 * hard) < 0.08
    assert damage_of(pcm16(0.5 * hard) / 32768).measured([0])[1] == pytest.approx(ceiling_of(0.5 * hard), abs=0.005)


def test_soft_clipping_shows():
    assert ceiling_of(np.tanh(8 * voice_like())) > 0.01


@pytest.mark.parametrize("samples", [tone(100, 10.0, RATE), noise(10.0, RATE), np.zeros(100_000), np.ones(0)])
def test_tones_noise_and_silence_have_met_no_ceiling(samples):
    assert ceiling_of(samples) == 0


@pytest.mark.parametrize("lengths", [(997,), (44_100, 3, 70_000)])
def test_levels_do_not_depend_on_the_blocks(lengths):
    long = np.tile(np.tanh(6 * voice_like()), 10)
    assert len(long) > 1 << 20
    assert ceiling_of(long, lengths) == ceiling_of(long)


@given(st.lists(st.tuples(st.integers(4_000, 60_000), st.integers(32, 9_000), st.booleans()), max_size=5),
       st.lists(st.integers(500, 30_000), min_size=1, max_size=5))  # fmt: skip
def test_dropouts_are_counted_however_the_blocks_fall(holes, lengths):
    sound = noise(4.5, RATE)
    sound[sound == 0] = 1e-3
    is_hole = np.zeros(len(sound), bool)
    for start, n, held in holes:
        if not is_hole[start - 100 : start + n + 100].any():
            sound[start : start + n] = 0.5 * (sound[start - 1] + sound[start + n]) if held else 0
            is_hole[start : start + n] = True
    assert dropped_of(sound, lengths) == is_hole.sum()


def test_silence_that_fades_a_flat_top_and_a_long_pause_are_no_dropouts():
    sound = noise(4.0, RATE)
    faded, paused = sound.copy(), np.concatenate([sound, np.zeros(2 * RATE), sound])
    faded[20_000:30_000] = 0
    faded[19_900:20_000] *= 1e-4
    assert dropped_of(faded) == dropped_of(paused) == dropped_of(np.zeros(RATE)) == 0
    assert dropped_of(np.clip(tone(20, 4.0, RATE), -0.3, 0.3)) == 0


def test_nothing_heard_has_no_dropout_ratio():
    assert damage_of(np.zeros((1, 0))).dropout_ratio([0]) is None
    assert damage_of(noise(1.0, RATE)).dropout_ratio([0]) == 0


@pytest.mark.parametrize("noise_dbfs", [-85, -75])
@pytest.mark.parametrize(("was_hz", "now_hz"), [(16_000, 44_100), (8_000, 16_000), (16_000, 48_000)])
def test_noise_above_the_cut_of_upsampled_sound_is_no_content(was_hz, now_hz, noise_dbfs):
    up = soxr.resample(noise(5.0, was_hz), was_hz, now_hz, "VHQ")
    up = up + noise(5.0, now_hz, 10 ** (noise_dbfs / 20), 3)[: len(up)]
    assert bandwidth_of(pcm16(up) / 32768, now_hz) == pytest.approx(was_hz / 2, rel=0.06)


def test_a_spectrum_that_falls_slowly_keeps_its_bandwidth():
    hz = np.fft.rfftfreq(5 * 48_000, 1 / 48_000)
    slope = 10 ** (-12 * np.log2(np.maximum(hz, 100) / 100) / 20)
    sound = np.fft.irfft(np.fft.rfft(noise(5.0, 48_000)) * slope)
    sound = 0.1 * sound / np.sqrt(np.mean(sound**2)) + noise(5.0, 48_000, 1e-4, 2)
    assert bandwidth_of(pcm16(sound) / 32768, 48_000) == 24_000
