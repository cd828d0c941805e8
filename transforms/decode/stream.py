"""What every reader gives: the format of a file, and its samples block by block."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Block = NDArray[np.floating]
"""Samples of all channels, full scale 1, shape (channels, n), float32, or float64 where float32 would lose bits.
Valid until the next block is asked for."""

Answer = TypeVar("Answer")

_SAID_AT_MOST = 160


@dataclass(frozen=True, slots=True)
class Format:
    """What a reader found when it opened the file, or in its first frame."""

    sample_rate_hz: int
    channels: int
    container: str
    codec: str
    decoder: str
    header_duration_s: float | None
    native_bits: int
    """16, or 24 where the source is deeper than 16 bits and lossless."""
    is_float: bool
    """Lossless floating point: its samples may lie beyond full scale and still be whole."""

    @property
    def floor_db(self) -> float:
        """Power of the noise that the source's own word length may bring, and some room, dB of full scale."""
        return -90.0 if self.native_bits == 16 and self.codec.startswith(("pcm", "flac")) else -110.0


class Trouble(StrEnum):
    """How far a reader came."""

    UNKNOWN = "unknown"
    """It does not know the format, or refuses it."""
    NO_AUDIO = "no_audio"
    """It knows the format, and there is no sound in it."""
    EMPTY = "empty"
    """It opened the sound, and no sample came."""
    FAILED = "failed"
    """It opened the sound, and could not go on."""


class ReaderError(Exception):
    """A reader cannot open a file, or cannot go on; the text is what it said, in one line."""

    def __init__(self, words: str, trouble: Trouble = Trouble.FAILED) -> None:
        super().__init__(words)
        self.trouble = trouble


class Stream(Protocol):
    """A file that a reader has opened. `blocks` raises ReaderError after the last good block."""

    format: Format
    notes: list[str]
    may_change: bool
    """The file was written as a stream, whose format may change on the way, and this reader would not notice."""

    def blocks(self, frames: int) -> Iterator[Block]:
        """Blocks of `frames` samples per channel, the last one shorter, none empty."""


def said(error: Exception) -> str:
    """What a reader said, in one line without paths and object addresses: the same on every machine."""
    text = (
        getattr(error, "error_string", None) or getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
    )
    text = re.sub(r"0x[0-9a-fA-F]+", "0x…", " ".join(str(text).split()))
    text = re.sub(r"(?<![\w.])/\S+/", "…/", text)
    return text.removeprefix("Error : ").rstrip(".")[:_SAID_AT_MOST]


def asked(call: Callable[[], Answer], trouble: Trouble = Trouble.FAILED) -> Answer:
    """`call()` of a reader; whatever it raises over the file's contents becomes a ReaderError."""
    try:
        return call()
    except (MemoryError, ReaderError):
        raise
    except Exception as error:  # on odd files they raise ValueError, UnicodeDecodeError, AttributeError …
        raise ReaderError(said(error), trouble) from error
