"""Recordings to measure speed on, made once from the real audio beside the checkout and kept in `.cache/bench`."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Stereo = NDArray[np.float32]

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache" / "bench"
RATE_HZ = 44_100
SEED = 20261101
GAP_S = (0.2, 1.2)
NOISE_DBFS = -66.0
"""A faint hiss, different in each channel: clips of 16 kHz would leave the upper half of the spectrum empty, and an
MP3 of nothing decodes faster than one of something."""


class NoAudio(Exception):
    """The folder of real recordings is not there."""


def audio_folder() -> Path:
    """Folder of real recordings: `PROVOICE_AUDIO`, or `../shared/audio` beside the checkout.

    Raises NoAudio, whose text says how to name it.
    """
    folder = Path(os.environ.get("PROVOICE_AUDIO", ROOT.parent / "shared" / "audio"))
    if not (folder / "speakers").is_dir():
        raise NoAudio(f"no recordings at {folder}: set PROVOICE_AUDIO to the folder that holds speakers/ and meetings/")
    return folder


def clips() -> list[Path]:
    """Read speech of about 160 people and twelve clips of meetings, in one fixed order."""
    folder = audio_folder()
    found = sorted([*folder.glob("speakers/librispeech_*/**/*.flac"), *folder.glob("meetings/*[0-9].wav")])
    if not found:
        raise NoAudio(f"{folder} holds none of the clips that the corpus is made of")
    return found


def speech(duration_s: float, seed: int) -> Iterator[Stereo]:
    """Clips in a shuffled order with pauses between them, `duration_s` seconds in all; blocks of shape (n, 2)."""
    import numpy as np
    import soundfile
    import soxr

    chance = random.Random(seed)
    noise = np.random.default_rng(seed)
    left = round(duration_s * RATE_HZ)
    pool: list[Path] = []
    while left > 0:
        pool = pool or chance.sample(clips(), len(clips()))
        clip, rate = soundfile.read(pool.pop(), dtype="float32", always_2d=True)
        voice = soxr.resample(clip.mean(axis=1), rate, RATE_HZ)
        pause = np.zeros(round(chance.uniform(*GAP_S) * RATE_HZ), np.float32)
        mono = np.concatenate([voice, pause])[:left]
        hiss = noise.standard_normal((len(mono), 2), np.float32) * np.float32(10 ** (NOISE_DBFS / 20))
        left -= len(mono)
        yield np.clip(mono[:, None] + hiss, -1.0, 1.0)


def recording(name: str, duration_s: float, seed: int, folder: Path) -> Path:
    """`folder/name`, made unless it is there already; its suffix names the format."""
    import soundfile

    path = folder / name
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{os.getpid()}-{name}")
    subtype = "MPEG_LAYER_III" if path.suffix == ".mp3" else "PCM_16"
    with soundfile.SoundFile(half, "w", RATE_HZ, 2, subtype, format=path.suffix[1:].upper()) as sink:
        for block in speech(duration_s, seed):
            sink.write(block)
    half.rename(path)
    return path


def hour_of_mp3() -> Path:
    """Folder with four MP3s of 15 minutes, 44.1 kHz stereo."""
    folder = CACHE / f"mp3-{SEED}"
    for index in range(4):
        recording(f"talk{index}.mp3", 900.0, SEED + index, folder)
    return folder


def moment_of_mp3() -> Path:
    """Folder with one MP3 of 10 seconds: what is left of a run's cost is its start-up."""
    folder = CACHE / f"moment-{SEED}"
    recording("moment.mp3", 10.0, SEED, folder)
    return folder


def one_file(minutes: int) -> Path:
    """Folder with one FLAC of so many minutes (LAME takes ten minutes for three hours; FLAC half a minute)."""
    folder = CACHE / f"{minutes:04d}min-{SEED}"
    recording("talk.flac", minutes * 60.0, SEED, folder)
    return folder


def source_hours(folder: Path) -> float:
    """Hours of audio in a folder of MP3s, from their headers, which this module wrote."""
    import soundfile

    return sum(float(soundfile.info(path).duration) for path in sorted(folder.glob("*.mp3"))) / 3600.0
