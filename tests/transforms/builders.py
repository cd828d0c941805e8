"""Tracks and recordings with known answers, made from arrays: what a decode would have left, without a decode."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas.catalogue import CatalogueRow
from schemas.sound import ANALYSIS_RATE_HZ, Region, Samples, Turn, rescale
from schemas.source import Source
from transforms.items import ChannelMeasurements, Decoded, Recording, Track

LEVEL_FRAME = 800
"""50 ms of the analysis track."""


def level_db_of(samples_16k: Samples) -> NDArray[np.float32]:
    """Power of each 50 ms, dB of full scale, floor −120; the last frame may be shorter."""
    n = -(-len(samples_16k) // LEVEL_FRAME)
    power = np.array(
        [np.mean(np.square(samples_16k[i * LEVEL_FRAME : (i + 1) * LEVEL_FRAME], dtype=np.float64)) for i in range(n)]
    )
    level: NDArray[np.float32] = (10 * np.log10(np.maximum(power, 1e-12))).astype(np.float32)
    return level


def track_of(
    folder: Path,
    samples_16k: Samples | Sequence[float],
    sample_rate_hz: int = ANALYSIS_RATE_HZ,
    channel: int = 0,
    native: NDArray[np.floating] | None = None,
    native_dtype: str = "int16",
) -> Track:
    """A spooled track of `samples_16k` (float, −1…1). Its native file holds `native` (float at `sample_rate_hz`), or
    else the nearest samples of `samples_16k`: right for counts and places, not for spectra. Files are written once per
    content into `folder`."""
    heard = np.ascontiguousarray(samples_16k, dtype="<f4")
    if native is None:
        n_native = rescale(len(heard), ANALYSIS_RATE_HZ, sample_rate_hz)
        at = np.minimum(np.arange(n_native) * ANALYSIS_RATE_HZ // sample_rate_hz, max(0, len(heard) - 1))
        native = heard[at]
    bits = {"int16": 16, "int32": 24}[native_dtype]
    whole = np.clip(np.round(np.asarray(native) * 2.0 ** (bits - 1)), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    # 24 bits are left-justified in 32.
    stored = (whole.astype(np.int64) << (8 if bits == 24 else 0)).astype(f"<i{np.dtype(native_dtype).itemsize}")
    name = hashlib.sha256(heard.tobytes() + stored.tobytes()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    analysis_path, native_path = folder / f"{name}.f32", folder / f"{name}.pcm"
    heard.tofile(analysis_path)
    stored.tofile(native_path)
    return Track(
        channel=channel,
        sample_rate_hz=sample_rate_hz,
        n_samples=len(stored),
        native_path=native_path,
        native_dtype=native_dtype,
        native_bits=bits,
        analysis_path=analysis_path,
        n_analysis=len(heard),
        level_db=level_db_of(heard),
    )


def decoded_of(tracks: Sequence[Track], downmix: str | None = None) -> Decoded:
    """What the decode of these tracks would have said of them."""
    return Decoded(
        sample_rate_hz=tracks[0].sample_rate_hz,
        channels=len(tracks),
        n_samples=max(track.n_samples for track in tracks),
        container="WAV",
        codec="PCM_16",
        decoder="made for a test",
        header_duration_s=None,
        downmix=downmix or ("mono" if len(tracks) == 1 else "split"),
        notes=(),
        tracks=tuple(tracks),
        channel_measurements=tuple(ChannelMeasurements(track.channel) for track in tracks),
    )


def recording_of(
    tracks: Track | Sequence[Track],
    catalogue: CatalogueRow | None = None,
    speech: Sequence[Sequence[Region]] = (),
    turns: Sequence[Sequence[Turn]] = (),
    speech_probability: Sequence[NDArray[np.float32]] = (),
    voices: int | None = None,
    subject_of: Mapping[str, str] | None = None,
    path: str = "made/for-a-test.wav",
) -> Recording:
    """A decoded recording of `tracks`; speech, turns and probabilities are per track, as the stages leave them."""
    every = (tracks,) if isinstance(tracks, Track) else tuple(tracks)
    return Recording(
        source=Source("tests", path, "1-1", 1),
        source_sha256="0" * 64,
        local_path=Path(path),
        catalogue=catalogue or CatalogueRow(),
        decoded=decoded_of(every),
        speech=tuple(tuple(regions) for regions in speech),
        speech_probability=tuple(speech_probability),
        turns=tuple(tuple(found) for found in turns),
        voices=voices,
        subject_of=dict(subject_of or {}),
    )


def tone(
    seconds: float, frequency_hz: float = 440.0, level_dbfs: float = -20.0, sample_rate_hz: int = 16_000
) -> Samples:
    """A sine whose mean power is `level_dbfs`."""
    t = np.arange(round(seconds * sample_rate_hz)) / sample_rate_hz
    made: Samples = (10 ** (level_dbfs / 20) * np.sqrt(2) * np.sin(2 * np.pi * frequency_hz * t)).astype(np.float32)
    return made


def noise(seconds: float, level_dbfs: float = -40.0, seed: int = 0, sample_rate_hz: int = 16_000) -> Samples:
    """White Gaussian noise whose expected mean power is `level_dbfs`."""
    drawn = np.random.default_rng(seed).standard_normal(round(seconds * sample_rate_hz))
    made: Samples = (10 ** (level_dbfs / 20) * drawn).astype(np.float32)
    return made


def voice(seconds: float, f0_hz: float = 120.0, level_dbfs: float = -26.0, seed: int = 0) -> Samples:
    """A made voice at 16 kHz that voice activity models take for speech: a pulse train whose pitch moves, through the
    formants of another vowel every 180 ms. Nobody's, so it may stand where a recording of a person would."""
    from scipy.signal import lfilter

    rate, rng = ANALYSIS_RATE_HZ, np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    pitch = f0_hz * (1 + 0.15 * np.sin(2 * np.pi * 0.7 * t) + 0.03 * np.sin(2 * np.pi * 5 * t))
    pulses = np.diff(np.floor(np.cumsum(pitch) / rate), prepend=0) + 0.02 * rng.standard_normal(len(t))
    vowels = ((700, 1200, 2500), (300, 2300, 3000), (500, 900, 2400), (400, 2000, 2600), (350, 800, 2300))
    made = np.zeros(len(t), np.float32)
    for start in range(0, len(t), round(0.18 * rate)):
        sound = pulses[start : start + round(0.18 * rate)]
        for formant_hz, width_hz in zip(vowels[rng.integers(len(vowels))], (80, 110, 160), strict=True):
            radius = np.exp(-np.pi * width_hz / rate)
            sound = lfilter([1], [1, -2 * radius * np.cos(2 * np.pi * formant_hz / rate), radius**2], sound)
        from_edge = np.minimum(np.arange(len(sound)), np.arange(len(sound))[::-1]) / (0.02 * rate)
        sound = sound / (np.sqrt(np.mean(np.square(sound))) + 1e-9) * np.minimum(1, from_edge)
        made[start : start + len(sound)] = sound
    return made * np.float32(10 ** (level_dbfs / 20))


def bare_track(n_samples: int, sample_rate_hz: int = ANALYSIS_RATE_HZ, channel: int = 0) -> Track:
    """A track without files, for what looks only at places and never at samples."""
    return Track(
        channel=channel,
        sample_rate_hz=sample_rate_hz,
        n_samples=n_samples,
        native_path=Path("absent.pcm"),
        native_dtype="int16",
        native_bits=16,
        analysis_path=Path("absent.f32"),
        n_analysis=rescale(n_samples, sample_rate_hz, ANALYSIS_RATE_HZ),
        level_db=np.zeros(0, np.float32),
    )
