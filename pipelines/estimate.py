"""How long a file probably is, from its name and size alone: planning opens no file.

Bytes per second of what people usually keep under each extension. An estimate is for grouping and for the hours that
`provoice plan` prints; durations in the lake come from decoded samples. `plan.bytes_per_s` replaces a figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

_FIGURES = {
    # Uncompressed: between 16 kHz mono (32,000) and CD quality (176,400), both at 16 bit.
    64_000: ("wav", "wave", "w64", "rf64", "bwf", "caf", "aif", "aiff", "aifc", "afc"),
    # Lossless: 20,000 at 16 kHz mono, where most of it is.
    24_000: ("flac", "ape", "wv", "tta"),
    # 128 kbit/s: what music codecs are usually set to, and what telephone formats come to (8 kHz at 16 bit).
    16_000: (
        "mp3",
        "mp2",
        "mpga",
        "m4a",
        "m4b",
        "aac",
        "f4a",
        "wma",
        "asf",
        "mpc",
        "ac3",
        "eac3",
        "mka",
        "au",
        "snd",
        "sph",
    ),
    12_000: ("ogg", "oga"),
    # Speech codecs.
    8_000: ("voc", "spx"),
    4_000: ("opus",),
    2_000: ("amr", "awb"),
    # Films: mostly picture.
    150_000: ("mp4", "m4v", "mov", "mkv", "webm", "f4v"),
    40_000: ("3gp", "3g2"),
}
BYTES_PER_S: Mapping[str, int] = MappingProxyType({name: rate for rate, names in _FIGURES.items() for name in names})
"""Typical bytes per second of audio, by extension in lower case: every extension that is a source by default."""

OTHER_BYTES_PER_S = 16_000
"""For names without an extension that is known."""


def estimated_s(path: str, size_bytes: int, bytes_per_s: Mapping[str, float]) -> float:
    """Seconds of audio that a file of this name and size probably holds, to the millisecond.

    >>> estimated_s("a/b.MP3", 160_000, BYTES_PER_S)
    10.0
    """
    extension = path.rpartition(".")[2].lower()
    return round(size_bytes / bytes_per_s.get(extension, OTHER_BYTES_PER_S), 3)


def estimated_ms(
    codes: np.ndarray, extensions: Sequence[str], sizes: np.ndarray, bytes_per_s: Mapping[str, float]
) -> np.ndarray:
    """Milliseconds of `estimated_s` for columns: `extensions[codes[n]]` stands behind the last dot of name n."""
    rates = [bytes_per_s.get(extension, OTHER_BYTES_PER_S) for extension in extensions]
    seconds = sizes / np.array([float(rate) for rate in rates])[codes]
    exact = seconds * 1000
    # Python rounds the decimal that is meant, numpy the product: they can differ next to a half only.
    is_close = (np.abs(exact - np.floor(exact) - 0.5) < 1e-3) | (exact > 2.0**40)
    rounded = np.rint(np.where(is_close, 0, exact)).astype(np.int64)
    close = np.flatnonzero(is_close)
    rounded[close] = [round(1000 * round(value, 3)) for value in seconds[close].tolist()]
    return rounded
