"""Real recordings as 16 kHz mono arrays, and how clean a voice was when it was recorded."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np

from schemas.sound import ANALYSIS_RATE_HZ as RATE
from schemas.sound import Samples
from training.split import Item

# Where in MUSAN's mix nobody speaks (`music/musanmix-smn-gender.csv`), seconds.
_MUSAN_S = {"music": (0.3, 22.2), "noise": (29.3, 52.6)}


@lru_cache(maxsize=2048)
def read(path: Path) -> Samples:
    """A file as 16 kHz mono; channels are averaged. Raises `soundfile.LibsndfileError` on what it cannot read."""
    import soundfile
    import soxr

    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return np.asarray(soxr.resample(samples.mean(axis=1), rate, RATE), np.float32)


def readable(items: Iterable[Item]) -> list[Item]:
    """Those that libsndfile reads: some files of `codecs/` are broken on purpose."""
    import soundfile

    found = []
    for item in items:
        try:
            if soundfile.info(item.file).frames < 3600 * RATE:
                read(item.file)
                found.append(item)
        except soundfile.LibsndfileError:
            continue
    return found


def noise_of(item: Item) -> Samples:
    """A noise or music recording without the speech and the silence that MUSAN's mix holds."""
    samples = read(item.file)
    if item.group != "music/musanmix":
        return samples
    parts = [samples[round(start * RATE) : round(end * RATE)] for start, end in _MUSAN_S.values()]
    return np.concatenate(parts)


def pauses_of(meeting: Item) -> list[Samples]:
    """What an AMI clip holds between anybody's words, where that lasts half a second or more."""
    name = meeting.file.stem.replace("n\u0303", "n").replace("\u00f1", "n")
    samples = read(meeting.file)
    is_quiet = np.ones(len(samples), np.bool_)
    for rttm in sorted(meeting.file.parent.glob("*.rttm")):
        for line in rttm.read_text(encoding="utf-8").splitlines():
            _, clip, _, start, duration, *_ = line.split()
            if clip == name:
                # A margin: words begin before whoever annotated them heard them.
                is_quiet[
                    max(0, round((float(start) - 0.2) * RATE)) : round((float(start) + float(duration) + 0.3) * RATE)
                ] = False
    edges = np.flatnonzero(np.diff(np.r_[False, is_quiet, False].astype(np.int8)))
    return [samples[a:b] / max(float(samples[a:b].std()), 1e-7) for a, b in edges.reshape(-1, 2) if b - a >= RATE // 2]


def own_snr_db(samples: Samples) -> float:
    """How far the loud frames of a clip stand over its quietest tenth, dB: the noise it was recorded in."""
    frames = samples[: len(samples) // 320 * 320].reshape(-1, 320)
    power = np.sort(np.square(frames, dtype=np.float64).mean(axis=1))
    loud = power[power > power[-1] * 1e-3].mean()
    return float(10 * np.log10(loud / max(power[: max(1, len(power) // 10)].mean(), 1e-14)))
