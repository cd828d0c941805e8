"""How far off the shipped network is, on voices, rooms and noises that it has never heard.

    python -m training.report [--count 400] [--classical] [--json FILE]

Speech of the report side (`training.split`), 3 to 15 s, with its noises at −5…35 dB over active speech above 60 Hz,
dry, in its measured rooms, and in simulated rooms of another seed. A voice is only taken for a ratio if its own
recording is 6 dB cleaner.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.tables import table
from schemas.sound import ANALYSIS_RATE_HZ as RATE
from schemas.sound import Region, Samples
from training import split
from training.mixtures import in_room, mix
from training.recordings import noise_of, own_snr_db, read
from training.rooms import Response, response_of, simulated
from transforms.acoustics import Acoustics, acoustics_of, open_network
from transforms.models import onnx_session
from transforms.reverberation import ReverberationConfig, reverberation, reverberation_of, room_of
from transforms.snr import SnrConfig, snr_db
from transforms.spectrum import bands_of, mel_power

Rng = np.random.Generator
Column = NDArray[np.float64]
Hear = Callable[[Samples], Acoustics | None]


@dataclass(frozen=True, slots=True)
class Case:
    """A mixture with its answers; C50 and RT60 are None where no room was added."""

    samples: Samples
    snr_db: float
    room: Response | None


def cases(condition: str, count: int, seed: int = 20261121) -> Iterator[Case]:
    """`count` mixtures of a condition: `dry`, `measured` or `simulated` rooms."""
    for i in range(count):
        rng = np.random.default_rng([seed, i, len(condition)])
        room = None
        if condition == "measured":
            places = measured_rooms()
            rooms = places[sorted(places)[int(rng.integers(len(places)))]]
            room = rooms[int(rng.integers(len(rooms)))]
        if condition == "simulated":
            room = simulated(rng)
        asked_db = float(rng.uniform(-5, 35))
        speech = _speech(rng, asked_db)
        if room is not None:
            speech = in_room(speech, room.samples)
        noise = _noises()[int(rng.integers(len(_noises())))]
        start = int(rng.integers(0, max(1, len(noise) - len(speech))))
        yield Case(mix(speech, noise[start : start + len(speech)], asked_db), asked_db, room)


@cache
def measured_rooms() -> dict[str, list[Response]]:
    """Responses of the report side that are reliable, by place, so that a place with many counts as one. Their answers
    are those of `rooms.csv`, from the response at its own rate."""
    places: dict[str, list[Response]] = {}
    for item in split.rooms("report"):
        row = split.room_rows()[item.path]
        if row["reliable"] == "1" and (room := response_of(read_first(item))) is not None:
            stated = replace(room, c50_db=float(row["C50"]), rt60_s=float(row["T30"]))
            places.setdefault(item.group, []).append(stated)
    return places


def read_first(item: split.Item) -> Samples:
    """The first channel: two microphones averaged are no room."""
    import soundfile
    import soxr

    samples, rate = soundfile.read(item.file, dtype="float32", always_2d=True)
    return np.asarray(soxr.resample(samples[:, 0], rate, RATE), np.float32)


def _speech(rng: Rng, asked_db: float) -> Samples:
    """3 to 15 s of one person of the report side, clean enough for the ratio."""
    length = int(rng.uniform(3, 15) * RATE)
    clean = [clip for clip in _voices() if clip[1] >= asked_db + 6]
    person = clean[int(rng.integers(len(clean)))][0]
    clips = [clip[2] for clip in clean if clip[0] == person]
    joined = np.concatenate([clips[n] for n in rng.permutation(len(clips))])
    start = int(rng.integers(0, max(1, len(joined) - length)))
    return joined[start : start + length]


@cache
def _voices() -> list[tuple[str, float, Samples]]:
    clips = [
        (person, read(item.file))
        for person, items in sorted(split.speakers("report").items())
        for item in items
        if not person.startswith("fsdd")
    ]
    return [(person, own_snr_db(samples), samples) for person, samples in clips if len(samples) > 3 * RATE]


@cache
def _noises() -> list[Samples]:
    music = [noise_of(item) for item in split.music("report") if item.path.endswith(".wav")]
    return [noise_of(item) for item in split.noises("report")] + music


def judged(told: Column, true: Column) -> dict[str, float]:
    """Bias, mean and 90th percentile of the absolute error, and rank correlation, over what was measured."""
    from scipy.stats import spearmanr

    known = ~np.isnan(told)
    error = told[known] - true[known]
    return {
        "n": len(error),
        "null": int(np.count_nonzero(~known)),
        "bias": round(float(error.mean()), 2),
        "mae": round(float(np.abs(error).mean()), 2),
        "p90": round(float(np.quantile(np.abs(error), 0.9)), 2),
        "rank": round(float(spearmanr(told[known], true[known]).statistic), 3),
    }


def measured(condition: str, count: int, hear: Hear) -> list[dict[str, Any]]:
    """One row per measurement and range of a condition."""
    found = [(case, hear(case.samples)) for case in cases(condition, count)]
    true = np.array([case.snr_db for case, _ in found])
    told = np.array([np.nan if said is None else said.snr_db for _, said in found])
    spread = np.array([np.nan if said is None else said.snr_spread_db for _, said in found])
    rows = [{"measurement": "snr_db", "range": "all", **judged(told, true), **_trust(told, true, spread)}]
    for low, high in ((-5, 15), (15, 35)):
        part = (true >= low) & (true < high)
        rows.append({"measurement": "snr_db", "range": f"{low} to {high} dB", **judged(told[part], true[part])})
    if condition != "dry":
        rows += _of_rooms(found, true)
    return [{"condition": condition, **row} for row in rows]


def _of_rooms(found: list[tuple[Case, Any]], snr: Column) -> Iterator[dict[str, Any]]:
    rooms = [case.room for case, _ in found if case.room is not None]
    c50, rt60 = np.array([room.c50_db for room in rooms]), np.array([room.rt60_s for room in rooms])
    told_c50, told_rt60, spread = (
        np.array([np.nan if said is None else getattr(said, name) for _, said in found])
        for name in ("c50_db", "rt60_s", "c50_spread_db")
    )
    for name, part in (("above 15 dB", snr >= 15), ("below 15 dB", snr < 15)):
        trust = _trust(told_c50[part], c50[part], spread[part])
        yield {"measurement": "c50_db", "range": name, **judged(told_c50[part], c50[part]), **trust}
        short = part & (rt60 < 3) & ~np.isnan(told_rt60)
        ratio = np.abs(np.log(told_rt60[short] / rt60[short]))
        within = round(float(np.mean(ratio < np.log(1.5))), 3)
        yield {"measurement": "rt60_s", "range": name, **judged(told_rt60[short], rt60[short]), "within_1.5": within}


def _trust(told: Column, true: Column, spread: Column) -> dict[str, float]:
    """How the spread ranks the errors, and the share of errors within twice and three times of it."""
    from scipy.stats import spearmanr

    if np.isnan(spread).all():
        return {}
    error = np.abs(told - true)
    return {
        "spread_rank": round(float(spearmanr(spread, error).statistic), 2),
        "within_2": round(float(np.mean(error <= 2 * spread)), 2),
        "within_3": round(float(np.mean(error <= 3 * spread)), 2),
    }


def table_of(count: int, hear: Hear) -> list[dict[str, Any]]:
    """All rows of all conditions."""
    return [row for name in ("dry", "measured", "simulated") for row in measured(name, count, hear)]


def shipped(samples: Samples, session: Any) -> Acoustics | None:
    """What a run writes down: the network's estimates, C50 with what decays say, all of it taken for speech."""
    mels = mel_power(samples)
    heard, power = acoustics_of(mels, session), bands_of(mels)
    everything = np.ones(len(power), np.bool_)
    room = room_of(heard, reverberation_of(power, everything, ReverberationConfig()))
    if heard is None or room is None:
        return None
    return replace(heard, c50_db=room.c50_db)


def classical(samples: Samples) -> Acoustics:
    """What noise tracking and decays say, all of it taken for speech; NaN where they say nothing."""
    everything = (Region(0, len(samples)),)
    tracked = snr_db(samples, everything, SnrConfig(method="noise_tracking"))
    room = reverberation(samples, everything, ReverberationConfig(method="decay"))
    nan = float("nan")
    c50, rt60 = (nan, nan) if room is None else (room.c50_db, room.rt60_s)
    return Acoustics(nan if tracked is None else tracked, nan, c50, nan, rt60, nan)


def times_real_time(session: Any, seconds: float = 8.0, rounds: int = 200) -> float:
    """Seconds of audio per second of one core, features included, for an utterance of so many seconds: the quickest of
    many rounds, for whatever else runs on a machine only makes it slower."""
    samples = np.concatenate([case.samples for case in cases("dry", 4)])[: round(seconds * RATE)]
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        shipped(samples, session)
        took.append(time.perf_counter() - began)
    return seconds / min(took)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=400, help="mixtures per condition")
    parser.add_argument("--network", type=Path, help="another file than the one that ships")
    parser.add_argument("--classical", action="store_true", help="the classical estimators in its place")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    asked = parser.parse_args()
    session = onnx_session(asked.network) if asked.network else open_network()
    rows = table_of(asked.count, classical if asked.classical else lambda samples: shipped(samples, session))
    speed = 0.0 if asked.classical else times_real_time(session)
    names = list(dict.fromkeys(name for row in rows for name in row))
    print(table(names, [[str(row.get(name, "")) for name in names] for row in rows]))
    if speed:
        print(f"{speed:,.0f} times real time on one core, features included")
    if asked.json:
        asked.json.write_text(json.dumps({"rows": rows, "times_real_time": round(speed)}, indent=1) + "\n")


if __name__ == "__main__":
    main()
