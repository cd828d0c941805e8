"""Damage made on purpose: clipping, lost bandwidth, hum, offset and dropouts over real speech, each at known severity.

Every maker takes a clip of full scale 1, shape (n,), its rate, and a generator; the answer is what was done to it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

Samples = NDArray[np.float32]
Random = np.random.Generator


@dataclass(frozen=True, slots=True)
class Damaged:
    """A damaged clip. `truth` is the bandwidth in Hz, or the share of samples damaged; None where nothing was."""

    kind: str
    severity: str
    samples: Samples
    sample_rate_hz: int
    truth: float | None
    is_lossy: bool = False
    is_faint: bool = False
    """Under what the goals ask for: shown, and left out of the first total."""


def pcm16(samples: NDArray[np.floating]) -> Samples:
    """As 16 bits would store it."""
    return np.asarray(np.clip(np.rint(samples * 32_768), -32_768, 32_767) / 32_768, np.float32)


def coded(samples: NDArray[np.floating], rate_hz: int, codec: str) -> Samples:
    """Through libsndfile's MP3 or Opus at its usual quality; rates that Opus does not know come back as they are."""
    container, subtype = {"mp3": ("MP3", "MPEG_LAYER_III"), "opus": ("OGG", "OPUS")}[codec]
    file = io.BytesIO()
    soundfile.write(file, np.clip(samples, -1, 1), rate_hz, format=container, subtype=subtype)
    file.seek(0)
    return np.asarray(soundfile.read(file, dtype="float32")[0])


def clipping(samples: Samples, rate_hz: int) -> Iterator[Damaged]:
    """Hard and soft, then turned down, resampled, or coded. Severity is the share of samples clipped, or the drive."""
    unit = samples / np.abs(samples).max()
    for share in (0.001, 0.003, 0.01, 0.05):
        ceiling = float(np.quantile(np.abs(unit), 1 - share))
        hard = np.clip(unit, -ceiling, ceiling) / ceiling
        name, faint = f"{share:.1%}", share < 0.01
        yield Damaged("clipping, hard", name, pcm16(hard), rate_hz, share)
        yield Damaged("clipping, hard, turned down 12 dB", name, pcm16(hard * 0.25), rate_hz, share)
        again = soxr.resample(soxr.resample(hard, rate_hz, 44_100), 44_100, rate_hz)
        yield Damaged("clipping, hard, resampled", name, pcm16(again * 0.7), rate_hz, share, False, faint)
        yield Damaged("clipping, hard, then MP3", name, coded(hard * 0.8, rate_hz, "mp3"), rate_hz, share, True, faint)
        if rate_hz in (8_000, 16_000, 24_000, 48_000):
            yield Damaged(
                "clipping, hard, then Opus", name, coded(hard * 0.8, rate_hz, "opus"), rate_hz, share, True, faint
            )
    for drive in (2, 4, 8):
        soft = np.tanh(drive * unit) / np.tanh(drive)
        name = f"peak {20 * np.log10(drive):.0f} dB over the knee"
        yield Damaged("clipping, soft (tanh)", name, pcm16(soft * 0.9), rate_hz, 1.0, False, drive < 4)
        yield Damaged(
            "clipping, soft, then MP3", name, coded(soft * 0.8, rate_hz, "mp3"), rate_hz, 1.0, True, drive < 4
        )


def bandwidth(samples: Samples, rate_hz: int, chance: Random) -> Iterator[Damaged]:
    """Upsampled by a steep filter, with and without noise above the cut; telephone; lossy codecs' own cut-offs."""
    unit = 0.5 * samples / np.abs(samples).max()
    for was_hz, to_hz in ((rate_hz, 44_100), (rate_hz, 48_000), (8_000, 16_000), (8_000, 48_000), (12_000, 44_100)):
        if was_hz >= 0.8 * to_hz or was_hz > rate_hz:
            continue
        small = soxr.resample(unit, rate_hz, was_hz, "HQ")
        up = soxr.resample(small, was_hz, to_hz, "VHQ")
        yield Damaged("bandwidth, upsampled", f"{was_hz / 2:.0f} Hz", pcm16(up), to_hz, was_hz / 2)
        dither = chance.triangular(-1, 0, 1, len(up)) / 32_768
        yield Damaged("bandwidth, upsampled, dithered", f"{was_hz / 2:.0f} Hz", pcm16(up + dither), to_hz, was_hz / 2)
        for noise_dbfs in (-80, -70):
            noise = chance.standard_normal(len(up)) * 10 ** (noise_dbfs / 20)
            kind = f"bandwidth, upsampled, noise of {noise_dbfs} dBFS"
            yield Damaged(kind, f"{was_hz / 2:.0f} Hz", pcm16(up + noise), to_hz, was_hz / 2, False, noise_dbfs > -80)
        lossy = coded(up, to_hz, "mp3")
        yield Damaged("bandwidth, upsampled, then MP3", f"{was_hz / 2:.0f} Hz", lossy, to_hz, was_hz / 2, True)
    telephone = mu_law(band_passed(soxr.resample(unit, rate_hz, 8_000), 8_000, 300, 3_400))
    for to_hz in (16_000, 44_100):
        up = soxr.resample(telephone, 8_000, to_hz)
        # What G.711 rounds off fills its band up to 4 kHz.
        yield Damaged("bandwidth, telephone (G.711)", "3400 Hz", pcm16(up), to_hz, 3_700)


def band_passed(samples: NDArray[np.floating], rate_hz: int, low_hz: float, high_hz: float) -> Samples:
    """Nothing but what lies from `low_hz` to `high_hz`, over edges of 60 Hz."""
    spectrum = np.fft.rfft(samples)
    hz = np.fft.rfftfreq(len(samples), 1 / rate_hz)
    edge = np.clip((hz - low_hz) / 60 + 1, 0, 1) * np.clip((high_hz - hz) / 60 + 1, 0, 1)
    return np.asarray(np.fft.irfft(spectrum * edge, len(samples)), np.float32)


def mu_law(samples: NDArray[np.floating]) -> Samples:
    """To 8 bits of G.711 mu-law and back."""
    level = np.sign(samples) * np.log1p(255 * np.abs(samples)) / np.log(256)
    level = np.rint(level * 127) / 127
    return np.asarray(np.sign(level) * np.expm1(np.abs(level) * np.log(256)) / 255, np.float32)


def hum(samples: Samples, rate_hz: int, chance: Random) -> Iterator[Damaged]:
    """50 and 60 Hz with five harmonics, or even ones only, up to 0.2 % off, under speech of −26 dBFS.

    The speech is played 7 % faster first: its own hum, which some recordings have, then lies at no mains frequency.
    """
    voice = at_no_mains(samples, rate_hz)
    at = np.arange(len(voice)) / rate_hz
    for mains_hz in (50, 60):
        for level_dbfs in (-40, -46, -52, -58):
            tone = mains_hz * (1 + chance.uniform(-0.002, 0.002))
            for kind, parts in (
                ("hum", {1: 1.0, 2: 0.5, 3: 0.4, 4: 0.2, 5: 0.2}),
                ("hum, even harmonics", {2: 1.0, 4: 0.5, 6: 0.3}),
            ):
                made = sum(a * np.sin(2 * np.pi * (tone * k * at + chance.uniform())) for k, a in parts.items())
                made = np.asarray(made) * 10 ** (level_dbfs / 20) / np.sqrt(np.mean(np.square(made)))
                yield Damaged(
                    kind,
                    f"{-26 - level_dbfs} dB under the speech",
                    pcm16(voice + made),
                    rate_hz,
                    1.0,
                    False,
                    level_dbfs < -46,
                )


def at_no_mains(samples: Samples, rate_hz: int) -> Samples:
    """7 % faster, at −26 dBFS."""
    voice = soxr.resample(samples, rate_hz, rate_hz / 1.07)
    return np.asarray(voice * (10 ** (-26 / 20) / (np.sqrt(np.mean(np.square(voice))) + 1e-9)), np.float32)


def dropouts(samples: Samples, rate_hz: int, chance: Random) -> Iterator[Damaged]:
    """Stretches of the loud half of a clip set to zero or held at their first sample."""
    unit = 0.5 * samples / np.abs(samples).max()
    for seconds in (0.003, 0.01, 0.04, 0.2):
        for kind in ("dropouts, zeroed", "dropouts, held"):
            made, n = unit.copy(), round(seconds * rate_hz)
            level = np.sqrt(np.mean(np.square(unit)))
            loud = np.flatnonzero(np.abs(unit[rate_hz // 4 : -rate_hz // 4]) > level) + rate_hz // 4
            starts = np.sort(chance.choice(loud, 5, replace=False))
            starts = starts[np.concatenate([[True], np.diff(starts) > 2 * n])]
            for start in starts:
                made[start : start + n] = 0 if kind.endswith("zeroed") else made[start]
            yield Damaged(kind, f"{1000 * seconds:.0f} ms", pcm16(made), rate_hz, len(starts) * n / len(made))
    offset = 0.02
    yield Damaged("offset", "0.02", pcm16(unit + offset), rate_hz, offset)


def loud(samples: Samples, rate_hz: int) -> Samples:
    """Mastered like a loud podcast: a fast compressor into a limiter that looks 4 ms ahead; nothing is clipped."""
    from scipy.ndimage import maximum_filter1d, uniform_filter1d

    unit = samples / np.abs(samples).max()
    envelope = np.sqrt(uniform_filter1d(np.square(unit), round(0.05 * rate_hz)) + 1e-6)
    pressed = unit * (envelope / 0.1) ** -0.6
    gain = 1 / np.maximum(1, maximum_filter1d(np.abs(pressed), round(0.008 * rate_hz)))
    return np.asarray(pressed * uniform_filter1d(gain, round(0.004 * rate_hz)) * 0.97, np.float32)
