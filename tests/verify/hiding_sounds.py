"""Places in which a voice is hidden: formats, packings, and what is done to sound before it is kept."""

from __future__ import annotations

import base64
import gzip
import io
import zipfile
from collections.abc import Callable

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
import soxr
from numpy.typing import NDArray

from lake.tar import TarWriter
from tests.speech import RATE_HZ
from tests.verify.canaries import Hidden, Site, erased_voice, other_voice

Samples = NDArray[np.float64]
_RAW = "raw_sound"


def hide_voice(site: Site) -> list[Hidden]:
    """Every place of this page; each holds another stretch of the voice."""
    return [
        _put(site, "member of a tar", "shards/r/voice.tar", lambda x: _tarred(site, _encoded(x, "FLAC")), "flac"),
        _put(site, "resampled WAV", "shards/r/8k.wav", lambda x: _at_rate(x, 8000, "WAV"), "wav"),
        _put(site, "quiet WAV", "shards/r/quiet.wav", lambda x: _encoded(x * 0.1, "WAV"), "wav"),
        _put(site, "one channel of two", "shards/r/two.wav", lambda x: _encoded(_beside(x), "WAV"), "wav"),
        _put(site, "between others", "shards/r/between.wav", lambda x: _encoded(_between(x), "WAV"), "wav"),
        _put(site, "MP3", "shards/r/voice.mp3", lambda x: b"junk" + _encoded(x, "MP3"), "mp3"),
        _put(site, "Opus", "shards/r/voice.opus", lambda x: _at_rate(x, 48000, "OGG", "OPUS"), "ogg"),
        _put(site, "AIFF", "shards/r/voice.aiff", lambda x: _encoded(x, "AIFF"), "aiff"),
        _put(site, "AAC in MP4", "shards/r/voice.m4a", lambda x: _by_ffmpeg(x, "mp4", "aac"), "mp4"),
        _put(site, "Matroska", "shards/r/voice.mka", lambda x: _by_ffmpeg(x, "matroska", "libopus"), "matroska"),
        _put(site, "samples without a header", "@spool/0.pcm", lambda x: (x * 32767).astype("<i2").tobytes(), _RAW),
        _put(site, "floats without a header", "@spool/0.f32", lambda x: x.astype("<f4").tobytes(), _RAW),
        _put(site, "packed column of an export", "@export/data.parquet", _column, "wav zstd"),
        _put(site, "in a zip", "shards/r/voice.zip", lambda x: _zipped(_encoded(x, "FLAC")), "flac"),
        _put(site, "packed WAV", "shards/r/voice.wav.gz", lambda x: gzip.compress(_encoded(x, "WAV")), "wav gzip"),
        _put(site, "player in a page", "runs/000001/listen.html", _page, "flac base64_runs"),
        _put(site, "cut off in the middle", "shards/r/torn.flac", lambda x: _torn(_encoded(x, "FLAC")), "flac"),
    ]  # fmt: skip


def _put(site: Site, name: str, path: str, make: Callable[[Samples], bytes], needs: str) -> Hidden:
    samples = erased_voice()
    seconds = site.canaries.random.uniform(4.0, 6.0)
    begin = site.canaries.random.randrange(len(samples) - round(seconds * RATE_HZ))
    return site.put(f"voice: {name}", path, make(samples[begin : begin + round(seconds * RATE_HZ)]), needs)


def _encoded(samples: Samples, form: str, rate: int = RATE_HZ, subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form, subtype=subtype)
    return file.getvalue()


def _at_rate(samples: Samples, rate: int, form: str, subtype: str | None = None) -> bytes:
    return _encoded(soxr.resample(samples, RATE_HZ, rate), form, rate, subtype)


def _beside(samples: Samples) -> Samples:
    return np.stack([np.resize(other_voice(), len(samples)), samples], axis=1)


def _between(samples: Samples) -> Samples:
    return np.concatenate([other_voice(), samples, other_voice()])


def _torn(data: bytes) -> bytes:
    return data[: len(data) * 9 // 10]


def _tarred(site: Site, audio: bytes) -> bytes:
    path = site.also.parent / "voice.tar"
    with TarWriter(path) as writer:
        writer.add("a.flac", _encoded(other_voice(), "FLAC"))
        writer.add("b.flac", audio)
        writer.close()
    data = path.read_bytes()
    path.unlink()
    return data


def _by_ffmpeg(samples: Samples, form: str, codec: str) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=form) as container:
        stream = container.add_stream(codec, rate=48_000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(samples.astype(np.float32)[None, :], format="fltp", layout="mono")
        frame.sample_rate = RATE_HZ
        for resampled in av.AudioResampler(stream.format, "mono", 48_000, stream.frame_size or None).resample(frame):
            container.mux(stream.encode(resampled))
        container.mux(stream.encode(None))
    return file.getvalue()


def _column(samples: Samples) -> bytes:
    """As the `huggingface` form has it, but packed, and of WAV: zstd leaves a FLAC as it is."""
    audio = _encoded(samples, "WAV")
    file = io.BytesIO()
    table = pa.table({"audio": [{"bytes": audio, "path": None}] * 2})
    pq.write_table(table, file, compression="zstd", use_dictionary=True, data_page_size=1 << 20)
    assert audio[:500] not in file.getvalue()
    return file.getvalue()


def _zipped(audio: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.flac", audio)
    return file.getvalue()


def _page(samples: Samples) -> bytes:
    audio = base64.b64encode(_encoded(samples, "FLAC"))
    return b"<html><audio src='data:audio/flac;base64," + audio + b"'></audio></html>"
