"""Canaries: words and voices that are planted where a scan must find them, new ones in each run of the tests.

`CANARY_SEED=… pytest tests/verify` plants the same again; a test that fails prints the seed.
"""

from __future__ import annotations

import os
import random
import secrets
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.verify import landmarks
from pipelines.verify.needles import Kind, Needles, Term, Voices
from pipelines.verify.sound import pieces
from tests.speech import RATE_HZ, voice

SEED = int(os.environ.get("CANARY_SEED") or secrets.randbits(32))
_SYLLABLES = ["ba", "de", "fi", "go", "lu", "ma", "ne", "pi", "ro", "su", "ta", "vo", "wi", "xa", "ze"]


@dataclass
class Canaries:
    """Hands out canaries, and remembers them."""

    seed: int = SEED
    terms: list[Term] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def hexed(self, digits: int = 32) -> str:
        """An id, as of a recording."""
        return self._kept(Kind.RECORDING, "".join(self.random.choices("0123456789abcdef", k=digits - 1)) + "a")

    def subject(self) -> str:
        return self._kept(Kind.SUBJECT, f"p-{self.random.randrange(10**9, 10**10)}")

    def path(self) -> str:
        return self._kept(Kind.PATH, f"{self._word()}/{self._word()}/{self._word()}-{self.random.randrange(10**4)}.wav")

    def text(self) -> str:
        return self._kept(Kind.TEXT, " ".join(self._word() for _ in range(4)))

    def odd_text(self) -> str:
        """With what URLs, JSON and HTML write in ways of their own."""
        return self._kept(Kind.TEXT, f'{self._word()} "{self._word()}" & {self._word()} <für> {self._word()}')

    def any(self) -> str:
        return self.random.choice([self.hexed, self.subject, self.path, self.text])()

    def _word(self) -> str:
        return "".join(self.random.choices(_SYLLABLES, k=4))

    def _kept(self, kind: Kind, word: str) -> str:
        self.terms.append(Term(kind, f"canary {len(self.terms)}", word))
        return word

    def needles(self, *sounds: tuple[str, NDArray[np.float64]]) -> Needles:
        """Everything handed out, and these sounds."""
        return Needles(tuple(self.terms), voices_of(*sounds))


def voices_of(*sounds: tuple[str, NDArray[np.float64]]) -> Voices:
    """Landmarks of whole sounds at RATE_HZ."""
    found = []
    for label, samples in sounds:
        blocks = iter([(RATE_HZ, samples.astype(np.float32)[:, None])])
        found += [
            (label, hashes, (frames + round(begin_s / landmarks.FRAME_S)).astype(np.int32))
            for begin_s, channels in pieces(blocks)
            for hashes, frames in [landmarks.landmarks(channels[0])]
        ]
    return Voices.of(found)


def erased_voice() -> NDArray[np.float64]:
    """Whose voice must be gone: 8 s, RATE_HZ."""
    return voice("speaker90", 8.0)


def other_voice() -> NDArray[np.float64]:
    """Somebody whose voice stays."""
    return voice("speaker91", 6.0)


@dataclass(frozen=True)
class Hidden:
    """A place in which something was hidden, and every detector without which it is not found."""

    name: str
    path: str
    """The object, from the root of the lake; with a leading `@`, in the folder that is looked through besides."""
    needs: frozenset[str]
    words: tuple[str, ...] = ()
    """What was hidden there; nothing where it was the voice."""


@dataclass(frozen=True)
class Site:
    """Where canaries are planted: a lake on this machine's disk, and a folder besides, such as an engine's."""

    lake: Path
    also: Path
    canaries: Canaries

    def put(self, name: str, path: str, data: bytes, needs: str, *words: str) -> Hidden:
        """Creates the object. `needs`: names of detectors."""
        target = self.also / path[1:] if path.startswith("@") else self.lake / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            file.write(data)
        return Hidden(name, path, frozenset(needs.split()), words)
