"""What decoding accepts, and how much it may spend on one file."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from schemas.model import Frozen
from transforms.channel import ChannelConfig

ReaderName = Literal["libsndfile", "ffmpeg"]


class DecodeConfig(Frozen):
    """Caps are enforced on what is decoded; what a header claims is only written down."""

    channels: Literal["mix", "split"] = Field(
        "mix", description="`mix`: one track, the mean of all channels; `split`: one track per channel"
    )
    cancel_db: float = Field(
        10.0,
        ge=3,
        le=60,
        description="a mean of the channels that is this much weaker than the strongest of them, dB, has cancelled, "
        "and the strongest is taken instead",
    )
    max_duration_s: float = Field(86_400.0, gt=0, description="longest recording, seconds of decoded audio")
    max_bytes: int = Field(16 << 30, gt=0, description="largest source file, bytes")
    max_spool_bytes: int = Field(64 << 30, gt=0, description="most that one decode may write to the spool, bytes")
    max_channels: int = Field(32, ge=1, le=256, description="most channels")
    min_sample_rate_hz: int = Field(4_000, ge=1_000, description="lowest sample rate, Hz")
    max_sample_rate_hz: int = Field(384_000, le=1_000_000, description="highest sample rate, Hz")
    readers: tuple[ReaderName, ...] = Field(
        ("libsndfile", "ffmpeg"),
        min_length=1,
        description="readers in the order in which they are tried; Ogg goes to ffmpeg first",
    )
    channel: ChannelConfig = Field(ChannelConfig(), description="what counts as clipped, as content and as hum")

    @model_validator(mode="after")
    def _consistent(self) -> DecodeConfig:
        if self.min_sample_rate_hz > self.max_sample_rate_hz:
            raise ValueError("min_sample_rate_hz is above max_sample_rate_hz")
        if len(set(self.readers)) != len(self.readers):
            raise ValueError("a reader is listed twice")
        return self
