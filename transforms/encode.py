"""An utterance's samples as the bytes of one audio file."""

from __future__ import annotations

import io
from typing import Literal

from pydantic import Field

from schemas.model import Frozen
from transforms.items import Utterance


class OutputConfig(Frozen):
    """How utterances are stored."""

    codec: Literal["flac", "wav"] = Field(default="flac", description="file format of an utterance; both are lossless")
    sample_rate_hz: int | None = Field(
        default=None, ge=8_000, le=192_000, description="rate to resample to, Hz; null keeps the source's own"
    )
    shard_max_bytes: int = Field(
        default=1 << 30, ge=1 << 20, description="a unit's tar is closed before it passes this many bytes"
    )


def encode(utterance: Utterance, config: OutputConfig) -> bytes:
    """The utterance as FLAC or WAV, 16 bits where the source had no more, else 24; mono."""
    import numpy as np
    import soundfile

    track = utterance.track
    samples, rate = utterance.native(), track.sample_rate_hz
    if config.sample_rate_hz is not None and config.sample_rate_hz != rate:
        import soxr

        full = float(np.iinfo(samples.dtype).max)
        moved = soxr.resample(samples.astype(np.float64), rate, config.sample_rate_hz, quality="HQ")
        samples, rate = np.clip(np.rint(moved), -full - 1, full).astype(samples.dtype), config.sample_rate_hz
    subtype = "PCM_16" if track.native_bits == 16 else "PCM_24"
    with io.BytesIO() as file:
        soundfile.write(file, samples, rate, format=config.codec.upper(), subtype=subtype)
        return file.getvalue()
