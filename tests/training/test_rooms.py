"""Rooms: what is measured of a response whose answers follow from how it was made, and what is simulated."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest

from schemas.sound import ANALYSIS_RATE_HZ as RATE
from tests.shared_audio import shared_audio
from training.rooms import c50_db, drr_db, onset, response_of, rt60_s, simulated


def decay(time_s: float, seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    return np.random.default_rng(seed).standard_normal(len(t)) * 10 ** (-3 * t / time_s)


@pytest.mark.parametrize("time_s", [0.2, 0.4, 0.7, 1.2])
def test_an_exponential_decay_has_its_own_time_and_clarity(time_s: float) -> None:
    read = [(rt60_s(decay(time_s, seed=s)), c50_db(decay(time_s, seed=s))) for s in range(8)]
    assert np.mean([time or 0 for time, _ in read]) == pytest.approx(time_s, rel=0.03)
    assert np.mean([c50 for _, c50 in read]) == pytest.approx(10 * math.log10(10 ** (0.3 / time_s) - 1), abs=0.4)


def test_noise_behind_the_decay_does_not_lengthen_it() -> None:
    clean = decay(0.5)
    noisy = clean + 10 ** (-50 / 20) * np.random.default_rng(9).standard_normal(len(clean))
    assert rt60_s(noisy) == pytest.approx(rt60_s(clean), rel=0.1)


def test_a_decay_that_sinks_in_noise_too_soon_is_not_read() -> None:
    clean = decay(0.5)
    assert rt60_s(clean + 0.1 * np.random.default_rng(9).standard_normal(len(clean))) is None
    assert rt60_s(np.zeros(1000)) is None
    assert response_of(np.r_[1.0, np.zeros(999)]) is None


def test_direct_sound_is_found_before_a_louder_reflection() -> None:
    response = np.zeros(RATE)
    response[200], response[900] = 0.5, 1.0
    assert onset(response) == 200
    assert drr_db(response) == pytest.approx(20 * math.log10(0.5), abs=0.01)
    assert c50_db(response) == 60.0
    response[200 + RATE // 20 + 5] = 0.5
    assert c50_db(response) == pytest.approx(10 * math.log10(1.25 / 0.25), abs=0.01)


def test_simulated_rooms_are_as_various_as_they_should_be() -> None:
    rooms = [simulated(np.random.default_rng([3, n])) for n in range(40)]
    times, clarity = ([getattr(room, name) for room in rooms] for name in ("rt60_s", "c50_db"))
    assert min(times) < 0.35
    assert max(times) > 2.0
    assert min(clarity) < 3
    assert max(clarity) > 15
    assert all(np.isfinite(room.samples).all() and onset(room.samples) < RATE // 100 for room in rooms)
    again = simulated(np.random.default_rng([3, 0]))
    assert np.array_equal(again.samples, rooms[0].samples)


def test_measured_responses_read_as_stated() -> None:
    import soundfile
    import soxr

    with shared_audio("rooms.csv").open(newline="") as lines:
        stated = {row["file"]: row for row in csv.DictReader(lines)}
    for name in ("impulse_response_0", "sb_rir1"):
        samples, rate = soundfile.read(shared_audio(f"rooms/{name}.wav"), always_2d=True)
        room = response_of(soxr.resample(samples[:, 0], rate, RATE))
        assert room is not None
        row = stated[f"rooms/{name}.wav"]
        assert room.c50_db == pytest.approx(float(row["C50"]), abs=0.2)
        assert room.rt60_s == pytest.approx(float(row["T30"]), rel=0.05)
