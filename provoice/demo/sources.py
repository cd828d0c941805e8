"""Builds the demo's sources from one real conversation of two people, which the pyannote.audio package carries.

Each source is damaged in one known way, so that the demo can put what was stated beside what was measured.
"""

from __future__ import annotations

import importlib.util
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.errors import ConfigError

Sound = NDArray[np.float64]
RATE_HZ = 16_000
SEED = 2026

PEOPLE = ("speaker90", "speaker91")


@dataclass(frozen=True, slots=True)
class DemoSource:
    """A file of the demo: whose voices it holds, and what is known of it."""

    path: str
    people: tuple[str, ...]
    stated: str
    measure: str
    """What the closing table shows beside `stated`: a column, or the expected reason."""


def sample_conversation() -> tuple[Sound, str]:
    """The conversation (30 s, 16 kHz, two speakers) and its RTTM text. Raises ConfigError without its package."""
    spec = importlib.util.find_spec("pyannote")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place) / "audio" / "sample"
        if (folder / "sample.wav").is_file():
            import soundfile

            samples, rate = soundfile.read(folder / "sample.wav", dtype="float64")
            if rate == RATE_HZ:
                return samples, (folder / "sample.rttm").read_text()
    raise ConfigError("the demo's conversation comes with pyannote.audio: pip install 'provoice[diarization]'")


def spans_of(rttm: str) -> list[tuple[float, float, str]]:
    """(start, end, label) in seconds of every line."""
    fields = [line.split() for line in rttm.splitlines() if line.startswith("SPEAKER")]
    return [(float(f[3]), float(f[3]) + float(f[4]), f[7]) for f in fields]


def speech_of(samples: Sound, rttm: str) -> Sound:
    """The samples that lie within a span of the RTTM."""
    mask = np.zeros(len(samples), bool)
    for start, end, _ in spans_of(rttm):
        mask[round(start * RATE_HZ) : round(end * RATE_HZ)] = True
    return samples[mask]


def _above_60_hz(samples: Sound) -> Sound:
    spectrum = np.fft.rfft(samples)
    spectrum[np.fft.rfftfreq(len(samples), 1 / RATE_HZ) < 60] = 0
    return np.fft.irfft(spectrum, len(samples))


def pink_noise(n: int, rng: np.random.Generator) -> Sound:
    """Noise with equal power per octave."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    spectrum[0] = 0
    return np.fft.irfft(spectrum, n)


def with_noise(samples: Sound, rttm: str, snr_db: float) -> Sound:
    """Pink noise added so that speech (within the RTTM, above 60 Hz) is `snr_db` above it."""
    noise = pink_noise(len(samples), np.random.default_rng(SEED))
    power = np.mean(speech_of(_above_60_hz(samples), rttm) ** 2)
    gain = math.sqrt(power / np.mean(_above_60_hz(noise) ** 2) / 10 ** (snr_db / 10))
    return _within_full_scale(samples + gain * noise)


def room_response(rt60_s: float) -> Sound:
    """Direct sound and a tail of noise that falls by 60 dB in `rt60_s`; the tail holds as much as the direct sound."""
    rng = np.random.default_rng(SEED)
    t = np.arange(round(rt60_s * 1.2 * RATE_HZ)) / RATE_HZ
    tail = rng.standard_normal(len(t)) * 10 ** (-3 * t / rt60_s)
    tail *= math.sqrt(1 / np.sum(tail**2))
    tail[0] += 1
    return tail


def c50_of(response: Sound) -> float:
    """Energy of the first 50 ms over the rest, dB (ISO 3382-1)."""
    early = round(0.05 * RATE_HZ)
    return 10 * math.log10(np.sum(response[:early] ** 2) / np.sum(response[early:] ** 2))


def in_a_room(samples: Sound, response: Sound) -> Sound:
    n = len(samples) + len(response) - 1
    wet = np.fft.irfft(np.fft.rfft(samples, n) * np.fft.rfft(response, n), n)[: len(samples)]
    return _within_full_scale(wet)


def clipped(samples: Sound, gain_db: float) -> tuple[Sound, float]:
    """The samples driven `gain_db` over a full-scale peak and cut off there; with the share of samples cut."""
    driven = samples / np.max(np.abs(samples)) * 10 ** (gain_db / 20)
    return np.clip(driven, -1, 1), float(np.mean(np.abs(driven) >= 1))


def _within_full_scale(samples: Sound) -> Sound:
    peak = float(np.max(np.abs(samples)))
    return samples / peak * 0.98 if peak > 0.98 else samples


def build(folder: Path) -> list[DemoSource]:
    """Writes every source and its RTTM below `folder`; the same bytes each time."""
    samples, rttm = sample_conversation()
    response = room_response(0.6)
    cut, ratio = clipped(samples, 6.0)
    folder.mkdir(parents=True, exist_ok=True)
    write_wav(folder / "original.wav", samples)
    _write(folder / "mp3-copy.mp3", samples, format="MP3", subtype="MPEG_LAYER_III")
    write_wav(folder / "noisy.wav", with_noise(samples, rttm, 10.0))
    write_wav(folder / "room.wav", in_a_room(samples, response))
    write_wav(folder / "quiet.wav", samples * 10 ** (-30 / 20))
    write_wav(folder / "clipped.wav", cut)
    write_wav(folder / "silent.wav", np.zeros(10 * RATE_HZ))
    _write_truncated(folder / "truncated.flac", samples, 0.6)
    (folder / "not-audio.wav").write_text("This is a text file that somebody called .wav.\n")
    write_wav(folder / "no-grant.wav", samples * 0.9)
    write_wav(folder / "withdrawn.wav", samples * 0.8)
    both = PEOPLE
    return [
        DemoSource("original.wav", both, "two people, 30.0 s", "people"),
        DemoSource("mp3-copy.mp3", both, "the same as MP3, 30.0 s", "duration_s"),
        DemoSource("noisy.wav", both, "SNR 10.0 dB", "snr_db"),
        DemoSource("room.wav", both, f"RT60 0.60 s, C50 {c50_of(response):.1f} dB added", "rt60_s"),
        DemoSource("quiet.wav", both, "30.0 dB quieter than the original", "loudness_lufs"),
        DemoSource("clipped.wav", both, f"{ratio:.2%} of samples clipped", "clipping_ratio"),
        DemoSource("silent.wav", both, "no sound at all", "silent"),
        DemoSource("truncated.flac", both, "cut off after 60 % of its bytes", "duration_s"),
        DemoSource("not-audio.wav", both, "a text file", "unreadable"),
        DemoSource("no-grant.wav", ("speaker90", "visitor"), "visitor was never asked", "no_grant"),
        DemoSource("withdrawn.wav", ("speaker90", "leaver"), "leaver has withdrawn", "withdrawn"),
    ]


def write_wav(path: Path, samples: Sound) -> None:
    _write(path, samples, format="WAV", subtype="PCM_16")


def _write(path: Path, samples: Sound, **how: Any) -> None:
    import soundfile

    _write_new(path, lambda file: soundfile.write(file, samples, RATE_HZ, **how))


def _write_truncated(path: Path, samples: Sound, share: float) -> None:
    import soundfile

    with io.BytesIO() as whole:
        soundfile.write(whole, samples, RATE_HZ, format="FLAC", subtype="PCM_16")
        data = whole.getvalue()
    _write_new(path, lambda file: file.write(data[: round(len(data) * share)]))


def _write_new(path: Path, write: Callable[[io.BytesIO], object]) -> None:
    """Writes only what is not there already with the same bytes, so that a second demo finds the same versions."""
    with io.BytesIO() as made:
        write(made)
        data = made.getvalue()
    if not path.is_file() or path.read_bytes() != data:
        path.write_bytes(data)
