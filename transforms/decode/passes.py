"""One pass over an open stream: every block goes to the meters of its channels and into the tracks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from schemas.errors import Reason, Rejected
from transforms.channel import DamageMeter, Floats
from transforms.decode.config import DecodeConfig
from transforms.decode.spool import Allowance, TrackWriter
from transforms.decode.stream import Block, Format, ReaderError, Stream
from transforms.items import ChannelMeasurements, Track

_BLOCK_VALUES = 1 << 19
"""Samples over all channels in a block. A quarter of this takes 15 % more time, for there are more calls to make."""

_LARGEST_SCALE = 2.0**31
"""Floats on the scale of 32-bit integers. A sample beyond that is damage."""

_SHOWN_FRAMES = 1 << 16
"""Frames of each block, at least, whose power is compared before and after mixing."""

_HIGHEST_PCM = 1 - 2.0**-15
"""The highest sample of 16 bits; whatever is above it may need clipping."""


@dataclass(frozen=True, slots=True)
class Mix:
    """How channels become tracks: their mean, one of them, or one track each; and a gain for floats out of range."""

    kind: Literal["mean", "one", "split"]
    channel: int = 0
    gain: float = 1.0

    def name(self, channels: int) -> str:
        """As in the column `downmix`."""
        if self.kind == "split":
            return "split"
        if channels == 1:
            return "mono"
        return "mean" if self.kind == "mean" else f"channel_{self.channel}"

    def sources(self, channels: int) -> list[tuple[int, ...]]:
        """The channels that each track is made of."""
        if self.kind == "split":
            return [(channel,) for channel in range(channels)]
        return [(self.channel,)] if self.kind == "one" else [tuple(range(channels))]


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass over a file made of it."""

    format: Format
    mix: Mix
    n_samples: int
    tracks: tuple[Track, ...]
    measurements: tuple[ChannelMeasurements, ...]
    stopped: str | None
    """What the reader said when it could not go on."""
    notes: tuple[str, ...]
    peak: float
    """Highest absolute sample as read, full scale 1."""
    exceeding_ratio: float
    """Share of samples beyond full scale, as written."""
    powers: tuple[float, ...]
    """Power of each channel about its own mean; that of the downmix comes last. Empty where nothing was mixed."""

    @property
    def duration_s(self) -> float:
        return self.n_samples / self.format.sample_rate_hz


def run_pass(stream: Stream, folder: Path, prefix: str, config: DecodeConfig, mix: Mix) -> Pass:
    """Read `stream` to its end into `{prefix}{channel}.pcm` and `.f32` in `folder`. Raises Rejected at a cap.

    An error of the reader ends the pass and stands in `stopped`; an error of the disk propagates.
    """
    source = stream.format
    _check(source, config)
    tally = _Tally(source, mix, config)
    with ExitStack() as stack:
        allowance = Allowance(config.max_spool_bytes)
        writers = [
            stack.enter_context(
                TrackWriter(folder / f"{prefix}{channels[0]}", channels[0], source, config.channel, allowance)
            )
            for channels in mix.sources(source.channels)
        ]
        stopped: str | None = None
        try:
            for block in stream.blocks(_block_frames(source.channels)):
                for writer, samples in zip(writers, tally.tracks_of(block), strict=True):
                    writer.feed(samples, may_exceed=tally.may_exceed)
        except ReaderError as error:
            stopped = str(error)
        tracks = tuple(writer.finish() for writer in writers)
    measurements = tuple(
        tally.measured(channels, writer) for channels, writer in zip(mix.sources(source.channels), writers, strict=True)
    )
    return Pass(
        format=source,
        mix=mix,
        n_samples=tally.damage.n_samples,
        tracks=tracks,
        measurements=measurements,
        stopped=stopped,
        notes=(*stream.notes, *tally.notes()),
        peak=tally.peak,
        exceeding_ratio=tally.exceeding / max(1, tally.damage.n_samples * source.channels),
        powers=tally.powers(),
    )


def _check(source: Format, config: DecodeConfig) -> None:
    if source.channels > config.max_channels:
        raise Rejected(
            Reason.TOO_MANY_CHANNELS, f"{source.channels} channels; decode.max_channels is {config.max_channels}"
        )
    if not config.min_sample_rate_hz <= source.sample_rate_hz <= config.max_sample_rate_hz:
        accepted = f"{config.min_sample_rate_hz} to {config.max_sample_rate_hz}"
        raise Rejected(Reason.BAD_SAMPLE_RATE, f"{source.sample_rate_hz} Hz; decode accepts {accepted} Hz")


def _block_frames(channels: int) -> int:
    # A power of two from 4,096 on: windows of the meters then lie within blocks, and nothing is copied twice.
    return max(4_096, _BLOCK_VALUES >> (channels - 1).bit_length())


class _Tally:
    """Mixes block by block, and keeps count of what that shows."""

    def __init__(self, source: Format, mix: Mix, config: DecodeConfig) -> None:
        self.damage = DamageMeter(source.channels, config.channel, source.sample_rate_hz)
        self.may_exceed = False
        self.peak = 0.0
        self.exceeding = 0
        self._damaged = 0
        self._mix = mix
        self._limit = config.max_duration_s * source.sample_rate_hz
        self._config = config
        self._energies = np.zeros(source.channels + 1 if mix.kind == "mean" and source.channels > 1 else 0)
        self._summed = np.zeros_like(self._energies)
        self._n_summed = 0

    def tracks_of(self, block: Block) -> Iterator[Floats]:
        """The samples of each track, shape (n,), once `block` was measured. Raises Rejected(TOO_LONG)."""
        high, low = block.max(axis=1), block.min(axis=1)
        # Said the other way round, this would let NaN pass.
        if not (high.max() <= _LARGEST_SCALE and low.min() >= -_LARGEST_SCALE):
            block = self._without_damage(block)
            high, low = block.max(axis=1), block.min(axis=1)
        self.peak = max(self.peak, float(high.max()), -float(low.min()))
        if self._mix.gain != 1.0:
            block, high, low = (array * block.dtype.type(self._mix.gain) for array in (block, high, low))
        self.may_exceed = bool(high.max() > _HIGHEST_PCM or low.min() < -1.0)
        if self.may_exceed:
            self.exceeding += int(np.count_nonzero(np.abs(block) > 1.0))
        self.damage.feed(block, high, low)
        if self.damage.n_samples > self._limit:
            raise Rejected(Reason.TOO_LONG, f"longer than decode.max_duration_s ({self._config.max_duration_s:g} s)")
        return self._mixed(block)

    def _without_damage(self, block: Block) -> Block:
        damaged = ~(np.abs(block) <= _LARGEST_SCALE)
        self._damaged += int(np.count_nonzero(damaged))
        return np.where(damaged, block.dtype.type(0), block)

    def _mixed(self, block: Block) -> Iterator[Floats]:
        if self._mix.kind != "mean" or len(block) == 1:
            return iter(block if self._mix.kind == "split" else block[self._mix.channel : self._mix.channel + 1])
        mean = block[0] + block[1]
        for channel in block[2:]:
            mean += channel
        mean *= block.dtype.type(1 / len(block))
        # A part of each block shows well enough whether the channels cancel.
        shown = max(_SHOWN_FRAMES, mean.size // 4)
        some, mixed = block[:, :shown], mean[:shown]
        self._energies[:-1] += np.einsum("ij,ij->i", some, some)
        self._energies[-1] += np.einsum("i,i->", mixed, mixed)
        self._summed += np.append(some.sum(axis=1), mixed.sum())
        self._n_summed += mixed.size
        return iter((mean,))

    def powers(self) -> tuple[float, ...]:
        # About the mean: a common offset does not cancel, and would hide that everything else did.
        n = max(1, self._n_summed)
        return tuple((self._energies / n - (self._summed / n) ** 2).tolist())

    def measured(self, channels: tuple[int, ...], writer: TrackWriter) -> ChannelMeasurements:
        peak_dbfs, clipping_ratio, dc_offset = self.damage.measured(channels)
        return ChannelMeasurements(
            channel=writer.channel,
            peak_dbfs=peak_dbfs,
            clipping_ratio=clipping_ratio,
            dc_offset=dc_offset,
            bandwidth_hz=writer.bandwidth.bandwidth_hz(),
            hum_db=writer.hum.hum_db(),
            dropout_ratio=self.damage.dropout_ratio(channels),
        )

    def notes(self) -> list[str]:
        notes = []
        if self._damaged:
            notes.append(f"{self._damaged} samples were no numbers, or beyond every scale, and were set to 0")
        if self.exceeding:
            notes.append(
                f"{self.exceeding} samples exceed full scale (up to {self.peak * self._mix.gain:.4g}) and were clipped"
            )
        if self._mix.gain != 1.0:
            notes.append(
                f"float samples reach {self.peak:.4g} times full scale; scaled by 1/{round(1 / self._mix.gain)}"
            )
        return notes
