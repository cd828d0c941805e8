"""Rooms by pyroomacoustics: image sources for the first reflections, traced rays for the rest."""

from __future__ import annotations

from functools import cache

import numpy as np

from schemas.sound import ANALYSIS_RATE_HZ as RATE
from training.rooms import Response, response_of

ROOMS = 24
RT60_S = (0.2, 1.6)
_SEED = 7_000


@cache
def simulated_rooms() -> tuple[tuple[str, Response], ...]:
    """(name, response) of rooms from a booth to a small hall, one place in each. C50 and RT60 are measured in the
    response, not those that were asked for."""
    found: list[tuple[str, Response]] = []
    number = 0
    while len(found) < ROOMS:
        response = response_of(_made(np.random.default_rng([_SEED, number])))
        number += 1
        if response is not None:
            found.append((f"simulated {len(found):02d}", response))
    return tuple(found)


def _made(rng: np.random.Generator) -> np.ndarray:
    import pyroomacoustics as pra

    box = np.array([rng.uniform(2.5, 12.0), rng.uniform(2.2, 9.0), rng.uniform(2.2, 4.0)])
    time_s = float(np.exp(rng.uniform(*np.log(RT60_S))))
    # What Sabine's formula cannot absorb, no wall can.
    absorbed = min(0.95, 0.161 * box.prod() / (2 * (box[0] * box[1] + box[1] * box[2] + box[0] * box[2]) * time_s))
    pra.random.seed(int(rng.integers(2**31)))
    room = pra.ShoeBox(
        box, fs=RATE, materials=pra.Material(absorbed, 0.1), max_order=3, ray_tracing=True, air_absorption=True
    )
    room.set_ray_tracing(receiver_radius=0.5)
    source = rng.uniform(0.1, 0.9, 3) * box
    microphone = rng.uniform(0.1, 0.9, 3) * box
    room.add_source(source)
    room.add_microphone(microphone)
    room.compute_rir()
    return np.asarray(room.rir[0][0], np.float64)
