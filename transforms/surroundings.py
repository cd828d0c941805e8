"""Other voices under the main one: what is heard while the speaker pauses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from schemas.errors import Rejected
from schemas.model import Frozen
from schemas.sound import Samples
from transforms.items import Utterance
from transforms.pitch import HOP, RATE_HZ, PitchConfig, PitchTrack, pitch_track
from transforms.stage import each

_VOICED = PitchConfig(min_hz=70, max_hz=400, max_aperiodicity=0.3)
_FRAME_S = HOP / RATE_HZ


class SurroundingsConfig(Frozen):
    """What counts as the speaker's pause, and as heard in it."""

    pause_db: float = Field(
        default=15.0, ge=6, le=40, description="frames this far below the speaker's loud ones are pauses, dB"
    )
    range_db: float = Field(
        default=40.0, ge=20, le=80, description="what is fainter than this under the speaker is not heard, dB"
    )
    tail_s: float = Field(
        default=0.12, ge=0, le=1, description="what follows the speaker within this time is the room, seconds"
    )
    min_pause_s: float = Field(default=0.4, gt=0, le=60, description="with fewer pauses it is null, seconds")


_DEFAULTS = SurroundingsConfig()


class MeasureSurroundings:
    """Sets `background_speech_ratio`."""

    name, version = "measure_surroundings", 1

    def __init__(self, config: SurroundingsConfig) -> None:
        self.config = config

    def open(self) -> None:
        """No model to load."""

    def __call__(self, batch: list[Utterance]) -> list[Utterance | Rejected]:
        return each(batch, self._measured)

    def _measured(self, utterance: Utterance) -> Utterance:
        ratio = background_speech_ratio(utterance.samples, utterance.pauses, self.config)
        return utterance.measured(background_speech_ratio=ratio)


def background_speech_ratio(
    samples: Samples, pauses: Samples | None = None, config: SurroundingsConfig = _DEFAULTS
) -> float | None:
    """Share of the speaker's pauses in which a voiced sound is heard, 0..1, to 0.01.

    `samples` are 16 kHz mono; `pauses` what lies around them in the recording, where the voice detector heard nobody.
    Pauses within `samples` are frames well under the speaker's loud ones and past the room's tail. Heard is what is
    periodic as a voice is: so music and mains hum are counted, whispers are not, and what a second voice says while
    the speaker speaks is not heard at all. None with less than `min_pause_s` of pauses.

    It tells that there is a voice, not how loud it is. Of ten clips of the `report` split (`python -m
    benchmarks.pitch`) one passed 0.05 alone and none in noise, seven or eight with a voice 15 to 25 dB under it, four
    with one 30 dB under. At 5 dB under, the other voice is taken for the speaker's own: there the diarizer's
    `overlap_ratio` tells.
    """
    own = pitch_track(samples, _VOICED)
    if not len(own.level_db):
        return None
    loud = float(np.quantile(own.level_db, 0.9))
    is_main = own.level_db > loud - config.pause_db
    is_near = is_main.copy()
    for shift in range(1, 1 + round(config.tail_s / _FRAME_S)):
        is_near[shift:] |= is_main[:-shift]
    is_near[:-1] |= is_main[1:]
    heard, frames = _heard(own, ~is_near, loud - config.range_db)
    if pauses is not None and len(pauses):
        around = pitch_track(pauses, _VOICED)
        more, frames_around = _heard(around, around.level_db < loud - config.pause_db / 2, loud - config.range_db)
        heard, frames = heard + more, frames + frames_around
    if frames * _FRAME_S < config.min_pause_s:
        return None
    return round(heard / frames, 2)


def _heard(track: PitchTrack, is_pause: NDArray[np.bool_], floor_db: float) -> tuple[int, int]:
    """Frames of pauses with a voice in them, and frames of pauses."""
    is_voice = is_pause & (track.f0_hz > 0) & (track.level_db > floor_db)
    return int(is_voice.sum()), int(is_pause.sum())
