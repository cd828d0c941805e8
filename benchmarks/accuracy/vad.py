"""Speech detection: ours beside silero at its defaults and the small network's own head.

In meetings, against the turns that people wrote down; in read speech, against the clean voice's energy; in noise, where
every second found is false.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.conditions import clips
from benchmarks.accuracy.result import Result, Table, percent, shown
from benchmarks.accuracy.sounds import heard, noises, voices
from benchmarks.corpus import audio_folder
from benchmarks.listening import speech_in
from schemas.sound import ANALYSIS_RATE_HZ as RATE
from schemas.sound import Region, Samples, merged
from training import split
from transforms.diarize.rttm import RttmIndex, parse_rttm
from transforms.silero import open_session, speech_probability

FRAME = RATE // 100
ACTIVE_DB = 35.0
"""Clean speech is active within this of its 95th percentile."""
FILLED_S = 0.3
COLLAR_S = 0.1
CLEAN_DB = 35.0
"""How far a voice stands over its own noise to be called clean: then its energy says where it is."""

Mask = NDArray[np.bool_]
Detector = Callable[[Samples], Sequence[Region]]


def measured(quick: bool) -> Result:
    """Meetings, read speech, mixtures and noise, for each detector."""
    rows, figures = [], {}
    for name, detect in detectors().items():
        found = [*_meetings(detect), *_read(detect, quick), *_mixed(detect, 20 if quick else 80)]
        rows += [(name, *row) for row in found]
        figures[name] = {row[0]: row[1:] for row in found}
    head = ("detector", "on", "speech s", "missed %", "false alarms %", "right %", "right %, 0.1 s from edges")
    noise_rows, noise_figures = _noise()
    tables = (
        Table("vad", "speech detection", head, tuple(rows)),
        Table("vad-noise", "seconds of speech in noise", ("noise", "s", *detectors()), noise_rows),
    )
    return Result(tables, {"speech": figures, "noise_s": noise_figures})


@cache
def detectors() -> dict[str, Detector]:
    found: dict[str, Detector] = {"provoice": speech_in, "silero, its defaults": silero_by_default}
    return found | ({"the network's head": by_network} if _network() is not None else {})


def silero_by_default(samples: Samples) -> list[Region]:
    """The package's own function at its own thresholds, without our gain."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from silero_vad import get_speech_timestamps_from_probs

        spans = get_speech_timestamps_from_probs(
            speech_probability(samples, _silero()), audio_length_samples=len(samples)
        )
    return [Region(span["start"], span["end"]) for span in spans]


def by_network(samples: Samples) -> list[Region]:
    """Where the network that measures SNR hears speech, with the same pauses filled as by VAD."""
    from transforms.acoustics import STEP_HZ, frame_acoustics

    session = _network()
    step = RATE // STEP_HZ
    said = np.repeat(frame_acoustics(samples, session).speech_probability >= 0.5, step // FRAME)
    return _regions(_filled(said, 0.5))


@cache
def _silero() -> Any:
    return open_session()


@cache
def _network() -> Any:
    """The shipped network; None where this version ships none."""
    from schemas.errors import ConfigError
    from transforms.acoustics import open_network

    try:
        return open_network()
    except (ConfigError, OSError):
        return None


def activity(clean: Samples) -> Mask:
    """Where a clean voice is heard, per 10 ms: energy of 25 ms within 35 dB of its loud parts; pauses up to 0.3 s count
    as speech, blips under 50 ms do not. Shape (n // 160,)."""
    frames = len(clean) // FRAME
    padded = np.pad(np.square(clean, dtype=np.float64), (120, 400))
    sums = np.r_[0.0, np.cumsum(padded)]
    at = np.arange(frames) * FRAME
    level_db = 10 * np.log10(np.maximum((sums[at + 400] - sums[at]) / 400, 1e-12))
    is_loud = level_db > np.percentile(level_db, 95) - ACTIVE_DB
    lasting = [r for r in _regions(is_loud) if r.n_samples >= 5 * FRAME]
    return _filled(mask(lasting, frames), FILLED_S)


def mask(regions: Sequence[Region], frames: int) -> Mask:
    """Which frames of 10 ms lie in a region."""
    inside = np.zeros(frames, np.bool_)
    for region in regions:
        inside[round(region.start_sample / FRAME) : round(region.end_sample / FRAME)] = True
    return inside


def _regions(is_speech: Mask) -> list[Region]:
    edges = np.flatnonzero(np.diff(np.r_[False, is_speech, False].astype(np.int8))).reshape(-1, 2)
    return [Region(int(start) * FRAME, int(end) * FRAME) for start, end in edges]


def _filled(is_speech: Mask, most_s: float) -> Mask:
    filled = is_speech.copy()
    regions = _regions(is_speech)
    for before, after in pairwise(regions):
        if after.start_sample - before.end_sample <= most_s * RATE:
            filled[before.end_sample // FRAME : after.start_sample // FRAME] = True
    return filled


def counted(truth: Mask, said: Mask) -> NDArray[np.float64]:
    """Frames of speech, missed, of no speech, false, right, right far from edges, far from edges; shape (7,)."""
    far = np.ones(len(truth), np.bool_)
    for edge in np.flatnonzero(np.diff(truth.astype(np.int8))).tolist():
        far[max(0, edge + 1 - round(COLLAR_S * 100)) : edge + 1 + round(COLLAR_S * 100)] = False
    right = truth == said
    counts = truth.sum(), (truth & ~said).sum(), (~truth).sum(), (said & ~truth).sum(), right.sum()
    return np.array([*counts, (right & far).sum(), far.sum()], np.float64)


def _row(name: str, counts: NDArray[np.float64]) -> tuple[str, ...]:
    speech, missed, other, false, right, right_far, far = counts.tolist()
    return (
        name, shown(speech / 100, 0), percent(missed / max(speech, 1)), percent(false / other if other else None),
        percent(right / (speech + other)), percent(right_far / max(far, 1)),
    )  # fmt: skip


def meeting_turns(name: str) -> list[Region]:
    """Where people wrote down that somebody speaks."""
    index = RttmIndex(
        turn
        for path in sorted((audio_folder() / "meetings").glob("*.rttm"))
        for turn in parse_rttm(path.read_text(encoding="utf-8"), str(path))
    )
    return merged(Region(round(t.start_s * RATE), round(t.end_s * RATE)) for t in index.of([name]))


def _meetings(detect: Detector) -> list[tuple[str, ...]]:
    rows, total = [], np.zeros(7)
    for item in split.meetings("report"):
        samples = heard(item.path)
        frames = len(samples) // FRAME
        counts = counted(mask(meeting_turns(item.file.stem), frames), mask(detect(samples), frames))
        total += counts
        rows.append(_row(f"meeting {item.file.stem}", counts))
    return [_row("meetings", total), *rows]


def _read(detect: Detector, quick: bool) -> list[tuple[str, ...]]:
    clean = [samples for _, samples, own_db in voices() if own_db >= CLEAN_DB]
    total = np.zeros(7)
    for samples in clean[:: 4 if quick else 1]:
        truth = activity(samples)
        total += counted(truth, mask(detect(samples), len(truth)))
    return [_row("clean read speech", total)]


def _mixed(detect: Detector, count: int) -> list[tuple[str, ...]]:
    rows = []
    found = clips("dry", count)
    for low, high in ((-5, 5), (5, 15), (15, 25), (25, 35)):
        total = np.zeros(7)
        for clip in found:
            if low <= clip.snr_db < high:
                truth = activity(clip.clean)
                total += counted(truth, mask(detect(clip.samples), len(truth)))
        rows.append(_row(f"read speech in noise, {low} to {high} dB".replace("-", "−"), total))
    return rows


def _noise() -> tuple[tuple[tuple[str, ...], ...], dict[str, dict[str, float]]]:
    rows, figures = [], {}
    for name, samples in noises():
        seconds = {who: sum(r.n_samples for r in detect(samples)) / RATE for who, detect in detectors().items()}
        rows.append((name, shown(len(samples) / RATE, 0), *(shown(value, 1) for value in seconds.values())))
        figures[name] = {who: round(value, 2) for who, value in seconds.items()}
    return tuple(rows), figures
