"""libsndfile: the fast reader, for wav, flac, mp3, ogg, opus, aiff, au, caf, w64 and their kin."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np

from transforms.decode.quiet import quiet_stderr
from transforms.decode.stream import Block, Format, ReaderError, Trouble, asked

_CODECS = {
    "PCM_S8": "pcm_s8",
    "PCM_U8": "pcm_u8",
    "PCM_16": "pcm_s16",
    "PCM_24": "pcm_s24",
    "PCM_32": "pcm_s32",
    "FLOAT": "pcm_f32",
    "DOUBLE": "pcm_f64",
    "ULAW": "pcm_mulaw",
    "ALAW": "pcm_alaw",
    "MS_ADPCM": "adpcm_ms",
    "IMA_ADPCM": "adpcm_ima",
    "MPEG_LAYER_I": "mp1",
    "MPEG_LAYER_II": "mp2",
    "MPEG_LAYER_III": "mp3",
}
"""The codec's name as the other reader says it, but for the byte order."""

_DEEP = {"PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAC_20", "ALAC_24", "ALAC_32"}
_WIDE = {"PCM_32", "DOUBLE", "ALAC_32"}
"""Deeper than a float32 can hold."""

_NO_COUNT = 1 << 60
"""libsndfile gives 2^63 - 1 frames, or that over the channels, where the header has none."""

_UNREAD_BYTES = (4_096, 65_536)
_UNREAD_RATIO = 0.02
"""A larger share of the file left unread (with bounds in bytes): the header's count ended the reading, and not the end
of the sound. What usually follows the sound is tags, and smaller."""

_MARK = 32
"""Every how many frames of the buffer one is marked before a read."""


@cache
def _sound_file() -> Any:
    import soundfile

    class Sequential(soundfile.SoundFile):  # type: ignore[misc]
        def seekable(self) -> bool:
            # Else soundfile seeks to where it is after each read: a fifth of an MP3's time, and some FLAC fails on it.
            return False

    return Sequential


@contextmanager
def open_libsndfile(descriptor: int) -> Iterator[LibsndfileStream]:
    """The file behind `descriptor` as a Stream. Raises ReaderError."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    with quiet_stderr():
        file = asked(lambda: _sound_file()(descriptor, closefd=False), Trouble.UNKNOWN)
    try:
        yield asked(lambda: LibsndfileStream(file, descriptor))
    finally:
        file.close()


class LibsndfileStream:
    """A Stream of what libsndfile decodes."""

    def __init__(self, file: Any, descriptor: int) -> None:
        import soundfile

        self.notes: list[str] = []
        self._file, self._descriptor = file, descriptor
        self.may_change = file.frames >= _NO_COUNT
        self._dtype = np.dtype(np.float64 if file.subtype in _WIDE else np.float32)
        flac = file.format == "FLAC"
        self.format = Format(
            sample_rate_hz=file.samplerate,
            channels=file.channels,
            container=file.format.lower(),
            codec="flac" if flac else _CODECS.get(file.subtype, file.subtype.lower()),
            decoder=f"libsndfile {soundfile.__libsndfile_version__.removeprefix('libsndfile-')}",
            header_duration_s=None if self.may_change else round(file.frames / file.samplerate, 6),
            native_bits=24 if file.subtype in _DEEP else 16,
            is_float=file.subtype in ("FLOAT", "DOUBLE"),
        )

    def blocks(self, frames: int) -> Iterator[Block]:
        """Blocks of samples, shape (channels, n). What was read before an error is given first."""
        buffer = np.empty((frames, self.format.channels), self._dtype)
        failure: ReaderError | None = None
        left = self._file.frames
        while left and failure is None:
            # Never more than the header's count: libsndfile would decode what lies behind it, and throw it away.
            wanted = buffer[: min(frames, left)]
            try:
                n = self._read(wanted)
            except ReaderError as error:
                failure, n = error, _frames_written(wanted)
            left -= n
            if n:
                yield np.ascontiguousarray(wanted[:n].T)
            if n < len(wanted):
                break
        if failure is None and left == 0 and self._file.frames:
            failure = self._ended_early()
        if failure is not None:
            raise failure

    def _read(self, buffer: Block) -> int:
        # On an error soundfile keeps to itself how many frames came: a mark that is gone tells that they did.
        buffer[::_MARK] = np.nan
        if self.format.container != "mp3":
            return int(asked(lambda: self._file.buffer_read_into(buffer, buffer.dtype.name)))
        with quiet_stderr():
            return int(asked(lambda: self._file.buffer_read_into(buffer, buffer.dtype.name)))

    def _ended_early(self) -> ReaderError | None:
        """libsndfile stops at the header's count of samples, and headers lie: look at what is left of the file."""
        size = os.fstat(self._descriptor).st_size
        unread = size - os.lseek(self._descriptor, 0, os.SEEK_CUR)
        least, most = _UNREAD_BYTES
        if unread <= min(most, max(least, _UNREAD_RATIO * size)):
            return None
        return ReaderError(f"its header ended it with {round(100 * unread / size)} % of the file unread")


def _frames_written(buffer: Block) -> int:
    overwritten = np.flatnonzero(~np.isnan(buffer[::_MARK]).all(axis=1))
    # Frames after the last mark that is gone may have come too, or not.
    return int(overwritten[-1]) * _MARK + 1 if overwritten.size else 0
