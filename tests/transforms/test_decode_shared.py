"""Real files in 38 codecs, good, odd and broken, against what two decoders made of each of them."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest

from schemas.errors import Reason, Rejected
from schemas.sound import rescale
from tests.shared_audio import has_shared_audio, shared_audio
from transforms.decode import DecodeConfig, decode

CONFIG = DecodeConfig(min_sample_rate_hz=1_000)

# What the table says of these is one decoder's word, and decode knows better, or differs for the reason given.
ANSWERS = {
    # Samples at four rates: 163,840 at 32 kHz, 114,688 at 24, 77,824 at 16, 199,395 at 48; the table counts all at 48.
    "flac-test-files/uncommon/01 - changing samplerate.flac": 18.917,
    # libsndfile reads on where FFmpeg stops.
    "flac-test-files/faulty/01 - wrong max blocksize.flac": 4.25,
    # mpg123 leaves out the information frame and the decoder's delay, which FFmpeg decodes as sound.
    "tinytag/vbr_xing_header_2channel.mp3": 0.107,
    "tinytag/vbri.mp3": 0.41,
    "file-type/fixture-ffe3.mp3": 0.993,
}
REJECTED = {
    # It opens, and both readers fail at its first block.
    "flac-test-files/faulty/08 - blocksize 65536.flac": Reason.UNREADABLE,
    # Without metadata_errors="replace" it would not open; its sound is cut off.
    "tinytag/iso8859_with_image.m4a": Reason.EMPTY_AUDIO,
}


def rows(*, readable: bool) -> list[object]:
    """Rows of the table of which one decoder at least made something, or of which none did."""
    if not has_shared_audio():
        return []
    with shared_audio("files.csv").open(newline="") as file:
        table = [row for row in csv.DictReader(file) if row["path"].startswith("codecs/")]
    some = [row for row in table if readable == bool({row["ffmpeg"], row["libsndfile"]} & {"ok", "partial"})]
    return [
        pytest.param(row["path"].removeprefix("codecs/"), row, id=row["path"].removeprefix("codecs/")) for row in some
    ]


def test_the_files_are_there() -> None:
    shared_audio()
    assert (len(rows(readable=True)), len(rows(readable=False))) == (150, 35)


@pytest.mark.parametrize(("name", "row"), rows(readable=False))
def test_what_no_decoder_reads_is_rejected(name, row, tmp_path):
    usual = Reason.EMPTY_AUDIO if "empty" in (row["ffmpeg"], row["libsndfile"]) else Reason.UNREADABLE
    with pytest.raises(Rejected) as caught:
        decode(shared_audio(row["path"]), tmp_path, CONFIG)
    not_audio = caught.value.detail.endswith("no audio stream") and name not in REJECTED
    assert caught.value.reason is (Reason.NOT_AUDIO if not_audio else REJECTED.get(name, usual))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "row"), rows(readable=True))
def test_each_file_is_what_the_decoders_made_of_it(name, row, tmp_path):
    made = decode(shared_audio(row["path"]), tmp_path, CONFIG)
    expected = ANSWERS.get(name, float(row["dur_s"]))
    assert made.n_samples / made.sample_rate_hz == pytest.approx(expected, rel=0.005, abs=0.02)
    assert made.channels == int(row["ch"])
    assert made.sample_rate_hz == int(row["sr"]) or name in ANSWERS
    (track,) = made.tracks
    samples = track.read_analysis(0, track.n_analysis)
    assert len(samples) == rescale(made.n_samples, made.sample_rate_hz, 16_000)
    assert np.isfinite(samples).all()
    if made.channels == 1 and row["ffmpeg"] == "ok" and name not in ANSWERS:
        peak_dbfs = made.channel_measurements[0].peak_dbfs
        peak = 0.0 if peak_dbfs is None else 10 ** (peak_dbfs / 20)
        assert peak == pytest.approx(float(row["peak"]), rel=0.02, abs=0.002)


@pytest.mark.parametrize(("name", "hears"), [
    ("tinytag/variable-block.flac", "stopped at 0.9 s: flac decoder lost sync"),
    ("tinytag/vbr_xing_header_2channel.mp3", "the header claims 250.0 s; 0.1 s were decoded"),
    ("tinytag/id3_frames.mp3", "libsndfile stopped at 3.4 s: its header ended it with 24 % of the file unread"),
    ("flac-test-files/faulty/05 - wrong total number of samples.flac", "the header claims 1.7 s; 4.6 s were decoded"),
    ("file-type/fixture-adts-mpeg2.aac", "stopped at 1.1 s: Invalid data found when processing input"),
    ("lhotse/big_buck_bunny_small.mp4",
     "the mean of the channels lost 13.3 dB against channel 2, which was taken instead"),
])  # fmt: skip
def test_what_was_odd_is_noted(name, hears, tmp_path):
    assert hears in decode(shared_audio(f"codecs/{name}"), tmp_path, CONFIG).notes


def test_far_field_speech_and_its_level_are_where_they_were(tmp_path):
    made = decode(shared_audio("meetings/dev00.wav"), tmp_path, CONFIG)
    power = np.mean(10 ** (made.tracks[0].level_db.astype(float) / 10))
    assert 10 * math.log10(power) == pytest.approx(-41.1, abs=0.1)
    assert made.tracks[0].n_samples == made.tracks[0].n_analysis == 480_001
