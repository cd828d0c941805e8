"""What our own stages say of a clip: the same code that a run calls, without files around it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.listening import speech_in
from schemas.catalogue import CatalogueRow
from schemas.errors import Rejected
from schemas.sound import ANALYSIS_RATE_HZ as RATE
from schemas.sound import Region, Samples
from transforms.items import Track, Utterance
from transforms.reverberation import MeasureReverberation, ReverberationConfig
from transforms.snr import MeasureSnr, SnrConfig


@dataclass(frozen=True, slots=True)
class Told:
    """Estimates of one clip; None where there is none."""

    snr_db: float | None
    snr_spread_db: float | None
    c50_db: float | None
    c50_spread_db: float | None
    rt60_s: float | None
    flags: tuple[str, ...]


def told(clips: Iterable[Samples], method: str = "default") -> list[Told]:
    """What is measured of each clip with the configuration's defaults, or by the `classical` methods."""
    stages = _stages(method)
    return [_told(samples, stages) for samples in clips]


def methods() -> Sequence[str]:
    """`default`, and `classical` where that is another one."""
    classical = SnrConfig(method="noise_tracking") == SnrConfig()
    return ("default",) if classical else ("default", "classical")


@cache
def _stages(method: str) -> tuple[Any, ...]:
    snr, room = SnrConfig(), ReverberationConfig()
    if method == "classical":
        snr, room = SnrConfig(method="noise_tracking"), ReverberationConfig(method="decay")
    stages = (MeasureSnr(snr), MeasureReverberation(room))
    for stage in stages:
        stage.open()
    return stages


def _told(samples: Samples, stages: Sequence[Any]) -> Told:
    utterance = _utterance(samples)
    for stage in stages:
        (made,) = stage([utterance])
        if isinstance(made, Rejected):
            raise RuntimeError(f"a measurement put a clip aside: {made}")
        utterance = made
    found = utterance.measurements
    spread = getattr(found, "snr_spread_db", None), getattr(found, "c50_spread_db", None)
    return Told(found.snr_db, spread[0], found.c50_db, spread[1], found.rt60_s, utterance.quality_flags)


def _utterance(samples: Samples) -> Utterance:
    whole = Region(0, len(samples))
    nowhere = Path("made")
    track = Track(0, RATE, len(samples), nowhere, "int16", 16, nowhere, len(samples), np.zeros(0, np.float32))
    return Utterance(
        key="clip",
        recording_id="0" * 32,
        track=track,
        region=whole,
        speaker=None,
        catalogue=CatalogueRow(),
        samples=samples,
        speech=tuple(speech_in(samples)),
    )
