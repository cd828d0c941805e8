"""One decode fills the spools, the levels and the measurements; what goes in comes out, and at the right place."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.catalogue import CatalogueRow
from schemas.errors import Reason, Rejected
from schemas.sound import Region
from schemas.source import Source
from tests.transforms.builders import level_db_of
from tests.transforms.sound_files import encode, noise, pcm16, power_at, tone, write
from transforms.decode import Decode, DecodeConfig, decode
from transforms.decode.spool import _as_pcm
from transforms.items import Recording

USUAL, SPLIT = DecodeConfig(), DecodeConfig(channels="split")


def decoded(path, tmp_path, config=USUAL):
    spool = tmp_path / "spool"
    spool.mkdir(exist_ok=True)
    return decode(path, spool, config)


def native(track):
    return track.read(Region(0, track.n_samples))


def heard(track):
    return track.read_analysis(0, track.n_analysis)


@pytest.mark.parametrize(("suffix", "subtype", "endian"), [
    ("wav", "PCM_16", "LITTLE"), ("wav", "PCM_16", "BIG"), ("wav", "PCM_U8", "FILE"), ("flac", "PCM_16", "FILE"),
    ("aiff", "PCM_16", "FILE"), ("au", "PCM_16", "FILE"), ("caf", "PCM_16", "FILE"), ("w64", "PCM_16", "FILE"),
])  # fmt: skip
def test_sixteen_bits_come_back_bit_for_bit(tmp_path, suffix, subtype, endian):
    samples = pcm16(noise(1.3))
    if subtype == "PCM_U8":
        samples = samples // 256 * 256
    path = write(tmp_path / f"a.{suffix}", samples, subtype=subtype, endian=endian)
    made = decoded(path, tmp_path)
    (track,) = made.tracks
    assert (track.native_dtype, track.native_bits, made.downmix, made.channels) == ("int16", 16, "mono", 1)
    assert (track.n_samples, made.n_samples, made.sample_rate_hz) == (len(samples), len(samples), 44_100)
    assert np.array_equal(native(track), samples)
    assert made.decoder.startswith("libsndfile 1.")
    assert made.notes == ()


@pytest.mark.parametrize("subtype", ["PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_what_is_deeper_than_sixteen_bits_is_left_justified_in_int32(tmp_path, subtype):
    samples = (np.random.default_rng(1).integers(-(2**23), 2**23, 30_000) << 8).astype(np.int32)
    if subtype == "PCM_32":
        samples |= np.random.default_rng(2).integers(0, 256, 30_000).astype(np.int32)
    written = samples if subtype.startswith("PCM") else samples / 2.0**31
    (track,) = decoded(write(tmp_path / "a.wav", written, subtype=subtype), tmp_path).tracks
    assert (track.native_dtype, track.native_bits) == ("int32", 24)
    assert np.array_equal(native(track), samples)


@given(st.lists(st.integers(-(2**15), 2**15 - 1), min_size=1, max_size=50))
def test_sixteen_bit_samples_survive_the_floats_between(values):
    samples = np.array(values, np.int16)
    assert np.array_equal(_as_pcm(samples.astype(np.float32) / np.float32(32_768), 16, False), samples)
    assert np.array_equal(_as_pcm(samples.astype(np.float64) / 2.0**15, 24, False) >> 16, samples)


@pytest.mark.parametrize(("suffix", "codec", "rate_hz", "picture"), [
    ("m4a", "aac", 44_100, False), ("mp4", "aac", 22_050, True), ("mov", "aac", 48_000, True),
    ("webm", "libopus", 48_000, False), ("mka", "flac", 44_100, False), ("wma", "wmav2", 44_100, False),
])  # fmt: skip
def test_ffmpeg_reads_the_rest_whatever_pictures_are_beside_the_sound(tmp_path, suffix, codec, rate_hz, picture):
    path = encode(tmp_path / f"a.{suffix}", tone(440, 2.0, rate_hz), rate_hz, codec, picture=picture)
    made = decoded(path, tmp_path)
    assert made.decoder.startswith("ffmpeg ")
    assert "pyav" in made.decoder
    assert made.codec == {"libopus": "opus"}.get(codec, codec)
    assert made.n_samples / made.sample_rate_hz == pytest.approx(2.0, abs=0.1)
    assert power_at(heard(made.tracks[0])[4_000:-4_000], 440, 16_000) == pytest.approx(-6, abs=0.5)


@pytest.mark.parametrize("suffix", ["mp3", "ogg"])
def test_lossy_sound_is_spooled_in_sixteen_bits(tmp_path, suffix):
    made = decoded(write(tmp_path / f"a.{suffix}", tone(440, 3.0)), tmp_path)
    (track,) = made.tracks
    assert (track.native_dtype, track.native_bits) == ("int16", 16)
    assert made.codec == {"mp3": "mp3", "ogg": "vorbis"}[suffix]
    assert made.n_samples / 44_100 == pytest.approx(3.0, abs=0.06)
    assert np.abs(native(track)).max() == pytest.approx(16_384, rel=0.05)


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_the_analysis_track_is_the_same_sound_at_the_same_place(tmp_path, rate_hz):
    n = round(1.2345 * rate_hz)
    click = np.zeros(n)
    at = round(0.7 * rate_hz)
    click[at - rate_hz // 200 : at + rate_hz // 200 + 1] = 0.9 * np.hanning(2 * (rate_hz // 200) + 1)
    (track,) = decoded(write(tmp_path / "a.wav", click, rate_hz), tmp_path).tracks
    samples = heard(track)
    assert samples.dtype == np.float32
    assert len(samples) == track.n_analysis == round(n * 16_000 / rate_hz)
    # The centre of the click to a third of a sample, and its height.
    energy = samples.astype(float) ** 2
    assert np.sum(energy * np.arange(len(samples))) / energy.sum() == pytest.approx(at / rate_hz * 16_000, abs=0.35)
    assert samples.max() == pytest.approx(0.9, abs=0.01)


def test_a_tone_above_the_new_nyquist_vanishes(tmp_path):
    # Taking every third sample would make it a full-power tone at 5 kHz.
    (track,) = decoded(write(tmp_path / "a.wav", tone(11_000, 2.0, 48_000), 48_000), tmp_path).tracks
    assert power_at(heard(track)[1_600:-1_600], 5_000, 16_000) < -90
    assert np.abs(heard(track)[1_600:-1_600]).max() < 1e-4


def test_levels_are_the_power_of_each_50_ms(tmp_path):
    made = decoded(write(tmp_path / "a.wav", np.concatenate([noise(40.0, 16_000), np.zeros(12_345)]), 16_000), tmp_path)
    (track,) = made.tracks
    assert track.level_db.dtype == np.float32
    assert np.allclose(track.level_db, level_db_of(heard(track)), atol=1e-3)
    assert track.level_db[-2] == pytest.approx(-120)


def test_stereo_becomes_the_mean_and_its_measurements_are_those_of_the_worst_channel(tmp_path):
    left, right = tone(300, 3.0, level=0.2), np.clip(tone(500, 3.0, level=1.5), -0.8, 0.8) + 0.05
    path = write(tmp_path / "a.wav", np.stack([left, right], axis=1))
    mixed, (left_alone, right_alone) = decoded(path, tmp_path), decoded(path, tmp_path, SPLIT).channel_measurements
    assert (mixed.downmix, mixed.channels, len(mixed.tracks), mixed.tracks[0].channel) == ("mean", 2, 1, 0)
    (measured,) = decoded(path, tmp_path).channel_measurements
    assert np.abs(native(decoded(path, tmp_path).tracks[0]) / 32_768 - (left + right) / 2).max() < 2 / 32_768
    assert left_alone.clipping_ratio == 0
    assert measured.clipping_ratio == right_alone.clipping_ratio > 0.3
    assert measured.peak_dbfs == right_alone.peak_dbfs == pytest.approx(20 * np.log10(0.85), abs=0.01)
    assert measured.dc_offset == pytest.approx(0.05, abs=1e-4)


def test_split_gives_each_channel_a_track_of_its_own(tmp_path):
    samples = np.stack([pcm16(noise(1.0, seed=seed)) for seed in range(3)], axis=1)
    made = decoded(write(tmp_path / "a.wav", samples), tmp_path, SPLIT)
    assert made.downmix == "split"
    assert (
        [track.channel for track in made.tracks]
        == [measured.channel for measured in made.channel_measurements]
        == [0, 1, 2]
    )
    for channel, track in enumerate(made.tracks):
        assert np.array_equal(native(track), samples[:, channel])


@pytest.mark.parametrize("offset", [0.0, 0.1])
def test_where_a_downmix_cancels_the_stronger_channel_is_taken(tmp_path, offset):
    left, right = pcm16(offset - 0.9 * noise(2.0)), pcm16(offset + noise(2.0))
    path = write(tmp_path / "a.wav", np.stack([left, right], axis=1))
    made = decoded(path, tmp_path)
    (track,) = made.tracks
    assert (made.downmix, track.channel, made.channel_measurements[0].channel) == ("channel_1", 1, 1)
    assert np.array_equal(native(track), right)
    assert "lost 26.0 dB against channel 1" in made.notes[-1]
    assert sorted(file.suffix for file in (tmp_path / "spool").iterdir()) == [".f32", ".pcm"]


def test_one_silent_channel_does_not_cancel(tmp_path):
    made = decoded(write(tmp_path / "a.wav", np.stack([noise(1.0), np.zeros(44_100)], axis=1)), tmp_path)
    assert made.downmix == "mean"
    silent = decoded(write(tmp_path / "a.wav", np.zeros((44_100, 2))), tmp_path)
    assert (silent.downmix, silent.channel_measurements[0].peak_dbfs) == ("mean", None)


@pytest.mark.parametrize(("scale", "said"), [(1.5, "1/2"), (5.0, "1/8"), (32_768.0, "1/32768")])
def test_floats_beyond_full_scale_are_scaled_by_a_power_of_two_and_never_wrap(tmp_path, scale, said):
    samples = tone(440, 1.0, level=0.9) * scale
    made = decoded(write(tmp_path / "a.wav", samples, subtype="FLOAT"), tmp_path)
    factor = int(said[2:])
    assert np.abs(native(made.tracks[0]) / 2.0**31 - samples / factor).max() < 1e-6
    assert any(f"scaled by {said}" in note for note in made.notes)
    assert made.channel_measurements[0].clipping_ratio == 0


def test_rare_floats_beyond_full_scale_are_clipped_and_noted(tmp_path):
    samples = noise(2.0)
    samples[1_000:1_003] = 3.0, -3.0, 3.0
    made = decoded(write(tmp_path / "a.wav", samples, subtype="FLOAT"), tmp_path)
    assert native(made.tracks[0])[1_000:1_003].tolist() == [2**31 - 1, -(2**31), 2**31 - 1]
    assert made.notes == ("3 samples exceed full scale (up to 3) and were clipped",)


def test_floats_that_are_no_numbers_become_zero(tmp_path):
    samples = noise(1.0)
    samples[[10, 20, 30]] = np.nan, np.inf, 1e30
    made = decoded(write(tmp_path / "a.wav", samples, subtype="FLOAT"), tmp_path)
    assert native(made.tracks[0])[[10, 20, 30]].tolist() == [0, 0, 0]
    assert made.notes == ("3 samples were no numbers, or beyond every scale, and were set to 0",)


def test_lossy_overshoot_is_clipped_where_it_is_stored(tmp_path):
    square = 0.999 * np.sign(tone(200, 2.0))
    made = decoded(write(tmp_path / "a.mp3", square), tmp_path)
    spooled = native(made.tracks[0]) / 32_768
    assert np.abs(spooled).max() <= 1
    # A sample that wrapped would have the wrong sign in the middle of a half period.
    assert np.mean(np.sign(spooled[4_000:-4_000]) == np.sign(square[4_000 : len(spooled) - 4_000])) > 0.98
    assert made.channel_measurements[0].peak_dbfs > 0


def test_the_same_file_gives_the_same_bytes(tmp_path):
    path = write(tmp_path / "a.mp3", np.stack([noise(7.0, seed=1), noise(7.0, seed=2)], axis=1))
    first = decoded(path, tmp_path)
    kept = [file.read_bytes() for file in (first.tracks[0].native_path, first.tracks[0].analysis_path)]
    again = decoded(path, tmp_path)
    assert [file.read_bytes() for file in (again.tracks[0].native_path, again.tracks[0].analysis_path)] == kept
    assert again.channel_measurements == first.channel_measurements
    assert np.array_equal(again.tracks[0].level_db, first.tracks[0].level_db)


def test_a_file_that_is_gone_by_now_is_put_aside_for_now(tmp_path):
    with pytest.raises(Rejected) as caught:
        decode(tmp_path / "gone.wav", tmp_path, DecodeConfig())
    assert caught.value.reason is Reason.SOURCE_MISSING


def test_the_stage_answers_for_each_recording_in_order(tmp_path):
    good, bad = write(tmp_path / "a.wav", noise(1.0)), tmp_path / "b.wav"
    bad.write_text("not sound")
    spool = tmp_path / "spool"
    batch = [Recording(Source("root", path.name, "1", 1), "0" * 64, path, CatalogueRow()) for path in (good, bad, good)]
    first, second, third = Decode(DecodeConfig(), spool)(batch)
    assert first.decoded.n_samples == third.decoded.n_samples == 44_100
    assert first.decoded.tracks[0].native_path.parent == spool / first.recording_id
    assert isinstance(second, Rejected)
    assert (second.stage, second.reason) == ("decode", Reason.UNREADABLE)
    assert sorted(folder.name for folder in spool.iterdir()) == [first.recording_id]


MEMORY = """
import re, sys
from pathlib import Path
from transforms.decode import DecodeConfig, decode
decode(Path(sys.argv[1]), Path(sys.argv[2]), DecodeConfig())
# Not ru_maxrss: a child inherits its parent's.
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


def test_memory_does_not_grow_with_the_recording(tmp_path):
    used = []
    (tmp_path / "spool").mkdir()
    for minutes in (2, 40):
        path = write(tmp_path / "a.wav", np.tile(pcm16(noise(60.0, 8_000)), minutes), 8_000)
        command = [sys.executable, "-c", MEMORY, str(path), str(tmp_path / "spool")]
        used.append(int(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    assert used[1] - used[0] < 15
