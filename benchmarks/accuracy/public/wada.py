"""WADA-SNR: C. Kim and R. M. Stern, Robust signal-to-noise ratio estimation based on waveform amplitude distribution
analysis, Interspeech 2008.

Speech amplitudes follow a gamma distribution of shape 0.4, noise a Gaussian. The logarithm of the mean amplitude over
the geometric mean then depends on their ratio alone. The paper's table is computed here from that model.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from schemas.sound import Samples

SHAPE = 0.4
RANGE_DB = (-20, 100)
_POINTS = 4_000

Array = NDArray[np.float64]


def wada_snr_db(samples: Samples) -> float | None:
    """SNR of a whole recording, dB, within −20…100; None where it is digital silence."""
    size = np.abs(samples[samples != 0].astype(np.float64))
    if not len(size):
        return None
    statistic = np.log(size.mean()) - np.log(size).mean()
    ratios_db, known = table()
    return float(np.interp(statistic, known, ratios_db))


@cache
def table() -> tuple[Array, Array]:
    """SNR in whole dB, and the statistic that the model gives for each; both shape (121,)."""
    ratios_db = np.arange(RANGE_DB[0], RANGE_DB[1] + 1.0)
    # With u = s^0.4 the density of s, s^(-0.6) e^(-s) / gamma(0.4), is smooth: e^(-s) / gamma(1.4) in u.
    edges = np.linspace(0.0, 40.0**SHAPE, _POINTS + 1)
    u = (edges[1:] + edges[:-1]) / 2
    speech = u ** (1 / SHAPE)
    weight = np.exp(-speech)
    weight /= weight.sum()
    power = float(weight @ speech**2)
    means = [_statistic(speech, weight, np.sqrt(power) * 10 ** (-ratio / 20)) for ratio in ratios_db]
    return ratios_db, np.maximum.accumulate(np.array(means))


def _statistic(speech: Array, weight: Array, noise: float) -> float:
    """ln E|x| − E ln|x| of speech of such amplitudes with Gaussian noise of deviation `noise`."""
    from scipy.special import erf

    ratio = speech / noise
    size = noise * np.sqrt(2 / np.pi) * np.exp(-(ratio**2) / 2) + speech * erf(ratio / np.sqrt(2))
    return float(np.log(weight @ size) - weight @ (np.log(noise) + _mean_log_size(ratio)))


def _mean_log_size(mean: Array) -> Array:
    """E ln|z| of z normal around `mean` with deviation 1: half that of a noncentral chi-square of one degree, which is
    a Poisson mixture of central ones; far from zero, its expansion."""
    from scipy.special import gammaln, psi

    half = np.minimum(mean, 12.0)[:, None] ** 2 / 2
    j = np.arange(160.0)[None]
    chance = np.exp(-half + j * np.log(np.maximum(half, 1e-300)) - gammaln(j + 1))
    near = ((psi(0.5 + j) + np.log(2)) * chance).sum(axis=1) / 2
    far = np.maximum(mean, 12.0)
    return np.where(mean <= 12.0, near, np.log(far) - 1 / (2 * far**2) - 3 / (4 * far**4))
