"""The weights of the classical estimators, fitted on the training side: `python -m training.classical POOL_FOLDER`.

Noise tracking: least absolute error over dry mixtures. Decays: ridge regression over rooms. What is printed stands in
`transforms.snr` and `transforms.reverberation`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas.sound import Samples
from training.mixtures import FRAME, active, mix
from training.pool import Pool, opened
from transforms.reverberation import fall_statistics
from transforms.snr import snr_terms
from transforms.spectrum import FRAME_HZ, HOP, WINDOW, band_power

Rows = NDArray[np.float64]


def mixture(pool: Pool, i: int, snr_range_db: tuple[float, float]) -> tuple[Samples, NDArray[np.bool_], float]:
    """Stretch `i` in some noise, which of its frames are speech, and the ratio."""
    rng = np.random.default_rng([5, i])
    speech = pool.speech[i].astype(np.float32) / 32768
    noise = pool.noise[int(rng.integers(len(pool.noise)))].astype(np.float32) / 32768
    length = int(rng.uniform(3, 8) * 16_000)
    snr_db = float(rng.uniform(*snr_range_db))
    heard = active(speech[:length])
    frames = (length - 1 - WINDOW) // HOP + 1
    middles = np.minimum((np.arange(frames) * HOP + WINDOW // 2) // FRAME, len(heard) - 1)
    # A voice detector bridges the stops between syllables.
    bridged = np.convolve(heard[middles], np.ones(FRAME_HZ // 5), mode="same") > 0
    return mix(speech[:length], noise[:length], snr_db), bridged, snr_db


def fitted_snr(pool: Pool) -> Rows:
    """Weights of the terms of noise tracking."""
    rows: list[list[float]] = []
    for i in np.flatnonzero(np.isnan(pool.facts[:, 0]) & (pool.facts[:, 2] > 34)):
        samples, is_speech, snr_db = mixture(pool, int(i), (-5.0, 32.0))
        terms = snr_terms(band_power(samples), is_speech)
        if terms is not None:
            rows.append([*terms, snr_db])
    table = np.array(rows)
    return least_absolute(table[:, :-1], table[:, -1])


def fitted_decay(pool: Pool, count: int) -> tuple[Rows, Rows]:
    """Weights of the falls for C50 and for ln RT60."""
    rows: list[list[float]] = []
    for i in np.flatnonzero(~np.isnan(pool.facts[:, 0]))[:count]:
        samples, is_speech, _ = mixture(pool, int(i), (8.0, 45.0))
        falls = fall_statistics(band_power(samples), is_speech)
        if falls is not None and pool.facts[i, 1] < 2.5:
            rows.append([1.0, *np.log(np.maximum(falls, 0.1)), float(pool.facts[i, 0]), float(pool.facts[i, 1])])
    table = np.array(rows)
    falls_, c50, rt60 = table[:, :-2], np.clip(table[:, -2], -5, 25), table[:, -1]
    return ridge(falls_, c50), ridge(falls_, np.log(rt60))


def least_absolute(terms: Rows, target: Rows) -> Rows:
    """Least absolute error, by weights that shrink with the error they left (iteratively reweighted squares)."""
    weights = np.ones(len(target))
    found = np.zeros(terms.shape[1])
    for _ in range(60):
        scaled = terms * weights[:, None]
        found[:] = np.linalg.solve(scaled.T @ terms + 1e-3 * np.eye(terms.shape[1]), scaled.T @ target)
        weights = 1 / np.maximum(np.abs(terms @ found - target), 0.05)
    return found


def ridge(falls: Rows, target: Rows, strength: float = 0.3) -> Rows:
    """Least squares with a penalty on all but the constant."""
    penalty = strength * np.eye(falls.shape[1])
    penalty[0, 0] = 0
    return np.asarray(np.linalg.solve(falls.T @ falls + penalty, falls.T @ target))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", type=Path, help="folder with a pool, as `python -m training` leaves it")
    parser.add_argument("--rooms", type=int, default=1200)
    asked = parser.parse_args()
    pool = opened(asked.pool)
    print("transforms.snr._CALIBRATION =", tuple(fitted_snr(pool).round(3).tolist()))
    c50, ln_rt60 = fitted_decay(pool, asked.rooms)
    print("transforms.reverberation._C50_WEIGHTS =", tuple(c50.round(3).tolist()))
    print("transforms.reverberation._LN_RT60_WEIGHTS =", tuple(ln_rt60.round(4).tolist()))


if __name__ == "__main__":
    main()
