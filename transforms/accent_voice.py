"""An utterance as one vector that an accent can be told from: the mean of what the speaker encoder hears, and how the
shape of the sound follows itself.

It depends on the samples alone, so that a head is trained on the very vectors that it meets in a run: regions of speech
are known in a run, but not to whoever reads a release.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.sound import ANALYSIS_RATE_HZ, Samples
from transforms.diarize.convert import EMBEDDING, MELS
from transforms.diarize.encoder import CONVERTED, HOP, embed, mel_power
from transforms.diarize.windows import Windows

VECTOR = f"ge2e-mean-cepstral-lags-1 of {CONVERTED.id} {CONVERTED}"
"""What makes the vector, by name and digest: a head says which one it was trained on, and opens with no other. A change
of anything here, or of what the encoder hears, is a new number."""
SHORTEST_S = 1.0

_CEPSTRA = 13
_LAGS = (5, 10, 20)
"""Frames of 10 ms: 50, 100 and 200 ms, within a sound and from one to the next."""
DIMENSIONS = EMBEDDING + len(_LAGS) * _CEPSTRA**2
VOICE = slice(0, EMBEDDING)
"""The speaker encoder's part of a vector."""

_WINDOW = 120
"""Frames of 10 ms that are heard at once: 1.2 s."""
_QUIET_DB = 25.0
"""A window so far below the loudest is a pause."""
_FAINT_DB = 40.0
"""A frame so far below the loudest is none of the voice."""
_FLOOR = 1e-7
"""Of the loudest band: what is below is as good as nothing, so that loudness does not count."""


def accent_vector(samples: Samples, session: Any) -> NDArray[np.float32] | None:
    """What an accent is told from in 16 kHz mono `samples`, shape (DIMENSIONS,): the mean voice and the cepstral lags,
    each of unit norm; None under `SHORTEST_S`, or in silence.

    `session` is `transforms.diarize.encoder.open_encoder()`. Windows of 1.2 s, evenly spaced, each heard at one level;
    pauses are left out. Each utterance is heard by itself, so its vector depends on no neighbour.
    """
    windows = _windows(samples)
    if not len(windows):
        return None
    mean = embed(lambda start, end: samples[max(0, start) : max(0, end)], windows, session).mean(0)
    if not mean.any():
        return None
    return np.concatenate([_unit(mean), _unit(cepstral_lags(samples))])


def cepstral_lags(samples: Samples) -> NDArray[np.float32]:
    """How each of 13 cepstra goes with each of them 50, 100 and 200 ms later, shape (507,): covariances over the frames
    of the voice. The mean is taken off, so a microphone's colour, which is constant, hardly counts.

    Shifted cepstra are what accents and languages were told from before encoders: P. Torres-Carrasquillo et al.,
    Approaches to Language Identification using GMMs and Shifted Delta Cepstral Features, 2002.
    """
    power = mel_power(np.pad(samples, 200))
    level = np.log(np.maximum(power, power.max() * np.float32(_FLOOR)))
    loud = level.mean(1)
    is_voice = loud > loud.max() - _FAINT_DB * np.log(10) / 10
    cepstra = level @ _cosines()
    cepstra -= cepstra[is_voice].mean(0)
    found = []
    for lag in _LAGS:
        both = is_voice[:-lag] & is_voice[lag:]
        pairs = cepstra[:-lag][both].T @ cepstra[lag:][both]
        found.append(pairs.ravel() / max(1, int(both.sum())))
    return np.concatenate(found).astype(np.float32)


@cache
def _cosines() -> NDArray[np.float32]:
    """Cosine transform of mel bands, without its constant, shape (40, 13)."""
    place = (np.arange(MELS) + 0.5) / MELS
    waves = np.sqrt(2 / MELS) * np.cos(np.pi * np.outer(place, np.arange(1, _CEPSTRA + 1)))
    return np.asarray(waves, np.float32)


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    return (vector / np.float32(max(float(np.linalg.norm(vector)), 1e-12))).astype(np.float32)


def _windows(samples: Samples) -> Windows:
    frames = len(samples) // HOP
    if frames * HOP < SHORTEST_S * ANALYSIS_RATE_HZ:
        return _windows_at(np.zeros(0, np.int64), 0)
    width = min(_WINDOW, frames)
    count = max(1, round(frames / _WINDOW))
    start = np.rint(np.linspace(0, frames - width, count)).astype(np.int64)
    power = np.array([np.mean(np.square(samples[at * HOP : (at + width) * HOP], dtype=np.float64)) for at in start])
    return _windows_at(start[(power > 0) & (power >= power.max() * 10 ** (-_QUIET_DB / 10))], width)


def _windows_at(start: NDArray[np.int64], width: int) -> Windows:
    return Windows(start, start + width, np.zeros_like(start), start, start + width)
