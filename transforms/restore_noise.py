"""Repairs that guess: noise reduction and dereverberation, by libraries of the extra `restore`."""

from __future__ import annotations

import numpy as np

from schemas.sound import ANALYSIS_RATE_HZ, Region
from transforms.items import Restoration
from transforms.restore import RestoreConfig, Samples, Sound
from transforms.restore_channel import at_analysis_rate
from transforms.reverberation import ReverberationConfig, reverberation
from transforms.snr import SnrConfig, snr_db

_LEAST_NOISE_S = 0.2
_WINDOW_S = 0.032
_TRACKED = SnrConfig(method="noise_tracking")
_BY_DECAY = ReverberationConfig(method="decay")


def reduce_noise(sound: Sound, config: RestoreConfig) -> tuple[Samples, Restoration] | None:
    """noisereduce's stationary spectral gate (T. Sainburg, MIT), its noise read where nobody speaks in the utterance.

    Lowers noise by `max_noise_reduction_db` at most. None where there is too little without speech to know the noise.
    """
    from noisereduce import reduce_noise as gate

    noise = _without_speech(sound)
    if noise.size < _LEAST_NOISE_S * sound.rate_hz:
        return None
    share = 1 - 10 ** (-config.max_noise_reduction_db / 20)
    samples = np.asarray(
        gate(y=sound.samples, sr=sound.rate_hz, stationary=True, y_noise=noise, prop_decrease=share, n_jobs=1),
        np.float64,
    )
    heard = f"{noise.size / sound.rate_hz:.1f} s of noise"
    said = f"noisereduce, stationary, {heard}, at most {config.max_noise_reduction_db:g} dB"
    return samples, Restoration("denoise", said, "snr_db", _snr_db(sound, sound.samples), _snr_db(sound, samples))


def _without_speech(sound: Sound) -> Samples:
    is_speech = np.zeros(sound.samples.size, np.bool_)
    for region in sound.utterance.speech:
        at = region.rescaled(ANALYSIS_RATE_HZ, sound.rate_hz)
        is_speech[at.start_sample : at.end_sample] = True
    return sound.samples[~is_speech]


def _snr_db(sound: Sound, samples: Samples) -> float | None:
    heard = at_analysis_rate(samples, sound.rate_hz)
    return snr_db(heard, _speech(sound, heard.size), _TRACKED)


def dereverberate(sound: Sound, config: RestoreConfig) -> tuple[Samples, Restoration] | None:  # noqa: ARG001
    """Weighted prediction error (nara_wpe, L. Drude et al., MIT): what the last 0.1 s predict of each band is the room.

    One channel, twenty taps, three rounds: C50 rises by a decibel or two, no more. None where the utterance is shorter
    than a second.
    """
    from nara_wpe.utils import istft, stft
    from nara_wpe.wpe import wpe

    if sound.samples.size < sound.rate_hz:
        return None
    size = 1 << round(float(np.log2(_WINDOW_S * sound.rate_hz)))
    shift = size // 4
    spectra = stft(sound.samples, size=size, shift=shift)
    clean = wpe(spectra.T[:, None, :], taps=20, delay=3, iterations=3)[:, 0, :].T
    samples = np.asarray(istft(clean, size=size, shift=shift), np.float64)[: sound.samples.size]
    samples = np.pad(samples, (0, sound.samples.size - samples.size))
    before, after = _c50_db(sound, sound.samples), _c50_db(sound, samples)
    return samples, Restoration("dereverberate", "nara_wpe, 20 taps, 3 rounds", "c50_db", before, after)


def _c50_db(sound: Sound, samples: Samples) -> float | None:
    heard = at_analysis_rate(samples, sound.rate_hz)
    found = reverberation(heard, _speech(sound, heard.size), _BY_DECAY)
    return None if found is None else found.c50_db


def _speech(sound: Sound, n_samples: int) -> tuple[Region, ...]:
    spans = ((r.start_sample, min(r.end_sample, n_samples)) for r in sound.utterance.speech)
    return tuple(Region(start, end) for start, end in spans if start < end)
