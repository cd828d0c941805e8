"""Voices as vectors: the GE2E speaker encoder over windows of speech, from mel power to unit vectors."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.errors import ConfigError
from schemas.sound import ANALYSIS_RATE_HZ, Samples
from transforms.diarize.convert import CHECKPOINT, EMBEDDING, MELS, checkpoint_path
from transforms.diarize.windows import STEP, WINDOW, Windows
from transforms.models import ModelRef, cached, onnx_session

HOP = 160
"""Analysis samples per frame: 10 ms."""
CONVERTED = ModelRef("resemblyzer_ge2e_onnx", "1", "ab9889e840d8a834d129dcd33c3a4f5ab403edbeac3b81332bd9389587a52ed6")
"""What `transforms.diarize.convert` makes of the checkpoint."""

Embeddings = NDArray[np.float32]
"""One unit vector per window, shape (n, 256)."""

_FFT = 400
_BATCH = 64
_ROUND = 10
"""Windows shorter than a whole one are cut to a multiple of this many frames, so that they share batches."""
_PIECE = 6000
"""Frames that are read and transformed at once: a minute."""
_LEVEL = 0.01
"""Mean mel power to which each window is scaled: that of speech at −28 dBFS, at which the encoder was trained. Scaled
per window, for far-field recordings change their level from word to word."""


def encoder_models() -> dict[str, str]:
    """The checkpoint and what is made of it, as they stand in `lineage.models`. Raises ConfigError where the package
    is not installed."""
    checkpoint_path()
    return {model.id: str(model) for model in (CHECKPOINT, CONVERTED)}


def encoder_path() -> Path:
    """The converted encoder in the model cache, made where it is not there. Raises ConfigError in one line."""
    return cached(f"{CONVERTED.id}-{CONVERTED.sha256[:12]}.onnx", CONVERTED.sha256, _convert)


def _convert(path: Path) -> None:
    """In a process of its own: reading the checkpoint imports torch, 250 MiB that a worker would keep."""
    checkpoint_path()
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *(part for part in sys.path if part and part != root)]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "transforms.diarize.convert", str(path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ConfigError(f"cannot convert the speaker encoder: {said}")


def open_encoder() -> Any:
    """A session of the converted encoder, for `embed`."""
    return onnx_session(encoder_path())


def mel_power(samples: Samples) -> NDArray[np.float32]:
    """Power in 40 mel bands (Slaney's scale and area, 0–8 kHz) of frames of 25 ms every 10 ms, as librosa's
    `melspectrogram` gives it, on which the encoder was trained. 16 kHz `samples` hold 200 samples before the first
    frame's middle and 200 after the last one's; shape ((n − 400) // 160 + 1, 40)."""
    if len(samples) < _FFT:
        return np.zeros((0, MELS), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples, _FFT)[::HOP]
    power = np.empty((len(frames), MELS), np.float32)
    window, bands = _hann(), _mel_bands()
    for start in range(0, len(frames), 256):
        # In blocks that fit the cache; real and imaginary parts are squared and summed by the same product.
        bins = np.fft.rfft(frames[start : start + 256] * window).astype(np.complex64, copy=False).view(np.float32)
        np.multiply(bins, bins, out=bins)
        np.matmul(bins, bands, out=power[start : start + 256])
    return power


@cache
def _hann() -> NDArray[np.float32]:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_FFT) / _FFT)).astype(np.float32)


@cache
def _mel_bands() -> NDArray[np.float32]:
    """Triangles of equal area on Slaney's mel scale, shape (402, 40): every bin twice, for its two parts."""
    # Linear to 1 kHz (15 mels), then 27 steps to 6.4 times that: M. Slaney, Auditory Toolbox, 1998.
    highest = 15 + 27 * np.log(ANALYSIS_RATE_HZ / 2 / 1000) / np.log(6.4)
    mels = np.linspace(0, highest, MELS + 2)
    edges = np.where(mels < 15, mels * 200 / 3, 1000 * 6.4 ** ((mels - 15) / 27))
    bins = np.arange(_FFT // 2 + 1) * ANALYSIS_RATE_HZ / _FFT
    rise = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    triangles = np.maximum(0, np.minimum(rise, fall)) * 2 / (edges[2:] - edges[:-2])
    return np.repeat(triangles, 2, axis=0).astype(np.float32)


def embed(read: Callable[[int, int], Samples], windows: Windows, session: Any) -> Embeddings:
    """The voice in each window, shape (n, 256). `read(start, end)` gives samples of the 16 kHz track.

    Batches form in the order of the windows, by their length alone, so a recording has one answer whatever else is
    in hand: the encoder's int8 layers share one scale per batch.
    """
    found = np.zeros((len(windows), EMBEDDING), np.float32)
    waiting: dict[int, list[tuple[int, NDArray[np.float32]]]] = {}
    for index, frames in _frames_of(read, windows):
        length = len(frames) if len(frames) >= WINDOW else max(_ROUND, len(frames) - len(frames) % _ROUND)
        group = waiting.setdefault(length, [])
        group.append((index, frames[:length]))
        if len(group) == _BATCH:
            _embed_batch(waiting.pop(length), session, found)
    for length in sorted(waiting):
        _embed_batch(waiting[length], session, found)
    return found


def _embed_batch(group: list[tuple[int, NDArray[np.float32]]], session: Any, found: Embeddings) -> None:
    stacked = np.stack([frames for _, frames in group], axis=1)
    level = stacked.mean((0, 2), keepdims=True)
    stacked *= _LEVEL / np.maximum(level, 1e-12)
    (found[[index for index, _ in group]],) = session.run(None, {"frames": stacked})


def _frames_of(read: Callable[[int, int], Samples], windows: Windows) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Each window's mel power, in order. A piece of the track is read once for all windows that lie in it."""
    first = 0
    while first < len(windows):
        start, ahead = int(windows.start[first]), slice(first, first + 2 * _PIECE // STEP)
        same = (windows.region[ahead] == windows.region[first]) & (windows.end[ahead] <= start + _PIECE)
        after = first + int(np.argmin(np.r_[same, False]))
        power = mel_power(_padded(read, start, int(windows.end[after - 1])))
        for index in range(first, after):
            yield index, power[int(windows.start[index]) - start : int(windows.end[index]) - start]
        first = after


def _padded(read: Callable[[int, int], Samples], start: int, end: int) -> Samples:
    """Samples around frames `start` to `end`, with zeros where the track has none."""
    begin, until = start * HOP - _FFT // 2, (end - 1) * HOP + _FFT // 2
    samples = read(max(0, begin), until)
    before = max(0, -begin)
    return np.pad(samples, (before, until - begin - before - len(samples)))
