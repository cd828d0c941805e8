"""Sound files with known contents, made on the spot with libsndfile and FFmpeg; and ways to damage them."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def tone(frequency_hz: float, seconds: float, rate_hz: int = 44_100, level: float = 0.5) -> Floats:
    """A sine, shape (n,)."""
    return level * np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * rate_hz)) / rate_hz)


def noise(seconds: float, rate_hz: int = 44_100, level: float = 0.1, seed: int = 0) -> Floats:
    """White noise of RMS `level`, shape (n,)."""
    return level * np.random.default_rng(seed).standard_normal(round(seconds * rate_hz))


def pcm16(samples: Floats) -> NDArray[np.int16]:
    """The nearest 16-bit samples."""
    return np.clip(np.rint(samples * 32_768), -32_768, 32_767).astype(np.int16)


def write(path: Path, samples: NDArray[Any], rate_hz: int = 44_100, **how: Any) -> Path:
    """`samples` of shape (n,) or (n, channels) through libsndfile; `how` as in `soundfile.write`."""
    soundfile.write(path, samples, rate_hz, **how)
    return path


def encode(
    path: Path,
    samples: Floats,
    rate_hz: int,
    codec: str,
    *,
    picture: bool = False,
    metadata: dict[str, str] | None = None,
    tracks: int = 1,
    **how: Any,
) -> Path:
    """`samples` of shape (n,) or (n, channels) through FFmpeg; `picture` adds a moving one, before the sound."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
    planar = np.ascontiguousarray(np.atleast_2d(samples.T), np.float32)
    with av.open(str(path), "w", **how) as container:
        container.metadata.update(metadata or {})
        film = container.add_stream("mpeg4", rate=25) if picture else None
        streams = [container.add_stream(codec, rate=rate_hz, layout=layout) for _ in range(tracks)]
        for stream in streams:
            stream.bit_rate = 64_000 * channels
            stream.codec_context.open()
        if film is not None:
            _show(container, film)
        frames = streams[0].codec_context.frame_size or 1_024
        for stream, start in itertools.product(streams, range(0, planar.shape[1], frames)):
            part = np.ascontiguousarray(planar[:, start : start + frames])
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate_hz, start, Fraction(1, rate_hz)
            for packet in stream.encode(frame):
                container.mux(packet)
        for stream in streams:
            for packet in stream.encode(None):
                container.mux(packet)
    return path


def _show(container: Any, stream: Any) -> None:
    stream.width = stream.height = 64
    stream.pix_fmt = "yuv420p"
    for _ in range(5):
        for packet in stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")):
            container.mux(packet)
    for packet in stream.encode(None):
        container.mux(packet)


def claim_flac_samples(path: Path, count: int) -> Path:
    """Write another count of samples (36 bits; 0: unknown) into a FLAC's STREAMINFO."""
    data = bytearray(path.read_bytes())
    # "fLaC", a block header of 4 bytes, then STREAMINFO, whose 36-bit count ends with its byte 17.
    field = int.from_bytes(data[8 + 13 : 8 + 18], "big") >> 36 << 36
    data[8 + 13 : 8 + 18] = (field | count).to_bytes(5, "big")
    path.write_bytes(data)
    return path


def power_at(samples: Floats, frequency_hz: float, rate_hz: int) -> float:
    """Level of the component at `frequency_hz`, dB of a full-scale sine."""
    window = np.hanning(len(samples))
    wave = np.exp(-2j * np.pi * frequency_hz * np.arange(len(samples)) / rate_hz)
    return 20 * float(np.log10(2 * abs(np.sum(samples * window * wave)) / window.sum() + 1e-12))
