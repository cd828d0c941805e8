"""SNR and C50 of speech in noise and rooms that a channel has damaged since: clipped, coded, low-passed, hummed over,
telephoned.

What a filter takes away it takes from voice and noise alike, and hum is noise: the true ratio is measured after them.
Clipping and coding have no such truth; there it is the ratio before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.accuracy.conditions import Clip, everywhere
from benchmarks.accuracy.errors import Errors, errors
from benchmarks.accuracy.ours import Told, told
from benchmarks.accuracy.public.wada import wada_snr_db
from benchmarks.accuracy.result import Result, Table, shown
from benchmarks.accuracy.snr import vars_of
from benchmarks.channel_damage import band_passed, coded, mu_law, pcm16
from schemas.sound import ANALYSIS_RATE_HZ as RATE
from schemas.sound import Samples
from training.mixtures import active_speech_snr

CLIPS, QUICK_CLIPS = 60, 20
"""A place; each is heard after every damage."""
CLIPPED = 0.01
"""Share of samples over the ceiling."""
HUM_DB = -20.0
"""Against the voice's mean power."""
LOW_PASS_HZ, TELEPHONE_HZ = 4_000.0, (300.0, 3_400.0)
_SEED = 8_000


@dataclass(frozen=True, slots=True)
class Heard:
    """A clip after damage, and its true ratio then."""

    clip: Clip
    samples: Samples
    snr_db: float


def measured(quick: bool) -> Result:
    """One table: errors by damage and place, other estimators' beside them."""
    clips = [clip for _, found in everywhere(QUICK_CLIPS if quick else CLIPS) for clip in found]
    rows, figures = [], {}
    for name, damage in DAMAGES.items():
        heard = [damage(clip) for clip in clips]
        ours = told(one.samples for one in heard)
        others = {
            "noise tracking": [one.snr_db for one in told((h.samples for h in heard), "classical")],
            "WADA": [wada_snr_db(one.samples) for one in heard],
        }
        for place in dict.fromkeys(clip.place for clip in clips):
            row, found = _row(heard, ours, others, place)
            rows.append((name, place, *row))
            figures[f"{name}, {place}"] = found
    head = ("channel", "place", *Errors.HEAD, "noise tracking MAE", "WADA MAE", "C50 MAE")
    return Result((Table("snr-channel", "SNR after the channel, dB", head, tuple(rows)),), figures)


def _row(
    heard: Sequence[Heard], ours: Sequence[Told], others: dict[str, list[float | None]], place: str
) -> tuple[list[str], dict[str, Any]]:
    at = [n for n, one in enumerate(heard) if one.clip.place == place]
    truth = [heard[n].snr_db for n in at]
    found = errors(truth, [ours[n].snr_db for n in at])
    beside = {name: errors(truth, [said[n] for n in at]).mae for name, said in others.items()}
    c50 = [(heard[n].clip.c50_db, ours[n].c50_db) for n in at]
    known = [(true, said) for true, said in c50 if true is not None]
    beside["C50"] = errors([true for true, _ in known], [said for _, said in known]).mae if known else None
    return [*found.cells(), *(shown(mae, 2) for mae in beside.values())], {**vars_of(found), "mae_of": beside}


def _as_it_is(clip: Clip) -> Heard:
    return Heard(clip, clip.samples, clip.snr_db)


def _clipped(clip: Clip) -> Heard:
    ceiling = max(float(np.quantile(np.abs(clip.samples), 1 - CLIPPED)), 1e-6)
    return Heard(clip, pcm16(np.clip(clip.samples, -ceiling, ceiling) / ceiling), clip.snr_db)


def _coded(codec: str) -> Callable[[Clip], Heard]:
    return lambda clip: Heard(clip, coded(clip.samples, RATE, codec), clip.snr_db)


def _low_passed(clip: Clip) -> Heard:
    voice, noise = (band_passed(part, RATE, 0.0, LOW_PASS_HZ) for part in clip.voice_and_noise)
    return Heard(clip, pcm16(voice + noise), active_speech_snr(voice, noise))


def _telephoned(clip: Clip) -> Heard:
    """Band and mu-law of G.711 at 8 kHz, brought back to 16 kHz."""
    import soxr

    voice, noise = (
        band_passed(soxr.resample(part, RATE, 8_000), 8_000, *TELEPHONE_HZ) for part in clip.voice_and_noise
    )
    heard = soxr.resample(mu_law(voice + noise), 8_000, RATE)
    voice, noise = (soxr.resample(part, 8_000, RATE) for part in (voice, noise))
    return Heard(clip, pcm16(heard), active_speech_snr(voice, noise))


def _hummed(clip: Clip) -> Heard:
    """Mains of 50 or 60 Hz with four harmonics."""
    voice, noise = clip.voice_and_noise
    chance = np.random.default_rng([_SEED, len(voice)])
    turn = 2 * np.pi * chance.choice([50.0, 60.0]) * np.arange(len(voice)) / RATE
    hum = sum(part * np.sin(k * turn + chance.uniform(0, 6)) for k, part in enumerate((1, 0.5, 0.4, 0.2, 0.2), 1))
    level = np.sqrt(np.mean(np.square(voice)) / np.mean(np.square(hum))) * 10 ** (HUM_DB / 20)
    noise = np.asarray(noise + level * hum, np.float32)
    return Heard(clip, pcm16(voice + noise), active_speech_snr(voice, noise))


DAMAGES: dict[str, Callable[[Clip], Heard]] = {
    "as it is": _as_it_is,
    f"clipped, {CLIPPED:.0%} of samples": _clipped,
    "MP3": _coded("mp3"),
    "Opus": _coded("opus"),
    f"low-passed at {LOW_PASS_HZ / 1000:g} kHz": _low_passed,
    "telephone (G.711)": _telephoned,
    f"hum, {-HUM_DB:g} dB under the voice": _hummed,
}
