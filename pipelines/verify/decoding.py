"""Sound in memory, decoded block by block, by libsndfile, or by FFmpeg for what libsndfile does not open."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lake.ranged import RangedFile

Block = NDArray[np.float32]
_BLOCK_S = 1
"""Small: of a block in which a file breaks off, nothing is handed out."""
_MAX_CHANNELS = 8


def window(data: memoryview, start: int = 0, end: int | None = None) -> RangedFile:
    """Bytes `[start, end)` of a buffer as a file; nothing is copied until it is read."""
    within = data[start : len(data) if end is None else end]
    return RangedFile(lambda first, last: bytes(within[first:last]), len(within))


def by_libsndfile(file: RangedFile) -> Iterator[tuple[int, Block]]:
    """(sample rate, block of shape (n, channels)) until the end, or until it breaks off. Raises ValueError at the first
    byte that is no sound."""
    import soundfile

    try:
        sound = soundfile.SoundFile(file)
    except (soundfile.SoundFileError, RuntimeError, ValueError, TypeError) as error:
        raise ValueError(str(error)) from None
    with sound:
        while True:
            try:
                block = sound.read(_BLOCK_S * sound.samplerate, dtype="float32", always_2d=True)
            except (soundfile.SoundFileError, RuntimeError):
                return
            if not len(block):
                return
            yield sound.samplerate, block[:, :_MAX_CHANNELS]


def by_ffmpeg(file: RangedFile) -> Iterator[tuple[int, Block]]:
    """As `by_libsndfile`, for m4a, WebM and whatever else FFmpeg opens."""
    import av

    try:
        container = av.open(file, "r", metadata_errors="replace")
        stream = container.streams.audio[0]
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise ValueError(str(error)) from None
    with container:
        try:
            for frame in container.decode(stream):
                samples: NDArray[Any] = np.asarray(frame.to_ndarray())
                if samples.dtype.kind == "i":
                    samples = samples / np.float32(1 << (8 * samples.dtype.itemsize - 1))
                planar = samples if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels).T
                yield frame.sample_rate, planar.T.astype(np.float32)[:, :_MAX_CHANNELS]
        except av.FFmpegError:
            return


def mp3_frames(data: memoryview, start: int) -> int:
    """Where a chain of MPEG layer III frames that begins at `start` ends; `start` where no frame is there."""
    at = start
    while (length := mp3_frame(data, at)) and at + length <= len(data):
        at += length
    return at


_BITRATES = {
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def mp3_frame(data: memoryview, at: int) -> int:
    """Bytes of the frame there; 0 where there is none (ISO 11172-3, 13818-3; free format is left out)."""
    if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] & 0xE6 != 0xE2:
        return 0
    version, bitrate, rate = data[at + 1] >> 3 & 3, data[at + 2] >> 4, data[at + 2] >> 2 & 3
    if version not in _RATES_HZ or bitrate in (0, 15) or rate == 3:
        return 0
    kilobits = _BITRATES[1 if version == 3 else 2][bitrate]
    samples = 1152 if version == 3 else 576
    return samples // 8 * kilobits * 1000 // _RATES_HZ[version][rate] + (data[at + 2] >> 1 & 1)
