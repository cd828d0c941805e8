"""The ratio that Data-Juicer's `audio_nmf_snr_filter` computes (D. Chen et al., Data-Juicer, SIGMOD 2024).

The magnitude spectrogram is factorised into two non-negative components (D. D. Lee and H. S. Seung, NIPS 2000); the
first is called signal and the second noise. Which is which is left to chance there, and so here: a drawn start.
"""

from __future__ import annotations

import numpy as np

from schemas.sound import Samples

WINDOW, HOP = 2_048, 512
ITERATIONS = 500
_TOLERANCE = 1e-4


def nmf_snr_db(samples: Samples, iterations: int = ITERATIONS) -> float | None:
    """Power of the first component over that of the second, dB; None with less than two windows."""
    if len(samples) < 2 * WINDOW:
        return None
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    spectrum = np.fft.rfft(frames * np.hanning(WINDOW), axis=1).astype(np.complex64)
    bases, gains = _factorised(np.abs(spectrum), iterations)
    # Parseval, window by window: the power of the resynthesis without overlap-add's edges.
    signal, noise = (float(np.sum(np.outer(gains[:, k], bases[k]) ** 2)) for k in (0, 1))
    return float(10 * np.log10(signal / noise)) if signal > 0 and noise > 0 else None


def _factorised(magnitude: np.ndarray, iterations: int) -> tuple[np.ndarray, np.ndarray]:
    """Two bases over frequency and their gains over time, by multiplicative updates of the Euclidean distance until it
    falls by less than a ten-thousandth in ten steps."""
    rng = np.random.default_rng(0)
    scale = np.sqrt(magnitude.mean() / 2)
    gains = scale * np.abs(rng.standard_normal((len(magnitude), 2))).astype(np.float32)
    bases = scale * np.abs(rng.standard_normal((2, magnitude.shape[1]))).astype(np.float32)
    tiny, first, before = np.float32(1e-12), 0.0, 0.0
    for step in range(iterations):
        bases *= (gains.T @ magnitude) / (gains.T @ gains @ bases + tiny)
        gains *= (magnitude @ bases.T) / (gains @ (bases @ bases.T) + tiny)
        if step % 10 == 0:
            error = float(np.linalg.norm(magnitude - gains @ bases))
            first = first or error
            if step and (before - error) / first < _TOLERANCE:
                break
            before = error
    return bases, gains
