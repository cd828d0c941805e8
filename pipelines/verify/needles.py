"""What is looked for: words as they stand, or their keyed hashes, and the fingerprints of voices.

Needles are collected before anything is erased (`provoice.sealing`) and kept outside the lake, in a *seal*: one file.
A plain seal holds the words themselves, and is destroyed by the scan that it was made for; a keyed one holds what finds
them again and tells nothing without its key.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

MIN_BYTES = 4
"""Shorter words come by chance; of these, only subjects and grants are looked for, between quotes and the like."""
SHORT_BYTES = 8
"""Words shorter than this are found as whole words only."""


class Kind(StrEnum):
    """What sort of thing a needle is. A report names it and a number, never the thing."""

    SUBJECT = "subject"
    GRANT = "grant"
    RECORDING = "recording"
    KEY = "key"
    PATH = "path"
    DIGEST = "digest"
    TEXT = "text"
    LABEL = "label"
    VOICE = "voice"


@dataclass(frozen=True, slots=True)
class Term:
    """A word to look for, and what a report calls it: `text 3`."""

    kind: Kind
    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Pattern:
    """A term in one encoding, as it would lie in an object.

    `content` are its bytes, or in a keyed seal their digest; `anchor` is where its telling window begins.
    """

    kind: Kind
    label: str
    encoding: str
    length: int
    anchor: int
    width: int
    """Bytes of the window: 8, or 4."""
    tag: int
    """The window's hash, 32 bits."""
    content: bytes
    apart: int = 0
    """1 or 2: found as a whole word only, in characters of so many bytes."""


@dataclass(frozen=True, slots=True)
class Voices:
    """Landmarks of every sound that is looked for, sorted by hash."""

    labels: tuple[str, ...]
    hashes: NDArray[np.uint64]
    frames: NDArray[np.int32]
    sounds: NDArray[np.int32]
    """Which of `labels` a hash is of."""

    @classmethod
    def of(cls, sounds: Iterable[tuple[str, NDArray[np.uint32], NDArray[np.int32]]]) -> Voices:
        """From (label, hashes, frames) of each sound; parts of one sound may come one by one under its label."""
        labels: dict[str, int] = {}
        found = [(labels.setdefault(label, len(labels)), hashes, frames) for label, hashes, frames in sounds]
        empty = [(0, np.zeros(0, np.uint32), np.zeros(0, np.int32))]
        hashes = np.concatenate([one[1] for one in found or empty]).astype(np.uint64)
        frames = np.concatenate([one[2] for one in found or empty]).astype(np.int32)
        numbers = np.concatenate([np.full(len(one[1]), one[0], np.int32) for one in found or empty])
        return cls(tuple(labels), hashes, frames, numbers).sorted()

    def sorted(self) -> Voices:
        order = np.argsort(self.hashes, kind="stable")
        return Voices(self.labels, self.hashes[order], self.frames[order], self.sounds[order])


NO_VOICES = Voices((), np.zeros(0, np.uint64), np.zeros(0, np.int32), np.zeros(0, np.int32))


@dataclass(frozen=True, slots=True)
class Sealed:
    """Where needles were collected, and when that began."""

    lake: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Needles:
    """All that one scan looks for. Exactly one of `terms` and `patterns` is filled."""

    terms: tuple[Term, ...] = ()
    voices: Voices = NO_VOICES
    patterns: tuple[Pattern, ...] = ()
    """Of a keyed seal."""
    key: bytes | None = field(default=None, repr=False)
    """What the hashes of a keyed seal are keyed with."""
    not_searched: dict[str, int] = field(default_factory=dict)
    """Words left out when they were collected, by reason: too short, or other people's rows hold them, too."""
    sealed: Sealed | None = None
    """None of a keyed seal, which says neither."""

    @property
    def is_keyed(self) -> bool:
        return self.key is not None

    @property
    def kinds(self) -> dict[str, int]:
        """How many different needles of each kind."""
        of_words: Sequence[Term | Pattern] = self.terms or self.patterns
        labels = {(one.kind.value, one.label) for one in of_words} | {(Kind.VOICE, name) for name in self.voices.labels}
        counts: dict[str, int] = {}
        for kind, _ in sorted(labels):
            counts[str(kind)] = counts.get(str(kind), 0) + 1
        return counts
