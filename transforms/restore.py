"""Repairs of an utterance, each on record. Off by default: a model that will hear damage should train on damage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version as installed
from importlib.util import find_spec
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from schemas.errors import ConfigError
from schemas.ids import utterance_key
from schemas.model import Frozen
from schemas.sound import ANALYSIS_RATE_HZ
from transforms.items import Measurements, Restoration, Utterance

Step = Literal["dc", "hum", "dereverberate", "denoise", "equalise", "loudness"]
Samples = NDArray[np.float64]

ORDER: tuple[Step, ...] = ("dc", "hum", "dereverberate", "denoise", "equalise", "loudness")
"""What removes comes before what shapes, and the level is set last."""

DERIVATION = "restored"
"""Ends the key of a restored utterance."""


class RestoreConfig(Frozen):
    """Which repairs are made, and how far each may go."""

    steps: tuple[Step, ...] = Field(
        default=("dc", "hum", "loudness"),
        min_length=1,
        description="repairs: dc, hum, dereverberate, denoise, equalise, loudness; always made in this order",
    )
    keep_original: bool = Field(
        default=True, description="the utterance as recorded is published too; false publishes the restored one alone"
    )
    min_hum_db: float = Field(default=6.0, ge=0, le=60, description="hum under this is left alone, dB")
    min_dc_offset: float = Field(
        default=0.0005, ge=0, le=1, description="offsets under this are left alone, full scale 1"
    )
    max_equaliser_db: float = Field(
        default=6.0, gt=0, le=20, description="the equaliser raises or lowers no band by more, dB"
    )
    max_noise_reduction_db: float = Field(
        default=12.0, gt=0, le=40, description="noise is lowered by no more than this, dB"
    )
    target_lufs: float = Field(default=-23.0, ge=-50, le=-5, description="loudness to bring utterances to, LUFS")
    max_true_peak_dbtp: float = Field(
        default=-1.0, ge=-20, le=0, description="true peak that the gain may not pass, dB of full scale"
    )


@dataclass(frozen=True, slots=True)
class Sound:
    """An utterance in the middle of its repair: samples at the source's rate, full scale 1, and what is known of it."""

    samples: Samples
    rate_hz: int
    utterance: Utterance


Repair = Callable[[Sound, RestoreConfig], tuple[Samples, Restoration] | None]


def _repairs() -> dict[Step, Repair]:
    from transforms import restore_channel, restore_noise

    return {
        "dc": restore_channel.remove_offset,
        "hum": restore_channel.remove_hum,
        "dereverberate": restore_noise.dereverberate,
        "denoise": restore_noise.reduce_noise,
        "equalise": restore_channel.equalise,
        "loudness": restore_channel.set_loudness,
    }


_LIBRARIES: dict[Step, tuple[str, str]] = {
    "denoise": ("noisereduce", "noisereduce"),
    "dereverberate": ("nara_wpe", "nara-wpe"),
}
"""Module and distribution that a step needs."""


class Restore:
    """Derives a restored utterance from each that needs one. Raises ConfigError where a library is missing."""

    name, version = "restore", 2

    def __init__(self, config: RestoreConfig) -> None:
        self.config = config
        self.model_ids: dict[str, str] = {}
        """Libraries by version: they are part of the recipe, and of the rows that they made."""
        for step, (module, distribution) in _LIBRARIES.items():
            if step not in config.steps:
                continue
            if find_spec(module) is None:
                raise ConfigError(f"restore.steps has {step}: `pip install 'provoice[restore]'` brings {distribution}")
            self.model_ids[distribution] = installed(distribution)

    def __call__(self, batch: list[Utterance]) -> list[Utterance | None]:
        """The restored utterance of each, not yet measured; None where no step had anything to do."""
        children = (restored(utterance, self.config) for utterance in batch)
        return [child and replace(child, models={**child.models, **self.model_ids}) for child in children]


def restored(utterance: Utterance, config: RestoreConfig) -> Utterance | None:
    """`utterance` after the repairs that it needs; its key ends in `restored`, and its parent's is on record."""
    import soxr

    stored = utterance.native()
    full = float(np.iinfo(stored.dtype).max) + 1
    sound = Sound(stored.astype(np.float64) / full, utterance.track.sample_rate_hz, utterance)
    done: list[Restoration] = []
    repairs = _repairs()
    for step in ORDER:
        answer = repairs[step](sound, config) if step in config.steps else None
        if answer is not None:
            sound = replace(sound, samples=answer[0])
            done.append(answer[1])
    if not done:
        return None
    samples = np.clip(np.rint(sound.samples * full), -full, full - 1).astype(stored.dtype)
    heard = (samples / full).astype(np.float32)
    if sound.rate_hz != ANALYSIS_RATE_HZ:
        heard = soxr.resample(heard, sound.rate_hz, ANALYSIS_RATE_HZ, quality="HQ")
    return derived(utterance, samples, _fitted(heard, len(utterance.samples)), tuple(done))


def derived(
    utterance: Utterance, native: NDArray[np.integer], heard: NDArray[np.float32], done: tuple[Restoration, ...]
) -> Utterance:
    """A child of `utterance`, to be measured anew: its samples, its key, its parent; what it said is what it says."""
    after = {change.step: change.after for change in done}
    channel = replace(
        utterance.channel,
        dc_offset=after.get("dc", utterance.channel.dc_offset),
        hum_db=after.get("hum", utterance.channel.hum_db),
    )
    track, region = utterance.track, utterance.region
    return replace(
        utterance,
        key=utterance_key(
            utterance.recording_id, track.channel, region.start_sample, region.end_sample, utterance.speaker, DERIVATION
        ),
        parent_key=utterance.key,
        restored=done,
        restored_samples=native,
        samples=heard,
        channel=channel,
        measurements=Measurements(),
        quality_flags=(),
        accent=None,
        columns={},
        pauses=np.zeros(0, np.float32),
        band_power=None,
        mel_power=None,
        acoustics=None,
    )


def _fitted(samples: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """Exactly `n` samples: a resampler may round the other way than the cutter."""
    return np.pad(samples[:n], (0, max(0, n - len(samples)))).astype(np.float32)
