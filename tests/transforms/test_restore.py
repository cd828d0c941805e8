"""Repairs of made damage: what each takes away, what it leaves, and what it says of it."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from schemas.errors import ConfigError
from schemas.sound import Region
from tests.transforms.builders import recording_of, track_of
from tests.transforms.sound_files import noise, tone
from tests.transforms.test_pitch_and_colour import pulses, shaped
from transforms import restore as restoring
from transforms.colour import LTASS_DB
from transforms.cut import Cut, utterance_of
from transforms.items import ChannelMeasurements, Measurements
from transforms.restore import Restore, RestoreConfig, Sound, restored
from transforms.restore_channel import equalise, remove_hum, remove_offset, set_loudness, true_peak_dbtp

RATE = 16_000
CONFIG = RestoreConfig(steps=restoring.ORDER)


@pytest.fixture
def utterance(tmp_path):
    def made(sound, **channel):
        track = track_of(tmp_path, np.asarray(sound, np.float32))
        whole = Region(0, len(sound))
        found = utterance_of(recording_of(track), Cut(0, whole, "spk00", (whole,)))
        return replace(found, channel=ChannelMeasurements(0, **channel))

    return made


def sound_of(utterance):
    return Sound(utterance.samples.astype(np.float64), RATE, utterance)


def power_at(sound, hz):
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
    at = round(hz * len(sound) / RATE)
    return 10 * np.log10(spectrum[at - 2 : at + 3].sum())


def test_an_offset_goes_and_nothing_else(utterance):
    samples, said = remove_offset(sound_of(utterance(noise(2.0, RATE) + 0.05)), CONFIG)
    assert abs(samples.mean()) < 1e-9
    assert said.before == pytest.approx(0.05, abs=0.002)
    assert said.after == 0
    assert remove_offset(sound_of(utterance(tone(100, 2.0, RATE))), CONFIG) is None


@pytest.mark.parametrize("mains_hz", [49.93, 60.08])
def test_hum_goes_with_its_harmonics_and_the_voice_stays(utterance, mains_hz):
    voice = np.tile(np.concatenate([pulses(137, 1.0), np.zeros(RATE)]), 3) + noise(6.0, RATE, 1e-3)
    hum = sum(tone(mains_hz * k, 6.0, RATE, 0.02 / k) for k in (1, 2, 3, 4))
    samples, said = remove_hum(sound_of(utterance(voice + hum, hum_db=30.0)), CONFIG)
    for k in (1, 2, 3, 4):
        assert power_at(samples, mains_hz * k) < power_at(voice + hum, mains_hz * k) - 15
    assert power_at(samples, 137) == pytest.approx(power_at(voice, 137), abs=0.5)
    assert np.sqrt(np.mean((samples - voice) ** 2)) < 0.1 * np.sqrt(np.mean(hum**2))
    assert said.after < 6 < said.before


def test_hum_that_is_faint_or_unknown_is_left_alone(utterance):
    sound = noise(6.0, RATE)
    assert remove_hum(sound_of(utterance(sound, hum_db=2.0)), CONFIG) is None
    assert remove_hum(sound_of(utterance(sound)), CONFIG) is None
    assert remove_hum(sound_of(utterance(sound[:RATE], hum_db=30.0)), CONFIG) is None


def test_the_equaliser_brings_speech_nearer_within_its_bounds(utterance):
    dull = 0.05 * shaped(np.array(LTASS_DB) - 60 - np.linspace(0, 16, len(LTASS_DB)), 6.0)
    samples, said = equalise(sound_of(utterance(dull)), CONFIG)
    assert said.after < said.before - 2
    gain = 20 * np.log10(np.abs(np.fft.rfft(samples))[10:-10] / np.abs(np.fft.rfft(dull))[10:-10])
    assert np.abs(np.median(gain[:5_000])) <= 6.5
    assert np.quantile(np.abs(gain), 0.9) <= 7
    assert equalise(sound_of(utterance(dull, bandwidth_hz=500.0)), CONFIG) is None
    assert equalise(sound_of(utterance(dull[: RATE // 2])), CONFIG) is None


def test_loudness_meets_its_target_or_the_true_peak(utterance):
    calm = noise(3.0, RATE, 0.01)
    samples, said = set_loudness(sound_of(utterance(calm)), CONFIG)
    assert said.after == pytest.approx(-23, abs=0.05)
    clicked = calm.copy()
    clicked[20_000] = 0.4
    held, said = set_loudness(sound_of(utterance(clicked)), RestoreConfig(target_lufs=-14))
    assert "held by the true peak" in said.detail
    assert true_peak_dbtp(held) == pytest.approx(-1, abs=0.01)
    assert set_loudness(sound_of(utterance(samples)), CONFIG) is None
    assert set_loudness(sound_of(utterance(np.zeros(RATE))), CONFIG) is None


def test_a_true_peak_lies_between_the_samples():
    # A quarter of the rate, 45 degrees off: every sample is 0.707 of the wave's height.
    sound = np.sin(np.pi / 2 * np.arange(4_000) + np.pi / 4)
    assert true_peak_dbtp(sound) == pytest.approx(0, abs=0.6)
    assert 20 * np.log10(np.abs(sound).max()) == pytest.approx(-3, abs=0.02)
    assert true_peak_dbtp(np.zeros(10)) is None


def test_a_restored_utterance_names_its_parent_and_has_what_was_not_repaired(utterance):
    parent = utterance(0.05 * np.tile(pulses(137, 1.0), 5) + 0.02)
    measured = replace(parent, mel_power=np.ones((2, 2), np.float32), quality_flags=("said of the parent",))
    child = restored(measured.measured(snr_db=3.0), RestoreConfig())
    assert (child.measurements, child.quality_flags, child.mel_power) == (Measurements(), (), None)
    assert child.key == parent.key + "-restored"
    assert (child.parent_key, child.region, child.catalogue) == (parent.key, parent.region, parent.catalogue)
    assert [change.step for change in child.restored] == ["dc", "loudness"]
    assert child.native().dtype == parent.native().dtype
    assert len(child.native()) == parent.region.n_samples
    assert len(child.samples) == len(parent.samples)
    assert abs(child.native().mean()) < 5 < parent.native().mean()
    again = restored(parent, RestoreConfig())
    assert child.native().tobytes() == again.native().tobytes()


def test_what_needs_nothing_gets_no_child(utterance):
    assert restored(utterance(0.1 * noise(2.0, RATE)), RestoreConfig(steps=("dc", "hum"))) is None


def test_noise_reduction_lowers_noise_where_there_is_a_pause(utterance):
    pytest.importorskip("noisereduce")
    from transforms.restore_noise import reduce_noise

    voice = np.concatenate([np.zeros(RATE), pulses(137, 3.0), np.zeros(RATE)])
    found = utterance(voice + noise(5.0, RATE, 0.01))
    found = replace(found, speech=(Region(RATE, 4 * RATE),))
    samples, said = reduce_noise(sound_of(found), CONFIG)
    assert np.std(samples[2_000:14_000]) < 0.5 * np.std(found.samples[2_000:14_000])
    assert np.corrcoef(samples[RATE : 4 * RATE], voice[RATE : 4 * RATE])[0, 1] > 0.9
    assert said.after > said.before
    assert reduce_noise(sound_of(utterance(voice)), CONFIG) is None


def test_dereverberation_shortens_the_tail(utterance):
    pytest.importorskip("nara_wpe")
    from transforms.restore_noise import dereverberate

    rng = np.random.default_rng(0)
    room = rng.standard_normal(RATE) * np.exp(-6.9 * np.arange(RATE) / (0.8 * RATE))
    room[0] = 8
    dry = np.concatenate([np.concatenate([pulses(f0, 0.25), np.zeros(4_000)]) for f0 in rng.uniform(100, 200, 14)])
    wet = np.convolve(dry, room)[: len(dry)]
    samples, said = dereverberate(sound_of(utterance(0.5 * wet / np.abs(wet).max())), CONFIG)
    assert len(samples) == len(wet)
    assert said.after > said.before


def test_a_library_that_is_missing_is_named_before_anything_runs(monkeypatch):
    monkeypatch.setitem(sys.modules, "noisereduce", None)
    with pytest.raises(ConfigError, match=r"brings noisereduce"):
        Restore(RestoreConfig(steps=("denoise",)))
    assert Restore(RestoreConfig()).model_ids == {}
