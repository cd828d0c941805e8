"""The spool: what one decode leaves on the worker's own disk, from which cutting and models read spans."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.errors import Reason, Rejected
from schemas.sound import ANALYSIS_RATE_HZ, Samples, rescale
from transforms.channel import BandwidthMeter, ChannelConfig, Floats, Framed
from transforms.channel_hum import HumMeter
from transforms.decode.stream import Format
from transforms.items import Track

LEVEL_SAMPLES = ANALYSIS_RATE_HZ // 20
"""50 ms of the analysis track: one value of `level_db`."""

_SILENCE = 1e-12
"""Power that is written for digital silence: -120 dB."""


class Allowance:
    """Bytes that one decode may still write; `spend` raises Rejected(TOO_LARGE) when they are gone."""

    def __init__(self, total_bytes: int) -> None:
        self._total_bytes = self._left_bytes = total_bytes

    def spend(self, n_bytes: int) -> None:
        self._left_bytes -= n_bytes
        if self._left_bytes < 0:
            raise Rejected(Reason.TOO_LARGE, f"its spool would pass decode.max_spool_bytes ({self._total_bytes})")


class TrackWriter:
    """Writes one track at the source's rate and at 16 kHz, and measures both on the way."""

    def __init__(self, stem: Path, channel: int, source: Format, config: ChannelConfig, allowance: Allowance) -> None:
        self.channel, self._source, self._allowance = channel, source, allowance
        self._native = stem.with_name(stem.name + ".pcm").open("wb")
        self._analysis = stem.with_name(stem.name + ".f32").open("wb")
        self._resample = _resampler(source.sample_rate_hz)
        self._n_samples = self._n_analysis = 0
        self._levels: list[NDArray[np.float32]] = []
        self._framed = Framed(LEVEL_SAMPLES)
        self.bandwidth = BandwidthMeter(source.sample_rate_hz, source.floor_db, config)
        self.hum = HumMeter(config)

    def __enter__(self) -> TrackWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._native.close()
        self._analysis.close()

    def feed(self, samples: Floats, *, may_exceed: bool) -> None:
        """`samples` of the track, full scale 1, shape (n,); what exceeds full scale is clipped, if told that it may."""
        if may_exceed:
            samples = np.clip(samples, -1.0, 1.0)
        self.bandwidth.feed(samples)
        self._write(self._native, _as_pcm(samples, self._source.native_bits, may_exceed))
        self._n_samples += samples.size
        self._heard(self._resample(samples.astype(np.float32, copy=False), False))

    def _heard(self, analysis: Samples) -> None:
        self._write(self._analysis, analysis)
        self._n_analysis += analysis.size
        self.hum.feed(analysis)
        self._measure_level(self._framed.whole(analysis).reshape(-1, LEVEL_SAMPLES))

    def _measure_level(self, frames: Floats) -> None:
        power = np.einsum("ij,ij->i", frames, frames) / max(1, frames.shape[1])
        self._levels.append((10 * np.log10(np.maximum(power, _SILENCE))).astype(np.float32))

    def _write(self, file: Any, samples: NDArray[Any]) -> None:
        self._allowance.spend(samples.nbytes)
        file.write(np.ascontiguousarray(samples))

    def finish(self) -> Track:
        """The track, once everything was fed."""
        expected = rescale(self._n_samples, self._source.sample_rate_hz, ANALYSIS_RATE_HZ)
        tail = self._resample(np.empty(0, np.float32), True)[: expected - self._n_analysis]
        self._heard(np.pad(tail, (0, expected - self._n_analysis - tail.size)))
        if self._framed.rest.size:
            self._measure_level(self._framed.rest[None, :])
        self._native.close()
        self._analysis.close()
        return Track(
            channel=self.channel,
            sample_rate_hz=self._source.sample_rate_hz,
            n_samples=self._n_samples,
            native_path=Path(self._native.name),
            native_dtype="int32" if self._source.native_bits > 16 else "int16",
            native_bits=self._source.native_bits,
            analysis_path=Path(self._analysis.name),
            n_analysis=self._n_analysis,
            level_db=np.concatenate(self._levels),
        )


def _resampler(sample_rate_hz: int) -> Any:
    """A streaming filter to 16 kHz: `f(samples, is_last)`, no delay once the last block is through."""
    if sample_rate_hz == ANALYSIS_RATE_HZ:
        return lambda samples, _last: samples
    import soxr

    stream = soxr.ResampleStream(sample_rate_hz, ANALYSIS_RATE_HZ, 1, dtype="float32", quality="HQ")
    return stream.resample_chunk


def _as_pcm(samples: Floats, bits: int, may_exceed: bool) -> NDArray[Any]:
    """Little-endian PCM: exact where the source was PCM of up to `bits`, else the nearest value."""
    if bits > 16:
        scaled = np.rint(samples.astype(np.float64) * 2.0**31)
        return np.clip(scaled, -(2.0**31), 2.0**31 - 1).astype("<i4")
    scaled = samples * np.float32(32_768.0)
    np.rint(scaled, out=scaled)
    if may_exceed:
        np.clip(scaled, -32_768.0, 32_767.0, out=scaled)
    return scaled.astype("<i2")
