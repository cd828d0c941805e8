"""Where there is speech: Silero's probability per 32 ms, and the regions it makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from schemas.errors import ConfigError, Reason, Rejected
from schemas.model import Frozen
from schemas.sound import ANALYSIS_RATE_HZ, Region, merged
from transforms import silero
from transforms.items import Recording, Track
from transforms.silero import FRAME, speech_probability
from transforms.spans import common, remaining, within
from transforms.stage import each

__all__ = ["DetectSpeech", "VadConfig", "gain_db", "regions_from_probability", "speech_probability", "voiced_parts"]

EDGE_S = 0.3
"""Seconds by which a region, padded and in frames of 32 ms, commonly reaches beyond a turn that is drawn tight."""
_LATE_S = 0.1
"""Seconds by which silero's probability may stay up after a voice, and rise before it."""
_LEVEL = ANALYSIS_RATE_HZ // 20
"""Samples per value of `Track.level_db`."""
_NOBODY = 0.02
"""Probability under which silero is sure: in a meeting's pauses, which people write down as speech, it is not."""
_PAUSE_DB = 5.0
"""How far a silent pause lies under what is too quiet for the end of a word."""


class VadConfig(Frozen):
    """Where speech begins and ends. `docs/vad.md` says how the defaults were chosen and what they miss.

    A region is padded widely, for far from the microphone a word begins and ends under the detector's threshold; then
    its ends are drawn in again to where there is sound at all, and its silent pauses are taken out, for in a quiet
    recording padding and filling are silence.
    """

    on: float = Field(default=0.25, gt=0, lt=1, description="probability at which speech begins, 0..1")
    off: float = Field(default=0.15, gt=0, lt=1, description="probability under which speech ends, 0..1")
    fill_gap_s: float = Field(
        default=0.5, ge=0, le=5, description="pauses up to this many seconds within speech count as speech"
    )
    min_speech_s: float = Field(
        default=0.25, ge=0, le=10, description="shorter regions are dropped, seconds; measured before padding"
    )
    pad_s: float = Field(default=0.2, ge=0, le=1, description="added at both ends of a region, seconds")
    quiet_below_top_db: float = Field(
        default=35.0,
        gt=0,
        le=200,
        description="the ends of a region are drawn in over what is this much quieter than the recording's 95th "
        "percentile of 50 ms power, dB; 200 leaves them",
    )
    quiet_gap_s: float = Field(
        default=0.3,
        ge=0,
        le=5,
        description="pauses of so many seconds within a region are no speech if 5 dB quieter still and surely nobody's",
    )
    target_dbfs: float = Field(
        default=-26.0,
        ge=-60,
        le=0,
        description="the recording is heard with its 95th percentile of 50 ms power at this level, dB of full scale",
    )
    max_gain_db: float = Field(default=40.0, ge=0, le=80, description="most that is added to a quiet recording, dB")
    silent_below_dbfs: float = Field(
        default=-90.0,
        ge=-200,
        le=-40,
        description="50 ms whose power is under this are digital silence, dB of full scale",
    )
    model_sha256: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{64}$",
        description="refuse to start with another model file than this one; null takes the installed one",
    )

    @model_validator(mode="after")
    def _ordered(self) -> VadConfig:
        if self.off > self.on:
            raise ValueError(f"off ({self.off}) must not be above on ({self.on})")
        return self


TIGHT = VadConfig(on=0.3, off=0.15, fill_gap_s=0.15, min_speech_s=0.15, pad_s=0.07)
"""Speech without its pauses: only stop closures are filled."""


def gain_db(level_db: NDArray[np.float32], config: VadConfig) -> float | None:
    """What brings the 95th percentile of `level_db` (power of each 50 ms, dB of full scale) to the target, dB.

    Frames of digital silence do not count; None where there is nothing else. Rounded to 0.01 dB.
    """
    top_db = _top_db(level_db, config)
    return None if top_db is None else round(min(config.max_gain_db, config.target_dbfs - top_db), 2)


def _top_db(level_db: NDArray[np.float32], config: VadConfig) -> float | None:
    """95th percentile of the levels that are not digital silence."""
    heard = level_db[level_db >= config.silent_below_dbfs]
    return float(np.percentile(heard, 95)) if len(heard) else None


def regions_from_probability(
    probability: NDArray[np.float32],
    config: VadConfig,
    n_samples: int | None = None,
    level_db: NDArray[np.float32] | None = None,
) -> list[Region]:
    """Speech regions in 16 kHz samples, in order and apart, within `n_samples` (default: whole frames).

    Speech begins where the probability reaches `on` and lasts while it stays at or above `off`; then short gaps are
    filled, short regions dropped, and the rest padded. With `level_db` (power of each 50 ms, dB of full scale) quiet
    ends are drawn in again, and quiet pauses taken out.
    """
    end_of_sound = len(probability) * FRAME if n_samples is None else n_samples
    starts, ends = _runs(_with_hysteresis(probability, config.on, config.off))
    if len(starts):
        apart = (starts[1:] - ends[:-1]) * FRAME > config.fill_gap_s * ANALYSIS_RATE_HZ
        starts, ends = starts[np.r_[True, apart]], ends[np.r_[apart, True]]
    pad = round(config.pad_s * ANALYSIS_RATE_HZ)
    regions: list[Region] = []
    for start, end in zip((starts * FRAME).tolist(), np.minimum(ends * FRAME, end_of_sound).tolist(), strict=True):
        if end - start >= max(1, config.min_speech_s * ANALYSIS_RATE_HZ):
            regions.append(Region(max(0, start - pad), min(end_of_sound, end + pad)))
    united = _touching_united(regions)
    if level_db is None:
        return united
    drawn = _drawn_in(united, _is_quiet(level_db, config), config.pad_s)
    return remaining(drawn, _pauses(drawn, probability, _is_quiet(level_db, config, _PAUSE_DB), config))


def _is_quiet(level_db: NDArray[np.float32], config: VadConfig, under_db: float = 0.0) -> NDArray[np.bool_]:
    """Which 50 ms are `under_db` and more under what is too quiet to be the end of a word, measured by the recording's
    own loud ones."""
    top_db = _top_db(level_db, config)
    if top_db is None:
        return np.zeros(len(level_db), np.bool_)
    is_quiet: NDArray[np.bool_] = level_db <= top_db - config.quiet_below_top_db - under_db
    return is_quiet


def _drawn_in(regions: list[Region], is_quiet: NDArray[np.bool_], pad_s: float) -> list[Region]:
    """Each region without the quiet 50 ms at its ends, at most what padding and lateness account for; one that is
    quiet throughout stays as it is, for then somebody speaks far below the loudest."""
    most = round((pad_s + _LATE_S) * ANALYSIS_RATE_HZ)
    drawn: list[Region] = []
    for region in regions:
        first = region.start_sample // _LEVEL
        loud = first + np.flatnonzero(~is_quiet[first : -(-region.end_sample // _LEVEL)])
        if len(loud):
            start = max(region.start_sample, min(int(loud[0]) * _LEVEL, region.start_sample + most))
            end = min(region.end_sample, max((int(loud[-1]) + 1) * _LEVEL, region.end_sample - most))
            region = Region(start, end)
        drawn.append(region)
    return drawn


def _pauses(
    regions: Sequence[Region], probability: NDArray[np.float32], is_quiet: NDArray[np.bool_], config: VadConfig
) -> list[Region]:
    """What of `regions` is quiet between two sounds for `quiet_gap_s`, with a frame in or near it that is surely
    nobody's."""
    late = round((config.pad_s + _LATE_S) * ANALYSIS_RATE_HZ)
    quiet = [Region(start * _LEVEL, end * _LEVEL) for start, end in _spans(is_quiet)]
    between = [
        part
        for region in regions
        for part in within(region, quiet)
        if region.start_sample < part.start_sample and part.end_sample < region.end_sample
    ]
    sure = merged(
        Region(max(0, start * FRAME - late), end * FRAME + late) for start, end in _spans(probability < _NOBODY)
    )
    return [part for part in common(between, sure) if part.n_samples >= config.quiet_gap_s * ANALYSIS_RATE_HZ]


def voiced_parts(
    regions: Sequence[Region], probability: NDArray[np.float32], sample_rate_hz: int, config: VadConfig | None = None
) -> list[Region]:
    """What of `regions` is said without a pause, drawn tight: whoever tells voices apart must not listen across pauses,
    for there the speaker may change. In the samples of `sample_rate_hz`, as `regions` are; a region in which nothing is
    sure enough stays whole.
    """
    tight = regions_from_probability(probability, config or TIGHT)
    native = merged(part.rescaled(ANALYSIS_RATE_HZ, sample_rate_hz) for part in tight)
    return [part for region in regions for part in within(region, native) or [region]]


def _with_hysteresis(probability: NDArray[np.float32], on: float, off: float) -> NDArray[np.bool_]:
    """True from each frame at or above `on` until the first below `off`."""
    says = np.where(probability >= on, 1, np.where(probability < off, -1, 0))
    # Every undecided frame takes the word of the last decided one.
    last = np.maximum.accumulate(np.where(says != 0, np.arange(len(says)), -1))
    is_speech: NDArray[np.bool_] = (last >= 0) & (says[last] == 1)
    return is_speech


def _runs(is_speech: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    change = np.diff(np.r_[False, is_speech, False].astype(np.int8))
    return np.flatnonzero(change == 1), np.flatnonzero(change == -1)


def _spans(is_inside: NDArray[np.bool_]) -> list[tuple[int, int]]:
    starts, ends = _runs(is_inside)
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def _touching_united(regions: list[Region]) -> list[Region]:
    united: list[Region] = []
    for region in regions:
        if united and region.start_sample <= united[-1].end_sample:
            region = Region(united.pop().start_sample, region.end_sample)
        united.append(region)
    return united


class DetectSpeech:
    """Fills `speech` and `speech_probability` of every track, each heard by itself.

    Rejects with SILENT where every track is (almost) zero, with NO_SPEECH where no track has a region.
    """

    name, version = "detect_speech", 3

    def __init__(self, config: VadConfig) -> None:
        self.config = config
        self._session: Any = None

    @cached_property
    def model_ids(self) -> dict[str, str]:
        """The model by name, version and digest. Raises ConfigError where it is not the one that is configured."""
        pinned, found = self.config.model_sha256, silero.model_sha256()
        if pinned is not None and pinned != found:
            raise ConfigError(f"vad.model_sha256 is {pinned}, but the installed silero-vad's model has {found}")
        return {silero.MODEL: silero.model_id()}

    def open(self) -> None:
        """Loads the model; ConfigError where it is missing, unknown, or not the pinned one."""
        _ = self.model_ids  # refuses another model than the pinned one
        self._session = silero.open_session()

    def __call__(self, batch: list[Recording]) -> list[Recording | Rejected]:
        return each(batch, self._detected)

    def _detected(self, recording: Recording) -> Recording:
        if recording.decoded is None:
            raise RuntimeError("speech is detected in decoded recordings")
        tracks = recording.decoded.tracks
        gains = [gain_db(track.level_db, self.config) for track in tracks]
        if all(gain is None for gain in gains):
            raise Rejected(Reason.SILENT, f"nothing in it reaches {self.config.silent_below_dbfs:g} dBFS")
        probability = tuple(self._probability(track, gain) for track, gain in zip(tracks, gains, strict=True))
        speech = tuple(self._regions(track, p) for track, p in zip(tracks, probability, strict=True))
        if not any(speech):
            highest = max(float(p.max(initial=0.0)) for p in probability)
            raise Rejected(Reason.NO_SPEECH, f"the highest probability of speech is {highest:.2f}")
        return replace(recording, speech=speech, speech_probability=probability).with_models(self.model_ids)

    def _probability(self, track: Track, gain: float | None) -> NDArray[np.float32]:
        if gain is None:
            return np.zeros(-(-track.n_analysis // FRAME), np.float32)
        return silero.streamed_probability(track.analysis_blocks(silero.BLOCK), self._session, 10 ** (gain / 20))

    def _regions(self, track: Track, probability: NDArray[np.float32]) -> tuple[Region, ...]:
        """Regions in samples of the track's own rate; rounding may pass the end by a sample, so they are clamped."""
        whole = Region(0, track.n_samples)
        heard = regions_from_probability(probability, self.config, track.n_analysis, track.level_db)
        native = (region.rescaled(ANALYSIS_RATE_HZ, track.sample_rate_hz) & whole for region in heard)
        return tuple(region for region in native if region is not None)
