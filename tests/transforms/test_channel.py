"""Meters of damage, bandwidth and hum, against plain arithmetic and against signals whose answer is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st

from tests.transforms.sound_files import noise, pcm16, tone
from transforms.channel import BandwidthMeter, ChannelConfig, DamageMeter, Framed
from transforms.channel_hum import HumMeter

CONFIG = ChannelConfig()
LEVELS = st.lists(
    st.sampled_from([-32768, -32767, -9000, -1, 0, 1, 9000, 32700, 32766, 32767]), min_size=1, max_size=80
)
CUTS = st.lists(st.integers(1, 20), min_size=1, max_size=10)


def blocks_of(samples, lengths):
    """`samples` (the last axis) in blocks of `lengths`, over and over."""
    start = 0
    for length in itertools.cycle(lengths):
        if start >= samples.shape[-1]:
            return
        yield samples[..., start : start + length]
        start += length


def damage_of(samples, lengths=(1 << 16,), config=CONFIG):
    samples = np.atleast_2d(np.asarray(samples, np.float32))
    meter = DamageMeter(len(samples), config)
    for block in blocks_of(samples, lengths):
        meter.feed(block, block.max(axis=1), block.min(axis=1))
    return meter


def clipped_by_hand(samples):
    """Samples in runs of three or more near the highest and the lowest sample, with a loop over runs; and in pairs."""
    clipped = 0
    for side in (samples, -samples):
        near = max(side.max() * (1 - CONFIG.clip_near_ratio), CONFIG.clip_min_level)
        for level, run in itertools.groupby(side.tolist()):
            length = len(list(run))
            # On the grid of 16 bits, as the meter keeps them.
            clipped += length if np.floor(level * 32768) >= np.floor(near * 32768) and length >= 3 else 0
        # Pairs count where many share the very top.
        pairs = sum(1 for level, run in itertools.groupby(side.tolist()) if len(list(run)) == 2 and level == side.max())
        clipped += 2 * pairs if 2 * pairs >= 16 and side.max() >= near else 0
    return clipped


@given(LEVELS, CUTS)
def test_clipped_runs_are_counted_as_by_hand_however_the_blocks_fall(levels, cuts):
    samples = np.array(levels, np.float32) / 32768
    _, ratio, _ = damage_of(samples, cuts).measured([0])
    assert ratio == round(clipped_by_hand(samples) / len(samples), 6)


@given(LEVELS, CUTS)
def test_peak_and_offset_are_those_of_the_samples(levels, cuts):
    samples = np.array(levels, np.float32) / 32768
    peak_dbfs, _, dc_offset = damage_of(samples, cuts).measured([0])
    highest = np.abs(samples).max()
    assert peak_dbfs == (None if highest == 0 else pytest.approx(20 * np.log10(highest), abs=0.006))
    assert dc_offset == pytest.approx(samples.astype(float).mean(), abs=2e-6)


def test_a_clipped_sine_has_the_share_of_its_flat_tops():
    # 2·sin clipped at 1 is flat where |sin| >= 1/2: for two thirds of the time.
    clipped = np.clip(tone(100, 1.0, level=2.0), -1, 1)
    assert damage_of(pcm16(clipped) / 32768).measured([0])[1] == pytest.approx(2 / 3, abs=0.01)


@pytest.mark.parametrize("level", [1.0, 0.5, 0.2])
def test_clipping_shows_when_the_level_was_turned_down_afterwards(level):
    clipped = np.clip(tone(100, 1.0, level=2.0), -1, 1) * level
    assert damage_of(pcm16(clipped) / 32768).measured([0])[1] == pytest.approx(2 / 3, abs=0.02)


def test_what_exceeds_full_scale_counts_as_flat_for_that_is_how_it_is_stored():
    assert damage_of(tone(100, 1.0, level=2.0)).measured([0])[1] == pytest.approx(2 / 3, abs=0.01)


def test_speech_like_noise_silence_and_a_faint_square_are_not_clipped():
    faint = 0.05 * np.sign(tone(100, 1.0))
    for samples in (pcm16(noise(2.0)) / 32768, np.zeros(8000), faint):
        assert damage_of(samples).measured([0])[1] == 0


def test_the_worst_of_the_channels_is_told():
    left, right = tone(100, 1.0, level=0.1) - 0.25, np.clip(tone(100, 1.0, level=1.5), -0.9, 0.9)
    meter = damage_of(np.stack([left, right]))
    assert meter.measured([0, 1]) == (meter.measured([1])[0], meter.measured([1])[1], meter.measured([0])[2])
    assert meter.measured([0])[2] == pytest.approx(-0.25, abs=1e-4)


def test_nothing_heard_is_nothing_measured():
    assert DamageMeter(1, CONFIG).measured([0]) == (None, None, None)
    assert damage_of(np.zeros(100)).measured([0]) == (None, 0.0, 0.0)


@given(st.integers(0, 200), st.integers(1, 30), CUTS)
def test_framed_gives_every_sample_once_in_whole_frames(n, size, cuts):
    framed = Framed(size)
    given_out = [framed.whole(block) for block in blocks_of(np.arange(n, dtype=np.float32), cuts)]
    assert all(len(part) % size == 0 for part in given_out)
    assert np.concatenate([*given_out, framed.rest]).tolist() == list(range(n))
    assert len(framed.rest) < size


def bandwidth_of(samples, rate_hz, floor_db=-90.0, lengths=(1 << 16,)):
    meter = BandwidthMeter(rate_hz, floor_db, CONFIG)
    for block in blocks_of(np.asarray(samples, np.float32), lengths):
        meter.feed(block)
    return meter.bandwidth_hz()


@pytest.mark.parametrize("was_hz", [8_000, 16_000, 22_050, 32_000])
def test_upsampled_sound_has_the_bandwidth_that_it_had(was_hz):
    upsampled = soxr.resample(noise(4.0, was_hz), was_hz, 48_000, "HQ")
    assert bandwidth_of(pcm16(upsampled) / 32768, 48_000) == pytest.approx(was_hz / 2, rel=0.06)


def test_full_bandwidth_reads_as_half_the_sample_rate():
    assert bandwidth_of(noise(2.0, 44_100), 44_100) == 22_050
    assert bandwidth_of(noise(2.0, 8_000), 8_000) == 4_000


def test_neither_a_click_nor_a_whistle_is_bandwidth():
    upsampled = soxr.resample(noise(4.0, 16_000), 16_000, 48_000, "HQ")
    clicked, whistled = upsampled.copy(), upsampled + tone(15_625, 4.0, 48_000, 0.01)
    clicked[2_000] = 0.9
    for samples in (clicked, whistled):
        assert bandwidth_of(samples, 48_000) == pytest.approx(8_000, rel=0.06)


def test_bandwidth_is_unknown_of_silence_and_of_a_moment():
    assert bandwidth_of(np.zeros(48_000), 48_000) is None
    assert bandwidth_of(noise(0.02, 48_000), 48_000) is None


def hum_of(samples, lengths=(1 << 16,)):
    meter = HumMeter(CONFIG)
    for block in blocks_of(np.asarray(samples, np.float32), lengths):
        meter.feed(block)
    return meter.hum_db()


def phrases(seconds, seed=0):
    """Noise that comes and goes like phrases, over a faint floor, at 16 kHz."""
    gate = np.arange(round(seconds * 16_000)) // 96_000 % 2 == 0
    return noise(seconds, 16_000, 0.1, seed) * gate + noise(seconds, 16_000, 1e-3, seed + 1)


@pytest.mark.parametrize("mains_hz", [50, 60])
def test_hum_grows_with_the_mains_tone(mains_hz):
    hums = [sum(tone(mains_hz * k, 30.0, 16_000, level / k) for k in (1, 2, 3)) for level in (1e-3, 1e-2)]
    quiet, loud = (phrases(30.0) + hum for hum in hums)
    assert hum_of(phrases(30.0)) < 3
    assert 10 < hum_of(quiet) < hum_of(loud)


@pytest.mark.parametrize("off_hz", [-0.2, 0.0, 0.2])
def test_hum_of_mains_that_are_off_shows_alone_and_without_its_fundamental(off_hz):
    for hz in (50 + off_hz, 2 * (60 + off_hz)):
        assert hum_of(phrases(30.0) + tone(hz, 30.0, 16_000, 1e-2)) > 8


def test_other_low_tones_are_not_hum():
    assert hum_of(phrases(30.0) + tone(73.0, 30.0, 16_000, 1e-2)) < 3
    assert hum_of(phrases(30.0) + tone(51.0, 30.0, 16_000, 1e-2)) < 3


def test_a_voice_at_the_pitch_of_the_mains_is_not_hum():
    """Its frequency wanders by a few per cent, as voices do, and its loudness with it."""
    at = np.arange(16_000 * 30) / 16_000
    pitch_hz = 100 * (1 + 0.03 * np.sin(2 * np.pi * 0.7 * at))
    turn = 2 * np.pi * np.cumsum(pitch_hz) / 16_000
    voice = sum(0.1 / k * np.sin(k * turn) for k in range(1, 9)) * (1 + np.sin(2 * np.pi * 0.31 * at))
    assert hum_of(voice + noise(30.0, 16_000, 1e-3)) < 4
    assert hum_of(voice + noise(30.0, 16_000, 1e-3) + tone(50, 30.0, 16_000, 1e-2)) > 6


def test_hum_needs_four_seconds_that_are_not_digital_silence():
    assert hum_of(phrases(4.0)) is None
    assert hum_of(phrases(4.5)) is not None
    assert hum_of(np.zeros(160_000)) is None
    assert hum_of(np.concatenate([np.zeros(160_000), phrases(10.0) + tone(50, 10.0, 16_000, 1e-2)])) > 6


def test_hum_of_hours_keeps_few_stretches_and_the_same_answer():
    meter, minute = HumMeter(CONFIG), (phrases(60.0) + tone(50, 60.0, 16_000, 1e-2)).astype(np.float32)
    for _ in range(300):
        meter.feed(minute)
    assert 256 <= len(meter._kept) < 512
    assert meter.hum_db() == pytest.approx(hum_of(minute), abs=3)


@pytest.mark.parametrize("lengths", [(1,), (997,), (44_100, 3, 70_000)])
def test_blocks_of_any_length_give_the_same_measurements(lengths):
    samples = noise(2.0, 8_000) + 0.01
    hummed = (phrases(10.0) + tone(60, 10.0, 16_000, 1e-2))[: 16_000 * 10]
    assert bandwidth_of(samples, 8_000, lengths=lengths) == bandwidth_of(samples, 8_000)
    assert damage_of(samples, lengths).measured([0]) == damage_of(samples).measured([0])
    if lengths != (1,):
        assert hum_of(hummed, lengths) == hum_of(hummed)
