"""Repairs of what the channel did: offset, mains hum, colour, level. Plain numpy; zero phase, so nothing is delayed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas.sound import ANALYSIS_RATE_HZ
from transforms.channel import ChannelConfig
from transforms.channel_hum import HumMeter
from transforms.colour import BANDS_HZ, LTASS_DB, speech_levels_db, usable_bands
from transforms.items import Restoration
from transforms.loudness import loudness_lufs
from transforms.restore import RestoreConfig, Samples, Sound

_HARMONICS = 10
_MAINS_HZ = (50.0, 60.0)
_DRIFT_HZ = 0.4
_HUM_WINDOW_S = 2.0
_MIN_SPEECH_S = 1.0
_LEAST_BANDS = 8
_OVERSAMPLED = 4
_LEAST_GAIN_DB = 0.1


def remove_offset(sound: Sound, config: RestoreConfig) -> tuple[Samples, Restoration] | None:
    """Subtracts the utterance's mean. None where it is under `min_dc_offset`."""
    offset = float(sound.samples.mean()) if sound.samples.size else 0.0
    if abs(offset) < config.min_dc_offset:
        return None
    samples = sound.samples - offset
    said = f"subtracted {offset:.6f}"
    return samples, Restoration("dc", said, "dc_offset", round(offset, 6), round(float(samples.mean()), 6) + 0.0)


def remove_hum(sound: Sound, config: RestoreConfig) -> tuple[Samples, Restoration] | None:
    """Subtracts the mains tone and its harmonics, fitted in windows of 2 s: a notch half a hertz wide.

    None where the channel's hum is under `min_hum_db` or not known, or the utterance is shorter than a window.
    """
    known = sound.utterance.channel.hum_db
    window = round(_HUM_WINDOW_S * sound.rate_hz)
    if known is None or known < config.min_hum_db or sound.samples.size < window:
        return None
    mains_hz = _mains_hz(sound.samples, sound.rate_hz)
    tones = np.asarray(mains_hz * np.arange(1, _HARMONICS + 1), np.float64)
    tones = tones[tones < 0.45 * sound.rate_hz]
    samples = np.asarray(sound.samples - _fitted_tones(sound.samples, sound.rate_hz, tones, window), np.float64)
    said = f"notches at {mains_hz:.2f} Hz and {len(tones) - 1} harmonics"
    before, after = _hum_db(sound.samples, sound.rate_hz), _hum_db(samples, sound.rate_hz)
    return samples, Restoration("hum", said, "hum_db", before, after)


def _mains_hz(samples: Samples, rate_hz: int) -> float:
    """The mains frequency, as it is in this recording, to 0.02 Hz: the one whose harmonics hold most power."""
    grid = np.concatenate([np.arange(hz - _DRIFT_HZ, hz + _DRIFT_HZ + 0.01, 0.02) for hz in _MAINS_HZ])
    # Mains and two harmonics lie under 200 Hz: every so manyth sample of a running mean will do.
    step = max(1, rate_hz // 1_000)
    low = samples[: samples.size // step * step].reshape(-1, step).mean(axis=1) * np.hanning(samples.size // step)
    at = np.arange(low.size) * step / rate_hz
    power = [sum(abs(np.exp(-2j * np.pi * hz * k * at) @ low) ** 2 for k in (1, 2, 3)) for hz in grid]
    return float(grid[int(np.argmax(power))])


def _fitted_tones(samples: Samples, rate_hz: int, tones_hz: NDArray[np.float64], window: int) -> Samples:
    """Least-squares sum of the tones in windows that overlap by half and fade into each other, shape of `samples`."""
    phase = 2 * np.pi * np.outer(np.arange(window) / rate_hz, tones_hz)
    basis = np.concatenate([np.cos(phase), np.sin(phase)], axis=1)
    solve = np.linalg.pinv(basis)
    fitted, weight = np.zeros_like(samples), np.zeros_like(samples)
    fade = np.hanning(window + 2)[1:-1]
    starts = [*range(0, samples.size - window, window // 2), samples.size - window]
    for start in starts:
        part = slice(start, start + window)
        fitted[part] += fade * (basis @ (solve @ samples[part]))
        weight[part] += fade
    return np.asarray(fitted / weight)


def _hum_db(samples: Samples, rate_hz: int) -> float | None:
    meter = HumMeter(ChannelConfig())
    meter.feed(at_analysis_rate(samples, rate_hz))
    return meter.hum_db()


def at_analysis_rate(samples: Samples, rate_hz: int) -> NDArray[np.float32]:
    """`samples` at 16 kHz."""
    import soxr

    if rate_hz == ANALYSIS_RATE_HZ:
        return samples.astype(np.float32)
    return np.asarray(soxr.resample(samples, rate_hz, ANALYSIS_RATE_HZ, quality="HQ"), np.float32)


def equalise(sound: Sound, config: RestoreConfig) -> tuple[Samples, Restoration] | None:
    """Brings the long-term spectrum towards that of average speech, by `max_equaliser_db` at most in each third octave.

    None with less than a second of speech or a bandwidth of fewer than eight bands. Above and below the bands the gain
    is that of the nearest one.
    """
    speech = sound.utterance.speech
    n = usable_bands(sound.utterance.channel.bandwidth_hz)
    levels = speech_levels_db(at_analysis_rate(sound.samples, sound.rate_hz), speech, _MIN_SPEECH_S)
    if levels is None or n < _LEAST_BANDS:
        return None
    target = np.array(LTASS_DB[:n])
    wanted = target - levels[:n] - (target - levels[:n]).mean()
    smooth = np.convolve(np.pad(wanted, 1, mode="edge"), [0.25, 0.5, 0.25], "valid")
    gain_db = np.clip(smooth, -config.max_equaliser_db, config.max_equaliser_db)
    samples = _with_gain(sound.samples, sound.rate_hz, np.array(BANDS_HZ[:n]), gain_db)
    after = speech_levels_db(at_analysis_rate(samples, sound.rate_hz), speech, _MIN_SPEECH_S)
    reach = f"{BANDS_HZ[0]:.0f} to {BANDS_HZ[n - 1]:.0f} Hz"
    said = f"third octaves of {reach} by {gain_db.min():.1f} to {gain_db.max():.1f} dB"
    score = [None if x is None else round(float((x[:n] - target).std()), 1) for x in (levels, after)]
    return samples, Restoration("equalise", said, "ltass_distance_db", score[0], score[1])


def _with_gain(samples: Samples, rate_hz: int, band_hz: NDArray[np.float64], gain_db: NDArray[np.float64]) -> Samples:
    """`samples` through a filter of zero phase with these gains."""
    # Room for what rings beyond the ends; the rest of the length only makes it a fast one.
    size = 1 << (samples.size + rate_hz // 5 - 1).bit_length()
    hz = np.maximum(np.fft.rfftfreq(size, 1 / rate_hz), 1.0)
    gain = 10 ** (np.interp(np.log2(hz), np.log2(band_hz), gain_db) / 20)
    return np.asarray(np.fft.irfft(np.fft.rfft(samples, size) * gain, size)[: samples.size])


def set_loudness(sound: Sound, config: RestoreConfig) -> tuple[Samples, Restoration] | None:
    """One gain to `target_lufs`, less where the true peak would pass `max_true_peak_dbtp`: nothing is limited.

    None where loudness cannot be measured, or is right within 0.1 dB.
    """
    before = loudness_lufs(at_analysis_rate(sound.samples, sound.rate_hz))
    if before is None:
        return None
    peak = true_peak_dbtp(sound.samples)
    room = np.inf if peak is None else config.max_true_peak_dbtp - peak
    gain_db = min(config.target_lufs - before, room)
    if abs(gain_db) < _LEAST_GAIN_DB:
        return None
    samples = sound.samples * 10 ** (gain_db / 20)
    held = ", held by the true peak" if gain_db == room else ""
    after = loudness_lufs(at_analysis_rate(samples, sound.rate_hz))
    return samples, Restoration("loudness", f"gain of {gain_db:.2f} dB{held}", "loudness_lufs", before, after)


def true_peak_dbtp(samples: NDArray[np.floating]) -> float | None:
    """Highest point of the waveform between the samples, too: four times oversampled, ITU-R BS.1770-4 annex 2, dB of
    full scale; None of silence."""
    import soxr

    if not samples.size:
        return None
    over = soxr.resample(samples, 1, _OVERSAMPLED, quality="HQ")
    peak = max(float(np.abs(over).max()), float(np.abs(samples).max()))
    return 20 * float(np.log10(peak)) if peak > 0 else None
