"""FFmpeg, through PyAV: the reader for m4a, mp4, webm, wma, amr and whatever else carries sound."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transforms.decode.stream import Block, Format, ReaderError, Trouble, asked

_SAMPLES: dict[str, tuple[type[np.generic], float, float]] = {
    "u8": (np.uint8, 128.0, 128.0),
    "s16": (np.int16, 0.0, 32_768.0),
    "s32": (np.int32, 0.0, 2.0**31),
    "s64": (np.int64, 0.0, 2.0**63),
    "flt": (np.float32, 0.0, 1.0),
    "dbl": (np.float64, 0.0, 1.0),
}
"""Sample format to its type, its zero, and its full scale."""

_BROKEN_AT_MOST = 1_000
"""Packets in a row that cannot be decoded before the reader gives up."""


@contextmanager
def open_ffmpeg(descriptor: int) -> Iterator[FfmpegStream]:
    """The file behind `descriptor` as a Stream. Raises ReaderError."""
    import av

    if os.pread(descriptor, 4, 0) == b"RIFX":
        # It decodes the big-endian samples as little-endian ones: noise at full scale, and no error.
        raise ReaderError("RIFX is read in the wrong byte order", Trouble.UNKNOWN)
    os.lseek(descriptor, 0, os.SEEK_SET)
    # By descriptor, and with no other protocol allowed: a playlist cannot make FFmpeg open other files or addresses.
    options = {"fd": str(descriptor), "protocol_whitelist": "fd"}
    container: Any = asked(lambda: av.open("fd:", options=options, metadata_errors="replace"), Trouble.UNKNOWN)
    try:
        yield asked(lambda: FfmpegStream(container))
    finally:
        container.close()


class FfmpegStream:
    """A Stream of what FFmpeg decodes, on one thread."""

    def __init__(self, container: Any) -> None:
        self.notes: list[str] = []
        self._stream = _best_audio(container, self.notes)
        frames = self._decoded(container)
        first = next(frames, None)
        if first is None:
            raise ReaderError("opened, and no sample came", Trouble.EMPTY)
        self.format = _format_of(container, self._stream, first)
        self.may_change = False
        self._raw, self._zero, self._full_scale = _SAMPLES[first.format.name.removesuffix("p")]
        wide = self.format.native_bits == 24 and self._raw is not np.float32
        self._dtype = np.dtype(np.float64 if wide else np.float32)
        self._frames = self._alike(chain([first], frames))

    def _decoded(self, container: Any) -> Iterator[Any]:
        """Frames in order. A packet that cannot be decoded is skipped where sound follows it, else ends the stream."""
        advance = partial(next, container.demux(self._stream), None)
        broken: list[ReaderError] = []
        seconds, skipped = 0.0, 0
        first_at: float | None = None
        while (packet := asked(advance)) is not None:
            try:
                frames = asked(packet.decode)
            except ReaderError as error:
                broken.append(error)
                if len(broken) > _BROKEN_AT_MOST:
                    break
                continue
            for frame in frames:
                if broken:
                    skipped, first_at = skipped + len(broken), seconds if first_at is None else first_at
                    broken.clear()
                seconds += frame.samples / frame.sample_rate
                yield frame
        if skipped:
            self.notes.append(f"broken packets that were skipped: {skipped}, the first at {first_at:.1f} s")
        if broken:
            raise broken[0]

    def _alike(self, frames: Iterator[Any]) -> Iterator[Any]:
        """`frames` in the format of the first: a stream may change its rate or its channels on the way."""
        import av

        wanted: tuple[Any, ...] = ()
        current: tuple[Any, ...] = ()
        resampler: Any = None
        seconds = 0.0
        for frame in frames:
            shape = (frame.format.name, frame.layout.name, frame.sample_rate)
            wanted = wanted or shape
            if shape != (current or wanted):
                if resampler is not None:
                    yield from resampler.resample(None)
                elif not any("changes" in note for note in self.notes):
                    self.notes.append(
                        f"the format changes at {seconds:.1f} s to {shape[2]} Hz, {shape[1]}; the first was kept"
                    )
                resampler = None if shape == wanted else av.AudioResampler(wanted[0], wanted[1], wanted[2])
            current = shape
            seconds += frame.samples / frame.sample_rate
            if resampler is None:
                yield frame
            else:
                frame.pts = None
                yield from resampler.resample(frame)
        if resampler is not None:
            yield from resampler.resample(None)

    def blocks(self, frames: int) -> Iterator[Block]:
        """Blocks of samples, shape (channels, n). What was decoded before an error is given first."""
        rows: list[list[NDArray[Any]]] = [[] for _ in range(self.format.channels)]
        waiting = 0
        failure: ReaderError | None = None
        is_over = False
        while not is_over:
            came: list[NDArray[Any]] | None = None
            try:
                came = asked(self._next_samples)
            except ReaderError as error:
                failure = error
            is_over = came is None
            if came is not None:
                for row, samples in zip(rows, came, strict=True):
                    row.append(samples)
                waiting += len(came[0])
            if waiting >= frames or (is_over and waiting):
                joined = np.stack([np.concatenate(row) for row in rows])
                used = waiting if is_over else waiting - waiting % frames
                for start in range(0, used, frames):
                    yield self._scaled(joined[:, start : min(start + frames, used)])
                waiting -= used
                rows = [[row[used:]] for row in joined]
        if failure is not None:
            raise failure

    def _next_samples(self) -> list[NDArray[Any]] | None:
        """Samples of the next frame as it holds them, one array of shape (n,) per channel; None at the end."""
        frame = next(self._frames, None)
        if frame is None:
            return None
        n, channels = frame.samples, self.format.channels
        if frame.format.is_planar:
            return [np.frombuffer(plane, self._raw, n) for plane in frame.planes]
        packed = np.frombuffer(frame.planes[0], self._raw, n * channels).reshape(n, channels)
        return [packed[:, channel] for channel in range(channels)]

    def _scaled(self, samples: NDArray[Any]) -> Block:
        if self._full_scale == 1.0:
            return np.ascontiguousarray(samples)
        return np.asarray((samples.astype(self._dtype) - self._zero) / self._full_scale)


def _best_audio(container: Any, notes: list[str]) -> Any:
    """The audio stream that FFmpeg would play, on one thread; the others, pictures among them, are not read."""
    from av.stream import Discard

    stream = container.streams.best("audio")
    if stream is None:
        raise ReaderError("no audio stream", Trouble.NO_AUDIO)
    if stream.codec_context is None:
        raise ReaderError("no decoder for its codec")
    if len(container.streams.audio) > 1:
        notes.append(f"{len(container.streams.audio)} audio streams; stream {stream.index} was taken")
    for other in container.streams:
        if other.index != stream.index:
            other.discard = Discard.all
    stream.codec_context.thread_count = 1
    return stream


def _format_of(container: Any, stream: Any, frame: Any) -> Format:
    import av

    if frame.sample_rate < 1 or frame.layout.nb_channels < 1:
        raise ReaderError("a frame without channels or without a sample rate")
    codec = stream.codec_context.codec
    duration = None
    if stream.duration:
        duration = float(stream.duration * stream.time_base)
    elif container.duration:
        duration = container.duration / 1e6
    deep = codec.lossless and not codec.lossy and frame.format.bytes > 2
    return Format(
        sample_rate_hz=frame.sample_rate,
        channels=frame.layout.nb_channels,
        container=container.format.name,
        codec=codec.canonical_name.removesuffix("le").removesuffix("be"),
        decoder=f"ffmpeg {av.ffmpeg_version_info} (pyav {av.__version__})",
        header_duration_s=None if duration is None else round(duration, 6),
        native_bits=24 if deep else 16,
        is_float=deep and frame.format.name.removesuffix("p") in ("flt", "dbl"),
    )
