"""Pitch and voices in the background, against what is known or what others say.

    python -m benchmarks.pitch [--part report] [--clips 12]

Pitch beside librosa's pyin (65 to 500 Hz) on one clip each of so many people: the medians' distance in semitones, and
how many are an octave apart; and its cost. `background_speech_ratio` of the same clips alone, in noise, and with
another person's voice under them. And what the lowest pitch that is looked for does where mains hum lies under a voice.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import soxr

from benchmarks.channel import clips
from benchmarks.tables import table
from schemas.sound import ANALYSIS_RATE_HZ, Samples
from training import split
from transforms.pitch import PitchConfig, pitch
from transforms.surroundings import background_speech_ratio

_SECONDS = 6
_UNDER_DB = (5, 10, 15, 20, 25, 30)
_ABOVE_HUM = PitchConfig(min_hz=75.0)


def voices(part: split.Part, limit: int) -> list[Samples]:
    """Clips at 16 kHz and −26 dBFS."""
    found = []
    for _, samples, rate in clips(part, limit):
        voice = soxr.resample(samples, rate, ANALYSIS_RATE_HZ)[: _SECONDS * ANALYSIS_RATE_HZ]
        found.append(np.asarray(voice * (0.05 / np.sqrt(np.mean(np.square(voice)))), np.float32))
    return found


def pitch_rows(heard: list[Samples]) -> list[list[str]]:
    """Median and spread beside pyin's, clip by clip, then the summary."""
    import librosa

    rows, apart, began = [], [], 0.0
    for n, voice in enumerate(heard):
        start = time.process_time()
        median, spread = pitch(voice)
        began += time.process_time() - start
        f0, is_voiced, _ = librosa.pyin(voice, fmin=65, fmax=500, sr=ANALYSIS_RATE_HZ, hop_length=640)
        theirs = float(np.median(f0[is_voiced])) if is_voiced.any() else float("nan")
        distance = 12 * np.log2(median / theirs) if median else float("nan")
        apart.append(abs(distance))
        rows.append([f"clip {n}", f"{median}", f"{spread}", f"{theirs:.1f}", f"{distance:.2f}"])
    seconds = sum(len(voice) for voice in heard) / ANALYSIS_RATE_HZ
    far = sum(1 for x in apart if x > 6)
    said = (
        f"median distance {np.nanmedian(apart):.2f}, over 6: {far} of {len(apart)}, {seconds / began:.0f} x real time"
    )
    return [*rows, ["all", "", "", "", said]]


def floor_rows(heard: list[Samples]) -> list[list[str]]:
    """How many medians are a semitone and more from what is found above 75 Hz without hum, by hum (five harmonics, 20
    dB under the voice) and `min_hz`."""
    rows = []
    for mains_hz in (None, 50, 60):
        for min_hz in (60.0, 65.0, 70.0):
            far = 0
            for voice in heard:
                hummed = voice if mains_hz is None else voice + _hum(mains_hz, len(voice))
                told, alone = pitch(hummed, None, PitchConfig(min_hz=min_hz))[0], pitch(voice, None, _ABOVE_HUM)[0]
                far += bool(told and alone and abs(12 * np.log2(told / alone)) > 1)
            name = "none" if mains_hz is None else f"{mains_hz} Hz"
            rows.append([name, f"{min_hz:g}", f"{far} of {len(heard)}"])
    return rows


def _hum(mains_hz: int, length: int) -> Samples:
    turn = 2 * np.pi * mains_hz * np.arange(length) / ANALYSIS_RATE_HZ
    tones = np.asarray(sum(part * np.sin(k * turn) for k, part in enumerate((1, 0.5, 0.4, 0.2, 0.2), 1)))
    return np.asarray(0.005 * tones / np.sqrt(np.mean(np.square(tones))), np.float32)


def background_rows(heard: list[Samples], seed: int = 6) -> list[list[str]]:
    """Quantiles of the ratio over clips, by what lies under the voice; then its rank correlation with the level."""
    from scipy.stats import spearmanr

    chance = np.random.default_rng(seed)
    found: dict[str, list[float | None]] = {"alone": [background_speech_ratio(voice) for voice in heard]}
    noisy = (voice + 0.005 * chance.standard_normal(len(voice)).astype(np.float32) for voice in heard)
    found["noise, 20 dB under"] = [background_speech_ratio(voice) for voice in noisy]
    levels, ratios = [], []
    for under_db in _UNDER_DB:
        name = f"a voice, {under_db} dB under"
        found[name] = []
        for n, voice in enumerate(heard):
            other = heard[(n + 3) % len(heard)]
            length = min(len(voice), len(other))
            mixed = voice[:length] + other[:length] * np.float32(10 ** (-under_db / 20))
            ratio = background_speech_ratio(mixed)
            found[name].append(ratio)
            if ratio is not None and under_db >= 15:
                levels.append(-under_db)
                ratios.append(ratio)
    rows = []
    for name, values in found.items():
        known = [value for value in values if value is not None]
        low, mid, high = np.quantile(known, [0.1, 0.5, 0.9]) if known else (np.nan,) * 3
        over = sum(1 for value in known if value >= 0.05)
        rows.append([name, f"{len(known)}", f"{low:.2f}", f"{mid:.2f}", f"{high:.2f}", f"{over}"])
    print(f"rank correlation with level, −15 to −30 dB: {spearmanr(levels, ratios).statistic:.2f}")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=("report", "train"), default="report")
    parser.add_argument("--clips", type=int, default=12)
    asked = parser.parse_args()
    heard = voices(asked.part, asked.clips)
    head = ["under the voice", "measured", "10 %", "median", "90 %", "0.05 and more"]
    print(table(head, background_rows(heard)))
    print()
    print(table(["hum", "min_hz", "a semitone off"], floor_rows(heard)))
    print()
    print(table(["", "f0_median_hz", "f0_spread_semitones", "pyin", "semitones"], pitch_rows(heard)))


if __name__ == "__main__":
    main()
