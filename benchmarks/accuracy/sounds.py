"""The real recordings that are heard here: the side of `training.split` that reports, and nothing else.

Everything is read through `heard`, which refuses a file that may train; `report_files` lists what there is to read, so
that a test can look at the bytes themselves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
import soxr

from benchmarks.corpus import audio_folder
from schemas.sound import ANALYSIS_RATE_HZ as RATE
from schemas.sound import Samples
from training import split
from training.recordings import noise_of, own_snr_db, read, readable
from training.rooms import Response, response_of

SHORTEST_S = 2.5
"""Voices of shorter clips (spoken digits) are too short to be measured by themselves."""


class TrainingFile(Exception):
    """A file that may train was about to report."""


def heard(path: str) -> Samples:
    """A file of the folder as 16 kHz mono. Raises TrainingFile where it is not on the side that reports."""
    if split.part_of(path) != "report":
        raise TrainingFile(f"{path} may train or tune, and cannot report")
    return read(audio_folder() / path)


def report_files() -> list[Path]:
    """Every file that a table can be made of."""
    return [item.file for item in split.items() if item.part == "report"]


def training_digests() -> set[str]:
    """SHA-256 of every file that may train or tune, by its bytes."""
    return {digest(item.file) for item in split.items() if item.part == "train"}


def in_both(reporting: Iterable[Path], training: set[str]) -> list[Path]:
    """Files that report although their bytes may train."""
    return [path for path in reporting if digest(path) in training]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@cache
def voices() -> tuple[tuple[str, Samples, float], ...]:
    """(speaker, samples, own SNR in dB) of read speech, in one order, and how far it stands over its own noise."""
    found = []
    for speaker, items in sorted(split.speakers("report").items()):
        for item in items:
            samples = heard(item.path)
            if len(samples) >= SHORTEST_S * RATE:
                found.append((speaker, samples, own_snr_db(samples)))
    return tuple(found)


@cache
def noises() -> tuple[tuple[str, Samples], ...]:
    """(name, samples) of real noise, MUSAN's without its speech and music."""
    plain = [(Path(item.path).stem, noise_of(item)) for item in readable(split.noises("report"))]
    musan = [noise_of(item) for item in readable(split.music("report")) if item.path.endswith(".wav")]
    # The second of its two parts is noise; the first is music.
    return (*plain, *(("musan", samples[-23 * RATE :]) for samples in musan))


@cache
def measured_rooms() -> tuple[tuple[str, Response], ...]:
    """(room, response) of responses whose decay can be read, with the answers that `rooms.csv` gives; places within one
    building share its name."""
    rows = split.room_rows()
    found = []
    for item in split.rooms("report"):
        row = rows[item.path]
        response = response_of(first_channel(item.path)) if row["reliable"] == "1" else None
        if response is not None:
            stated = replace(response, c50_db=float(row["C50"]), rt60_s=float(row["T30"]))
            found.append((item.group, stated))
    return tuple(found)


def first_channel(path: str) -> Samples:
    """One microphone of a response at 16 kHz: two averaged are no room. Raises TrainingFile as `heard` does."""
    if split.part_of(path) != "report":
        raise TrainingFile(f"{path} may train or tune, and cannot report")
    samples, rate = soundfile.read(audio_folder() / path, dtype="float32", always_2d=True)
    return np.asarray(soxr.resample(samples[:, 0], rate, RATE), np.float32)


def level_under_full_scale(samples: Samples, most: float = 0.9) -> float:
    """The gain, 1 or less, at which nothing clips: what is measured here does not depend on it."""
    return min(1.0, most / max(float(np.abs(samples).max(initial=0)), 1e-9))
