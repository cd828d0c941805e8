"""Files that lie, break off or are no sound at all: each trap seen in the wild, made anew."""

from __future__ import annotations

import errno
import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import ConfigError, Reason, Rejected
from schemas.model import parse
from tests.transforms.sound_files import claim_flac_samples, encode, noise, pcm16, tone, write
from transforms.decode import DecodeConfig, attempts, decode, spool
from transforms.decode.quiet import quiet_stderr
from transforms.decode.stream import said

SECONDS = 4.0
N = round(SECONDS * 44_100)


def decoded(path, tmp_path, **config):
    folder = tmp_path / "spool"
    folder.mkdir(exist_ok=True)
    return decode(path, folder, DecodeConfig(**config))


def rejection(path, tmp_path, **config):
    """The Rejected that decoding `path` raises; its text names no path, and it leaves nothing behind."""
    with pytest.raises(Rejected) as caught:
        decoded(path, tmp_path, **config)
    assert list((tmp_path / "spool").iterdir()) == []
    assert not re.search(r"/tmp|0x[0-9a-f]{3}|\n", caught.value.detail)
    return caught.value


def native(made):
    return np.fromfile(made.tracks[0].native_path, made.tracks[0].native_dtype)


@pytest.fixture
def flac(tmp_path):
    return write(tmp_path / "a.flac", pcm16(noise(SECONDS)))


def test_rifx_is_never_left_to_ffmpeg_which_makes_noise_of_it(tmp_path):
    path = write(tmp_path / "a.wav", pcm16(noise(1.0)), endian="BIG")
    assert path.read_bytes()[:4] == b"RIFX"
    # A large chunk of something else behind the sound has libsndfile's word checked by the other reader.
    path.write_bytes(path.read_bytes() + b"junk" + (100_000).to_bytes(4, "big") + bytes(100_000))
    assert np.array_equal(native(decoded(path, tmp_path)), pcm16(noise(1.0)))
    assert rejection(path, tmp_path, readers=("ffmpeg",)).reason is Reason.UNREADABLE


def test_metadata_that_is_no_utf8_does_not_matter(tmp_path):
    how = {"metadata_encoding": "latin-1"}
    path = encode(tmp_path / "a.m4a", tone(440, 2.0), 44_100, "aac", metadata={"title": "Übergröße"}, **how)
    with pytest.raises(UnicodeDecodeError):
        av.open(str(path))
    assert decoded(path, tmp_path).n_samples == pytest.approx(2 * 44_100, abs=4_096)


def test_flac_without_a_sample_count_is_read_to_its_end(flac, tmp_path):
    made = decoded(claim_flac_samples(flac, 0), tmp_path)
    assert (made.n_samples, made.header_duration_s) == (N, None)
    assert np.array_equal(native(made), pcm16(noise(SECONDS)))
    # A file written as a stream may change its format on the way, and only FFmpeg notices.
    assert made.decoder.startswith("ffmpeg")
    assert decoded(flac, tmp_path, readers=("libsndfile",)).n_samples == N


def test_a_claim_of_two_to_the_36_samples_costs_nothing(flac, tmp_path):
    started = time.process_time()
    made = decoded(claim_flac_samples(flac, 2**36 - 1), tmp_path)
    assert time.process_time() - started < 5
    assert made.n_samples == N
    assert made.header_duration_s == pytest.approx((2**36 - 1) / 44_100)
    assert sum(file.stat().st_size for file in (tmp_path / "spool").iterdir()) == 2 * N + 4 * made.tracks[0].n_analysis


@pytest.mark.parametrize("factor", [500, 1 / 3])
def test_the_duration_is_what_was_decoded_whatever_the_header_says(flac, tmp_path, factor):
    made = decoded(claim_flac_samples(flac, round(N * factor)), tmp_path)
    assert made.n_samples == N
    assert any(f"the header claims {SECONDS * factor:.1f} s; 4.0 s were decoded" in note for note in made.notes)


def test_joined_mp3_files_are_heard_to_the_end(tmp_path):
    # The second file lies behind the length that the first one's header states.
    first, second = (
        write(tmp_path / f"{name}.mp3", tone(hz, 3.0)).read_bytes() for name, hz in (("a", 300), ("b", 900))
    )
    path = tmp_path / "joined.mp3"
    path.write_bytes(first + second)
    made = decoded(path, tmp_path)
    assert made.n_samples / 44_100 == pytest.approx(6.0, abs=0.2)
    assert made.decoder.startswith("ffmpeg")
    assert any("libsndfile stopped at 3" in note for note in made.notes)


@pytest.mark.parametrize(
    ("suffix", "codec"), [("flac", None), ("mp3", None), ("ogg", None), ("wav", None), ("aac", "aac")]
)
def test_good_sound_before_a_truncated_tail_is_kept(tmp_path, suffix, codec):
    path = tmp_path / f"a.{suffix}"
    samples = noise(SECONDS)
    _ = encode(path, samples, 44_100, codec, format="adts") if codec else write(path, samples)
    whole = decoded(path, tmp_path).n_samples
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    made = decoded(path, tmp_path)
    assert 0.4 * whole < made.n_samples < 0.7 * whole


def test_where_the_reader_stopped_and_what_it_said_is_noted(flac, tmp_path):
    flac.write_bytes(flac.read_bytes()[:-100_000])
    made = decoded(flac, tmp_path)
    assert any(re.fullmatch(r"stopped at [\d.]+ s: .+", note) for note in made.notes)
    assert np.array_equal(native(made), pcm16(noise(SECONDS))[: made.n_samples])


def test_a_broken_packet_in_the_middle_is_skipped_and_noted(tmp_path):
    path = encode(tmp_path / "a.aac", noise(SECONDS), 44_100, "aac", format="adts")
    data = bytearray(path.read_bytes())
    starts = [found.start() for found in re.finditer(rb"\xff\xf1", data)]
    middle = starts[len(starts) // 2]
    data[middle + 7 : middle + 90] = b"\xff" * 83
    path.write_bytes(data)
    made = decoded(path, tmp_path)
    assert made.n_samples / 44_100 == pytest.approx(SECONDS, abs=0.2)
    assert any("broken packets that were skipped: " in note for note in made.notes)


def test_junk_after_the_last_frame_of_an_mp3_costs_no_sound(tmp_path):
    path = write(tmp_path / "a.mp3", tone(440, SECONDS))
    whole = decoded(path, tmp_path).n_samples
    path.write_bytes(path.read_bytes() + b"\xff\xfb\x90\x00" + b"\x55" * 60_000)
    assert decoded(path, tmp_path).n_samples >= whole


def test_a_stream_that_changes_its_format_is_heard_in_the_first_one(tmp_path):
    parts = [
        encode(tmp_path / "a.aac", tone(440, 2.0, 44_100), 44_100, "aac", format="adts"),
        encode(tmp_path / "b.aac", tone(440, 2.0, 22_050), 22_050, "aac", format="adts"),
    ]
    path = tmp_path / "c.aac"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    made = decoded(path, tmp_path)
    assert made.sample_rate_hz == 44_100
    assert made.n_samples / 44_100 == pytest.approx(4.0, abs=0.3)
    assert any("the format changes at 2." in note for note in made.notes)


def test_joined_ogg_streams_are_heard_to_the_end(tmp_path):
    path = tmp_path / "joined.ogg"
    path.write_bytes(b"".join(write(tmp_path / f"{hz}.ogg", tone(hz, 3.0)).read_bytes() for hz in (300, 900)))
    assert decoded(path, tmp_path).n_samples / 44_100 == pytest.approx(6.0, abs=0.2)


def test_two_audio_streams_are_noted(tmp_path):
    path = encode(tmp_path / "a.mp4", tone(440, 1.0), 44_100, "aac", tracks=2)
    assert any(note.startswith("2 audio streams") for note in decoded(path, tmp_path).notes)


@pytest.mark.parametrize("reader", ["libsndfile", "ffmpeg"])
def test_no_sample_is_empty_audio_and_not_silence(tmp_path, reader):
    path = write(tmp_path / "a.wav", np.zeros(0))
    assert rejection(path, tmp_path).reason is Reason.EMPTY_AUDIO
    assert rejection(path, tmp_path, readers=(reader,)).reason is Reason.EMPTY_AUDIO


def test_a_film_without_sound_is_not_audio(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    refused = rejection(path, tmp_path)
    assert refused.reason is Reason.NOT_AUDIO
    assert refused.detail == "libsndfile: Format not recognised; ffmpeg: no audio stream"


@pytest.mark.parametrize(
    "content",
    [b"", b"\0", b"plain text\n" * 100, b"RIFF\x24\0\0\0WAVEfmt ", b"fLaC" + b"\xff" * 90, b"OggS" + b"\0" * 80],
)
def test_what_nobody_can_read_is_told_in_the_words_of_both_readers(tmp_path, content):
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    refused = rejection(path, tmp_path)
    assert refused.reason in (Reason.UNREADABLE, Reason.EMPTY_AUDIO)
    assert "libsndfile: " in refused.detail
    assert "ffmpeg: " in refused.detail


@pytest.mark.parametrize("playlist", ["#EXTM3U\n#EXTINF:1,\n{0}\n", "ffconcat version 1.0\nfile {0}\n"])
def test_a_playlist_opens_no_other_file(tmp_path, playlist):
    write(tmp_path / "secret.wav", noise(1.0))
    for name in ("a.m3u8", "a.wav"):
        for target in ("secret.wav", f"file:{tmp_path}/secret.wav", f"{tmp_path}/secret.wav"):
            path = tmp_path / name
            path.write_text(playlist.format(target))
            assert rejection(path, tmp_path).reason is not Reason.EMPTY_AUDIO


def test_caps_are_enforced_on_what_is_decoded(tmp_path):
    path = write(tmp_path / "a.wav", np.stack([noise(3.0)] * 3, axis=1))
    refused = {
        name: rejection(path, tmp_path, **{name: value}).reason
        for name, value in {
            "max_duration_s": 2.9,
            "max_bytes": 1_000,
            "max_channels": 2,
            "max_spool_bytes": 100_000,
            "min_sample_rate_hz": 48_000,
            "max_sample_rate_hz": 16_000,
        }.items()
    }
    assert refused == {
        "max_duration_s": Reason.TOO_LONG,
        "max_bytes": Reason.TOO_LARGE,
        "max_channels": Reason.TOO_MANY_CHANNELS,
        "max_spool_bytes": Reason.TOO_LARGE,
        "min_sample_rate_hz": Reason.BAD_SAMPLE_RATE,
        "max_sample_rate_hz": Reason.BAD_SAMPLE_RATE,
    }
    assert decoded(path, tmp_path, max_duration_s=3.0).n_samples == 3 * 44_100


@pytest.mark.parametrize(("key", "value"), [
    ("max_duration_s", 0), ("readers", []), ("readers", ["ffmpeg", "ffmpeg"]), ("channels", "left"),
    ("min_sample_rate_hz", 500_000), ("max_chanels", 2),
])  # fmt: skip
def test_a_config_that_makes_no_sense_is_refused(key, value):
    with pytest.raises(ConfigError):
        parse(DecodeConfig, {key: value}, "decode")


@dataclass
class Failing:
    """A reader that opens nothing."""

    error: Exception

    def __call__(self, _descriptor: int):
        raise self.error


def test_a_full_disk_is_not_the_files_fault(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(spool.TrackWriter, "_write", full)
    with pytest.raises(OSError, match="No space left"):
        decoded(write(tmp_path / "a.wav", noise(1.0)), tmp_path)
    assert list((tmp_path / "spool").iterdir()) == []


def test_want_of_memory_is_not_the_files_fault(tmp_path, monkeypatch):
    monkeypatch.setitem(attempts._READERS, "libsndfile", Failing(MemoryError()))
    with pytest.raises(MemoryError):
        decoded(write(tmp_path / "a.wav", noise(1.0)), tmp_path)


def test_a_file_that_is_gone_is_not_unreadable(tmp_path):
    with pytest.raises(Rejected) as caught:
        decoded(tmp_path / "gone.wav", tmp_path)
    assert caught.value.reason is Reason.SOURCE_MISSING


def test_mpg123_writes_nothing_to_stderr(tmp_path, capfd):
    path = write(tmp_path / "a.mp3", tone(440, 1.0))
    path.write_bytes(b"ID3\x03\0\0\0\0\0\x05abcde" + path.read_bytes())
    decoded(path, tmp_path)
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


def test_stderr_is_back_after_an_error(capfd):
    with suppress(KeyError), quiet_stderr():
        os.write(2, b"lost")
        raise KeyError
    os.write(2, b"kept")
    assert capfd.readouterr().err == "kept"


@pytest.mark.parametrize(("error", "words"), [
    (ValueError("bad\n  thing at <object at 0x7fa3bc>"), "ValueError: bad thing at <object at 0x…>"),
    (OSError(5, "Input/output error", "/tmp/a b/c.wav"), "Input/output error"),
    (RuntimeError("cannot open /mnt/in/x.wav"), "RuntimeError: cannot open …/x.wav"),
])  # fmt: skip
def test_what_a_reader_says_is_one_line_that_is_the_same_everywhere(error, words):
    assert said(error) == words


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    """One short sound in several formats, as bytes."""
    folder = tmp_path_factory.mktemp("pieces")
    samples = np.stack([noise(0.4, seed=1), noise(0.4, seed=2)], axis=1)
    files = [write(folder / f"a.{suffix}", samples) for suffix in ("wav", "flac", "mp3", "ogg", "aiff")]
    files.append(encode(folder / "a.m4a", samples, 44_100, "aac"))
    return [file.read_bytes() for file in files]


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_sound_or_a_rejection_and_nothing_else(pieces, tmp_path, data):
    content = bytearray(data.draw(st.sampled_from(pieces)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(1, 64))] = data.draw(st.binary(max_size=64))
        if not content:
            break
    path = tmp_path / "damaged"
    path.write_bytes(content)
    try:
        made = decoded(path, tmp_path, max_duration_s=600, max_spool_bytes=1 << 30)
    except Rejected:
        assert list((tmp_path / "spool").iterdir()) == []
        return
    for track in made.tracks:
        assert track.n_samples == made.n_samples > 0
        assert track.native_path.stat().st_size == made.n_samples * np.dtype(track.native_dtype).itemsize
        assert track.analysis_path.stat().st_size == 4 * track.n_analysis
        assert len(track.level_db) == -(-track.n_analysis // 800)
        assert np.isfinite(track.read_analysis(0, track.n_analysis)).all()


def test_the_folder_of_spools_is_the_only_place_that_is_written(tmp_path):
    path = write(tmp_path / "a.mp3", noise(1.0))
    before = set(Path(tmp_path).rglob("*"))
    decoded(path, tmp_path)
    assert {file.parent.name for file in Path(tmp_path).rglob("*") if file not in before and file.is_file()} == {
        "spool"
    }
