"""What travels through the stages: a recording, then its utterances. Both are frozen; a stage returns a new one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from schemas.catalogue import CatalogueRow
from schemas.sound import ANALYSIS_RATE_HZ, Region, Samples, Turn
from schemas.source import Source

if TYPE_CHECKING:
    from transforms.acoustics import Acoustics


@dataclass(frozen=True, slots=True)
class Track:
    """One channel (or the downmix) of a recording, spooled on the worker's own disk by the one decode.

    `native_path` holds little-endian PCM of `native_dtype` at `sample_rate_hz`, lossless as far as the source was;
    `analysis_path` float32 at 16 kHz. Both are raw, mono and headerless.
    """

    channel: int
    sample_rate_hz: int
    n_samples: int
    native_path: Path
    native_dtype: str
    """`int16` or `int32` (left-justified 24 bits and more)."""
    native_bits: int
    """16 or 24: what the cut utterance is encoded with."""
    analysis_path: Path
    n_analysis: int
    level_db: NDArray[np.float32] = field(repr=False)
    """Power of each 50 ms of the analysis track, dB of full scale, shape (n_analysis // 800 rounded up,)."""

    def read(self, region: Region) -> NDArray[Any]:
        """Samples of `region` at the source's rate, shape (n,), as stored."""
        return _read(self.native_path, np.dtype(self.native_dtype), region.start_sample, region.end_sample)

    def read_analysis(self, start_sample: int, end_sample: int) -> Samples:
        """Samples of the 16 kHz track, indices in its own samples, clamped to its end; shape (n,)."""
        return _read(self.analysis_path, np.dtype("<f4"), max(0, start_sample), min(end_sample, self.n_analysis))

    def analysis_blocks(self, block_samples: int) -> Iterator[Samples]:
        """The whole 16 kHz track in order, in blocks of `block_samples` (the last one shorter)."""
        for start in range(0, self.n_analysis, block_samples):
            yield self.read_analysis(start, start + block_samples)


def _read(path: Path, dtype: np.dtype[Any], start: int, end: int) -> NDArray[Any]:
    # fromfile and not memmap: mapped pages would count as this process's memory, and grow with the file.
    return np.fromfile(path, dtype=dtype, count=max(0, end - start), offset=start * dtype.itemsize)


@dataclass(frozen=True, slots=True)
class ChannelMeasurements:
    """Damage and bandwidth of one source channel; None where it could not be measured."""

    channel: int
    peak_dbfs: float | None = None
    clipping_ratio: float | None = None
    dc_offset: float | None = None
    bandwidth_hz: float | None = None
    hum_db: float | None = None
    dropout_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class Decoded:
    """What one decode found. Counts and durations come from decoded samples, never from headers."""

    sample_rate_hz: int
    channels: int
    n_samples: int
    container: str
    codec: str
    decoder: str
    header_duration_s: float | None
    downmix: str
    notes: tuple[str, ...]
    tracks: tuple[Track, ...]
    channel_measurements: tuple[ChannelMeasurements, ...]
    """One per track, in the same order."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A source on its way through the stages. Per-track tuples follow the order of `decoded.tracks`."""

    source: Source
    source_sha256: str
    local_path: Path
    catalogue: CatalogueRow
    decoded: Decoded | None = None
    speech: tuple[tuple[Region, ...], ...] = ()
    """Speech regions per track, in samples of the recording's own rate."""
    speech_probability: tuple[NDArray[np.float32], ...] = ()
    """Probability of speech per track and frame of 512 analysis samples (32 ms)."""
    turns: tuple[tuple[Turn, ...], ...] = ()
    """Turns per track, in samples of the recording's own rate; labels are unique across tracks."""
    voices: int | None = None
    """How many speakers were heard; None when nothing listened."""
    subject_of: Mapping[str, str] = field(default_factory=dict)
    """Speaker label to subject_id, where the backend knows whose voice it is."""
    extra_voice_s: float | None = None
    """Longest voice beyond the catalogue's subjects, seconds; None when nothing listened."""
    models: Mapping[str, str] = field(default_factory=dict)
    """Model name to `version sha256:…` of each model that measured it."""

    @property
    def recording_id(self) -> str:
        return self.source.recording_id

    def with_models(self, models: Mapping[str, str]) -> Recording:
        return replace(self, models={**self.models, **models})


@dataclass(frozen=True, slots=True)
class Measurements:
    """Measurements of one utterance, each rounded to its stated precision; None: could not be measured."""

    snr_db: float | None = None
    c50_db: float | None = None
    rt60_s: float | None = None
    speech_ratio: float | None = None
    overlap_ratio: float | None = None
    loudness_lufs: float | None = None
    peak_dbfs: float | None = None
    clipping_ratio: float | None = None
    dc_offset: float | None = None
    bandwidth_hz: float | None = None
    hum_db: float | None = None
    snr_spread_db: float | None = None
    c50_spread_db: float | None = None
    dropout_ratio: float | None = None
    f0_median_hz: float | None = None
    f0_spread_semitones: float | None = None
    spectral_tilt_db_per_octave: float | None = None
    ltass_distance_db: float | None = None
    background_speech_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class Accent:
    """An accent label of one label set; `score` is None when it was declared."""

    label: str
    label_set: str
    origin: str
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Restoration:
    """One repair: what was done, and a score before and after it; None where that could not be measured."""

    step: str
    detail: str
    score: str
    """Name and unit of the score."""
    before: float | None
    after: float | None


@dataclass(frozen=True, slots=True)
class Utterance:
    """A cut of one turn. `samples` are its 16 kHz mono samples, held while its batch is measured."""

    key: str
    recording_id: str
    track: Track
    region: Region
    """In samples of the recording's own rate."""
    speaker: str | None
    catalogue: CatalogueRow
    samples: Samples = field(repr=False)
    speech: tuple[Region, ...]
    """Speech within the utterance, in 16 kHz samples from its start."""
    overlap: tuple[Region, ...] = ()
    """Where another speaker's turn overlaps, in 16 kHz samples from its start."""
    measurements: Measurements = Measurements()
    quality_flags: tuple[str, ...] = ()
    accent: Accent | None = None
    text: str | None = None
    channel: ChannelMeasurements = ChannelMeasurements(channel=0)
    """Damage and bandwidth of the track it was cut from."""
    pauses: Samples = field(default_factory=lambda: np.zeros(0, np.float32), repr=False, compare=False)
    """16 kHz samples of the pauses around it in the recording: the room without a voice. May be empty."""
    band_power: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    """Power per frame and band (`transforms.spectrum`), made by the first stage that needs it, for the others."""
    mel_power: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    """What `band_power` sums, finer: power per frame and mel band."""
    acoustics: Acoustics | None = field(default=None, repr=False, compare=False)
    """What the network said, when a stage has asked it."""
    columns: Mapping[str, Any] = field(default_factory=dict)
    """Columns of the user's own stages."""
    models: Mapping[str, str] = field(default_factory=dict)
    parent_key: str | None = None
    """Key of the utterance it was derived from; None for a cut of a recording."""
    restored: tuple[Restoration, ...] = ()
    restored_samples: NDArray[Any] | None = field(default=None, repr=False, compare=False)
    """Samples at the source's rate in the place of the track's own."""

    def native(self) -> NDArray[Any]:
        """Samples at the source's rate, as stored, shape (n,): integers of the track's `native_dtype`."""
        return self.track.read(self.region) if self.restored_samples is None else self.restored_samples

    @property
    def duration_s(self) -> float:
        return self.region.n_samples / self.track.sample_rate_hz

    @property
    def sample_rate_hz(self) -> int:
        """Rate of `samples`."""
        return ANALYSIS_RATE_HZ

    def measured(self, **values: Any) -> Utterance:
        """This utterance with some of its measurements set."""
        return replace(self, measurements=replace(self.measurements, **values))

    def flagged(self, *flags: str) -> Utterance:
        """This utterance with further quality flags; none is said twice."""
        return replace(self, quality_flags=tuple(dict.fromkeys((*self.quality_flags, *flags))))
