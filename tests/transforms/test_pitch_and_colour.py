"""Pitch, colour and voices in the background, on sound whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import soxr

from schemas.sound import Region
from tests.transforms.sound_files import noise, tone
from transforms.colour import BANDS_HZ, LTASS_DB, colour
from transforms.pitch import PitchConfig, pitch, pitch_track
from transforms.surroundings import background_speech_ratio

RATE = 16_000


def pulses(f0_hz, seconds=3.0):
    """A pulse train through a resonance at 700 Hz: a vowel of a kind. `f0_hz` is a number or one per sample."""
    phase = np.cumsum(np.broadcast_to(f0_hz, round(seconds * RATE)) / RATE)
    train = np.diff(np.floor(phase), prepend=0.0)
    at = np.arange(400) / RATE
    return 0.3 * np.convolve(train, np.exp(-at * 500) * np.sin(2 * np.pi * 700 * at))[: len(train)]


@pytest.mark.parametrize("f0_hz", [72, 82.5, 110, 147, 196, 220, 311, 430])
@pytest.mark.parametrize("made", [pulses, lambda f0_hz: tone(f0_hz, 3.0, RATE)], ids=["pulses", "tone"])
def test_the_median_is_the_fundamental_and_no_frame_is_an_octave_off(made, f0_hz):
    sound = made(f0_hz).astype(np.float32)
    assert pitch(sound)[0] == pytest.approx(f0_hz, rel=0.01)
    voiced = pitch_track(sound).f0_hz
    assert np.abs(np.log2(voiced[voiced > 0] / f0_hz)).max() < 0.2


def test_the_spread_is_that_of_the_melody():
    wander = 3 * np.sin(2 * np.pi * 0.5 * np.arange(8 * RATE) / RATE)
    median, spread = pitch(pulses(150 * 2 ** (wander / 12), 8.0).astype(np.float32))
    low, high = np.quantile(wander, [0.16, 0.84])
    assert median == pytest.approx(150, rel=0.03)
    assert spread == pytest.approx((high - low) / 2, abs=0.25)


def test_noise_silence_and_a_moment_have_no_pitch():
    for sound in (noise(3.0, RATE), np.zeros(RATE), np.zeros(0), pulses(120, 0.2)):
        assert pitch(np.asarray(sound, np.float32)) == (None, None)


def test_pitch_is_that_of_the_speech_in_noise_and_beside_it():
    sound = np.concatenate([pulses(120), tone(300, 3.0, RATE)]) + noise(6.0, RATE, 0.003)
    assert pitch(sound.astype(np.float32), (Region(0, 3 * RATE),))[0] == pytest.approx(120, rel=0.01)


def test_a_range_must_hold_an_octave():
    with pytest.raises(ValueError, match="twice min_hz"):
        PitchConfig(min_hz=200, max_hz=300)


def shaped(levels_db, seconds=20.0):
    """Noise whose third octaves have these levels."""
    white = np.fft.rfft(noise(seconds, RATE))
    hz = np.maximum(np.fft.rfftfreq(round(seconds * RATE), 1 / RATE), 1)
    density = np.array(levels_db) - 10 * np.log10(BANDS_HZ)
    return np.fft.irfft(white * 10 ** (np.interp(np.log2(hz), np.log2(BANDS_HZ), density) / 20)).astype(np.float32)


def whole(sound):
    return (Region(0, len(sound)),)


def test_average_speech_is_at_no_distance_and_a_tilt_is_told():
    sound = shaped(np.array(LTASS_DB) - 60)
    tilt, distance = colour(sound, whole(sound))
    assert distance < 0.8
    assert tilt == pytest.approx(-4.3, abs=0.3)
    steeper = shaped(np.array(LTASS_DB) - 60 - 3 * np.log2(np.array(BANDS_HZ) / 160))
    assert colour(steeper, whole(steeper))[0] == pytest.approx(tilt - 3, abs=0.3)
    assert colour(steeper, whole(steeper))[1] > 4
    assert colour(0.01 * sound, whole(sound)) == (tilt, distance)


def test_bands_that_were_lost_are_no_colour_and_little_says_nothing():
    sound = shaped(np.array(LTASS_DB) - 60)
    lost = soxr.resample(soxr.resample(sound, RATE, 8_000), 8_000, RATE).astype(np.float32)
    assert colour(lost, whole(lost), 4_000)[1] < 1 < 10 < colour(lost, whole(lost))[1]
    assert colour(sound, whole(sound), 500) == (None, None)
    assert colour(sound, (Region(0, RATE // 2),)) == (None, None)
    assert colour(np.zeros(5 * RATE, np.float32), whole(sound[: 5 * RATE])) == (None, None)


def phrases(f0_hz, level, offset=0):
    """One second of vowel, one of rest, over."""
    gate = (np.arange(8 * RATE) + offset) // RATE % 2 == 0
    return level * pulses(f0_hz, 8.0) * gate


def test_a_voice_in_the_pauses_is_heard_and_noise_there_is_not():
    main, hiss = phrases(120, 1.0), noise(8.0, RATE, 1e-3)
    alone = background_speech_ratio((main + hiss).astype(np.float32))
    both = background_speech_ratio((main + hiss + phrases(200, 0.08, RATE)).astype(np.float32))
    assert alone == 0
    assert both > 0.8


def test_what_lies_around_an_utterance_is_heard_too():
    main, hiss = pulses(120, 3.0).astype(np.float32), noise(3.0, RATE, 1e-3)
    assert background_speech_ratio(main) is None
    assert background_speech_ratio(main, hiss.astype(np.float32)) == 0
    assert background_speech_ratio(main, (hiss + 0.05 * pulses(200)).astype(np.float32)) > 0.8
