"""A stage of one's own: how fast somebody speaks, and how they pause. docs/your-own-stage.md walks through it.

Named in a config as `stages: ["provoice.demo.speaking_rate:SpeakingRate"]`; its columns land on every utterance's row.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from schemas.errors import Rejected
from schemas.sound import Region, seconds
from transforms.items import Utterance
from transforms.spectrum import FRAME_HZ, band_power, speech_frames
from transforms.stage import each

MIN_SPEECH_S = 1.0
MIN_PAUSE_S = 0.15
DIP_DB = 2.0
RANGE_DB = 25.0
VOICED_BANDS = slice(0, 3)
"""94 to 2,656 Hz: vowels stand out here, and hiss and rumble do not."""


class SpeakingRate:
    """Sets `syllable_rate_hz`, `pauses` and `pause_ratio`."""

    name, version = "speaking_rate", 1
    columns: ClassVar[dict[str, str]] = {"syllable_rate_hz": "double", "pauses": "int", "pause_ratio": "double"}

    def open(self) -> None:
        """A stage with a model would load it here; once per worker."""

    def __call__(self, batch: list[Utterance]) -> list[Utterance | Rejected]:
        return each(batch, with_speaking_rate)


def with_speaking_rate(utterance: Utterance) -> Utterance:
    """The utterance with its columns added to those of the stages before."""
    power = band_power(utterance.samples) if utterance.band_power is None else utterance.band_power
    level_db = 10 * np.log10(power[:, VOICED_BANDS].sum(axis=1) + 1e-12)
    pauses = pauses_of(utterance.speech, utterance.sample_rate_hz)
    values = {
        "syllable_rate_hz": syllable_rate_hz(level_db, speech_frames(utterance.speech, len(power))),
        "pauses": len(pauses),
        "pause_ratio": round(sum(pauses) / utterance.duration_s, 4),
    }
    return replace(utterance, columns={**utterance.columns, **values}, band_power=power)


def syllable_rate_hz(level_db: NDArray[np.floating], is_speech: NDArray[np.bool_]) -> float | None:
    """Syllables per second of speech (pauses apart), rounded to 0.1; None with less than a second of speech.

    A syllable is a peak of `level_db` (one value per 20 ms) inside speech, within 25 dB of the loudest, with a dip of
    2 dB before the next. After N. H. de Jong and T. Wempe, Behavior Research Methods 41(2), 2009.
    """
    speech_s = int(np.count_nonzero(is_speech)) / FRAME_HZ
    if speech_s < MIN_SPEECH_S:
        return None
    smooth = np.convolve(np.pad(level_db, 1, mode="edge"), np.full(3, 1 / 3), mode="valid")
    floor = smooth[is_speech].max() - RANGE_DB
    syllables, is_rising, turning = 0, True, -np.inf
    # One step into silence at the end, so that the last syllable falls too.
    for level in [*np.where(is_speech, smooth, -np.inf), -np.inf]:
        if is_rising and level < turning - DIP_DB:
            syllables += bool(turning > floor)
            is_rising, turning = False, level
        elif not is_rising and level > turning + DIP_DB:
            is_rising, turning = True, level
        else:
            turning = max(turning, level) if is_rising else min(turning, level)
    return round(syllables / speech_s, 1)


def pauses_of(speech: tuple[Region, ...], sample_rate_hz: int) -> list[float]:
    """Lengths of the pauses between regions of speech that last at least 0.15 s, in seconds and in order."""
    gaps = [seconds(after.start_sample - before.end_sample, sample_rate_hz) for before, after in pairwise(speech)]
    return [gap for gap in gaps if gap >= MIN_PAUSE_S]
