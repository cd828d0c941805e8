"""Detectors of sound: each knows by its first bytes where some kind of audio begins, whatever it lies in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.verify import landmarks
from pipelines.verify.decoding import Block, by_ffmpeg, by_libsndfile, mp3_frames, window
from pipelines.verify.magics import Magic
from pipelines.verify.needles import Needles
from pipelines.verify.seal import keyed_hashes

_PIECE_S, _OVERLAP_S = 30.0, 4.0
MIN_AGREEING = 20
"""Pairs of peaks that must agree. docs/audit.md has the rates of misses and false alarms that this gives."""
_SHORTEST_S = 0.5

Blocks = Iterator[tuple[int, Block]]


@dataclass(frozen=True, slots=True)
class SoundKind:
    """A kind of audio: how it begins, and how it is decoded from there."""

    name: str
    magics: tuple[Magic, ...]
    begins: Callable[[memoryview, int], bool]
    decode: Callable[[memoryview, int], Blocks]
    is_sure: bool = True
    """What begins so is this and nothing else: when it does not decode, that is said."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A known voice in some sound."""

    label: str
    at_s: float
    agreeing: int


class Listener:
    """Recognises the voices of some needles."""

    def __init__(self, needles: Needles) -> None:
        self._voices, self._key = needles.voices, needles.key

    @property
    def is_deaf(self) -> bool:
        return not len(self._voices.hashes)

    def listen(self, blocks: Blocks) -> tuple[list[Heard], float]:
        """(voices heard, each where it is heard best; seconds heard). Raises ValueError where nothing decodes."""
        best: dict[str, Heard] = {}
        heard_s = 0.0
        for begin_s, channel_pieces in pieces(blocks):
            heard_s = max(heard_s, begin_s + len(channel_pieces[0]) / landmarks.RATE_HZ)
            for piece in channel_pieces:
                found = self._recognised(piece, begin_s)
                if found and (found.label not in best or best[found.label].agreeing < found.agreeing):
                    best[found.label] = found
        return list(best.values()), heard_s

    def _recognised(self, piece: NDArray[np.float32], begin_s: float) -> Heard | None:
        hashes, frames = landmarks.landmarks(piece)
        asked: NDArray[Any] = hashes if self._key is None else keyed_hashes(self._key, hashes)
        voices = self._voices
        bins = landmarks.frequencies(hashes)
        match = landmarks.best_match(asked, frames, bins, voices.hashes, voices.frames, voices.sounds)
        if match is None or match[1] < MIN_AGREEING:
            return None
        return Heard(voices.labels[match[0]], round(max(0.0, begin_s - match[2] * landmarks.FRAME_S), 1), match[1])


def pieces(blocks: Blocks) -> Iterator[tuple[float, list[NDArray[np.float32]]]]:
    """(seconds at which it begins, channels at RATE_HZ) of overlapping pieces; channels that are alike once."""
    import soxr

    length, step = round(_PIECE_S * landmarks.RATE_HZ), round((_PIECE_S - _OVERLAP_S) * landmarks.RATE_HZ)
    resampler, held, begin = None, np.zeros((0, 0), np.float32), 0
    for rate, block in blocks:
        if resampler is None:
            resampler = soxr.ResampleStream(rate, landmarks.RATE_HZ, block.shape[1], dtype="float32", quality="LQ")
            held, made_for = np.zeros((0, block.shape[1]), np.float32), (rate, block.shape[1])
        if (rate, block.shape[1]) != made_for:
            break  # a chain of streams: the next begins at its own first bytes
        held = np.concatenate([held, resampler.resample_chunk(np.ascontiguousarray(block))])
        while len(held) >= length:
            yield begin / landmarks.RATE_HZ, _channels(held[:length])
            held, begin = held[step:], begin + step
    if resampler is not None:
        held = np.concatenate([held, resampler.resample_chunk(np.zeros((0, held.shape[1]), np.float32), last=True)])
    if len(held) >= _SHORTEST_S * landmarks.RATE_HZ:
        yield begin / landmarks.RATE_HZ, _channels(held)


def _channels(held: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    found: list[NDArray[np.float32]] = []
    for n in range(held.shape[1]):
        channel = np.ascontiguousarray(held[:, n])
        if not any(np.array_equal(channel, other) for other in found):
            found.append(channel)
    return found


# --- kinds ------------------------------------------------------------------------------------------------------------


def _sndfile(data: memoryview, start: int) -> Blocks:
    return by_libsndfile(window(data, start))


def _ffmpeg(data: memoryview, start: int) -> Blocks:
    return by_ffmpeg(window(data, start))


def _mp3(data: memoryview, start: int) -> Blocks:
    return by_libsndfile(window(data, start, mp3_frames(data, start)))


def _always(_data: memoryview, _at: int) -> bool:
    return True


def _is_wave(data: memoryview, at: int) -> bool:
    return bytes(data[at + 8 : at + 12]) == b"WAVE"


def _is_aiff(data: memoryview, at: int) -> bool:
    return bytes(data[at + 8 : at + 12]) in (b"AIFF", b"AIFC")


def _is_flac(data: memoryview, at: int) -> bool:
    """The first block must be STREAMINFO, of 34 bytes."""
    return data[at + 4] & 0x7F == 0 and bytes(data[at + 5 : at + 8]) == b"\0\0\x22" if at + 8 <= len(data) else False


def _begins_stream(data: memoryview, at: int) -> bool:
    """An Ogg page that is the first of its stream."""
    return at + 6 <= len(data) and data[at + 4] == 0 and bool(data[at + 5] & 2)


SOUNDS: tuple[SoundKind, ...] = (
    SoundKind("flac", (Magic(b"fLaC"),), _is_flac, _sndfile),
    SoundKind("wav", (Magic(b"RIFF"), Magic(b"RIFX"), Magic(b"RF64")), _is_wave, _sndfile),
    SoundKind("ogg", (Magic(b"OggS"),), _begins_stream, _sndfile),
    SoundKind("mp3", (), _always, _mp3, is_sure=False),
    SoundKind("aiff", (Magic(b"FORM"),), _is_aiff, _sndfile),
    SoundKind("mp4", (Magic(b"ftyp", 4),), _always, _ffmpeg, is_sure=False),
    SoundKind("matroska", (Magic(b"\x1a\x45\xdf\xa3"),), _always, _ffmpeg, is_sure=False),
)
"""An MP3 has no first bytes of its own; `magics.mp3_starts` finds its frames."""
