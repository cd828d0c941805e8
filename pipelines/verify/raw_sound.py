"""Samples without any header, as a decoder's spool leaves them: told by being smooth, tried at the usual rates."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipelines.verify.decoding import Block

_RATES_HZ = (16_000, 8_000, 48_000, 44_100, 24_000, 22_050, 32_000)
_SHORTEST_BYTES = 16_000
_PROBE_BYTES = 1 << 16
_SMOOTH = 0.5
"""Correlation of neighbours: speech has 0.7 and more at these rates; packed bytes and text have next to none."""
_BLOCK_SAMPLES = 1 << 19
_LOUDEST = 4.0
_HEADS = (b"RIFF", b"RIFX", b"RF64", b"FORM")
"""Samples with a header are another detector's."""


def readings(view: memoryview) -> Iterator[tuple[str, Iterator[tuple[int, Block]]]]:
    """(what it is taken for, blocks) of every way in which these bytes could be samples of one channel."""
    if len(view) < _SHORTEST_BYTES or bytes(view[:4]) in _HEADS:
        return
    for kind in ("<i2", "<f4"):
        if _is_smooth(view, np.dtype(kind)):
            for rate in _RATES_HZ:
                yield f"as {kind} at {rate} Hz", _blocks(view, np.dtype(kind), rate)


def _is_smooth(view: memoryview, kind: np.dtype[np.generic]) -> bool:
    """Somewhere in the first, middle or last stretch."""
    last = max(0, len(view) - _PROBE_BYTES)
    for begin in {0, last // 2 // 4 * 4, last // 4 * 4}:
        samples = _samples(view, kind, begin, min(_PROBE_BYTES, len(view) - begin) // kind.itemsize)
        if not np.isfinite(samples).all() or np.abs(samples).max() > _LOUDEST:
            return False
        centred = samples - samples.mean()
        power = float(np.mean(centred**2))
        if power > 1e-10 and float(np.mean(centred[1:] * centred[:-1])) > _SMOOTH * power:
            return True
    return False


def _samples(view: memoryview, kind: np.dtype[np.generic], begin: int, count: int) -> NDArray[np.float32]:
    raw = np.frombuffer(view, kind, count, begin)
    with np.errstate(all="ignore"):
        return raw.astype(np.float32) / np.float32(32768.0 if kind.kind == "i" else 1.0)


def _blocks(view: memoryview, kind: np.dtype[np.generic], rate: int) -> Iterator[tuple[int, Block]]:
    total = len(view) // kind.itemsize
    for begin in range(0, total, _BLOCK_SAMPLES):
        count = min(_BLOCK_SAMPLES, total - begin)
        yield rate, np.nan_to_num(_samples(view, kind, begin * kind.itemsize, count))[:, None]
