"""C50 and RT60: ours beside an SRMR-like ratio and a blind decay time, over places and SNR."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from benchmarks.accuracy.conditions import PLACES, Clip, clips
from benchmarks.accuracy.errors import Errors, errors, line_through
from benchmarks.accuracy.ours import Told, methods, told
from benchmarks.accuracy.public.decay import rt60_by_decay_s
from benchmarks.accuracy.public.srmr import srmr_db
from benchmarks.accuracy.result import Result, Table, percent, shown
from benchmarks.accuracy.snr import OURS, vars_of

FACTOR = 1.5
LONGEST_S = 3.0
THRESHOLDS_DB = (5.0, 10.0, 15.0)
NEAR_DB = 2.0
BANDS: tuple[tuple[str, float, float], ...] = (("under 5 dB", -9, 5), ("5 to 15 dB", 5, 15), ("above 15 dB", 15, 99))

Estimates = dict[str, list[float | None]]


def measured(quick: bool) -> Result:
    """Every table of rooms, from 400 clips in measured and as many in simulated ones, or 100."""
    count = 100 if quick else 400
    heard = [clip for place in PLACES[1:] for clip in clips(place, count)]
    sounds = [clip.samples for clip in heard]
    said: dict[str, list[Told]] = {OURS[method]: told(sounds, method) for method in methods()}
    names = {OURS["classical"]: "provoice, decay"}
    clarity: Estimates = {names.get(name, name): [one.c50_db for one in all_] for name, all_ in said.items()}
    clarity["SRMR-like, fitted line"] = _srmr_as_c50(heard)
    times: Estimates = {names.get(name, name): [one.rt60_s for one in all_] for name, all_ in said.items()}
    times["blind decay, ML"] = [rt60_by_decay_s(samples) for samples in sounds]
    ours = said[OURS["default"]]
    c50_table, c50_figures = _c50(heard, clarity)
    rt60_table, rt60_figures = _rt60(heard, times)
    tables = (c50_table, rt60_table, _kept(heard, ours), _bounds(heard, ours))
    return Result(tables, {"c50": c50_figures, "rt60": rt60_figures})


def _srmr_as_c50(heard: Sequence[Clip]) -> list[float | None]:
    """The ratio on C50's scale, by a line fitted on every second clip for the others: the best it could do here."""
    ratios = [srmr_db(clip.samples) for clip in heard]
    said: list[float | None] = [None] * len(heard)
    for half in (0, 1):
        others = [n for n in range(len(heard)) if n % 2 != half]
        offset, slope = line_through([ratios[n] for n in others], [float(heard[n].c50_db or 0) for n in others])
        for n in range(half, len(heard), 2):
            ratio = ratios[n]
            said[n] = None if ratio is None else offset + slope * ratio
    return said


def _c50(heard: Sequence[Clip], estimates: Estimates) -> tuple[Table, dict[str, Any]]:
    rows, figures = [], {}
    for name, said in estimates.items():
        for place in PLACES[1:]:
            for band, low, high in BANDS:
                found = _errors(heard, said, [c.place == place and low <= c.snr_db < high for c in heard])
                rows.append((name, place, band, *found.cells()))
                figures[f"{name}, {place}, {band}"] = vars_of(found)
    return Table("c50-estimators", "C50, dB", ("estimator", "place", "true SNR", *Errors.HEAD), tuple(rows)), figures


def _errors(heard: Sequence[Clip], said: Sequence[float | None], wanted: Iterable[bool]) -> Errors:
    chosen = [(float(c.c50_db or 0), s) for c, s, is_wanted in zip(heard, said, wanted, strict=True) if is_wanted]
    return errors([a for a, _ in chosen], [b for _, b in chosen])


def _rt60(heard: Sequence[Clip], estimates: Estimates) -> tuple[Table, dict[str, Any]]:
    """How often RT60 is within a factor, where T30 is under `LONGEST_S`."""
    rows, figures = [], {}
    for name, said in estimates.items():
        for place in PLACES[1:]:
            for band, low, high in BANDS:
                pairs = [
                    (float(c.rt60_s or 0.0), s)
                    for c, s in zip(heard, said, strict=True)
                    if c.place == place and low <= c.snr_db < high and c.rt60_s and c.rt60_s < LONGEST_S
                ]
                known = np.array([(a, b) for a, b in pairs if b is not None], np.float64).reshape(-1, 2)
                off = np.abs(np.log(known[:, 1] / known[:, 0]))
                within = float(np.mean(off <= np.log(FACTOR))) if len(off) else None
                middle = float(np.exp(np.median(off))) if len(off) else None
                rank = errors(known[:, 0].tolist(), known[:, 1].tolist()).rank
                rows.append(
                    (name, place, band, f"{len(pairs)}", f"{len(pairs) - len(known)}", percent(within),
                     shown(middle, 2), shown(rank, 3))
                )  # fmt: skip
                figures[f"{name}, {place}, {band}"] = {"n": len(pairs), "within": within, "median_factor": middle}
    head = ("estimator", "place", "true SNR", "n", "null", f"% within {FACTOR:g} times", "median factor", "rank")
    return Table("rt60-estimators", "RT60", head, tuple(rows)), figures


def _kept(heard: Sequence[Clip], said: Sequence[Told]) -> Table:
    rows = []
    for threshold in THRESHOLDS_DB:
        for place in PLACES[1:]:
            pairs = [(float(c.c50_db or 0), t.c50_db) for c, t in zip(heard, said, strict=True) if c.place == place]
            kept = [true for true, s in pairs if s is not None and s > threshold]
            better = [true for true, _ in pairs if true > threshold]
            found = [true for true in kept if true > threshold]
            worse = [true for true in kept if true <= threshold]
            far = [true for true in kept if true <= threshold - NEAR_DB]
            shares = (_share(found, better), _share(worse, kept), _share(far, kept))
            rows.append((f"c50_db > {threshold:g}", place, f"{len(better)}", *(percent(share) for share in shares)))
    head = (
        "condition", "place", "truly better", "% kept of these", "% of kept truly worse", f"… worse by {NEAR_DB:g} dB"
    )  # fmt: skip
    return Table("c50-thresholds", "what a threshold keeps", head, tuple(rows))


def _share(some: Sequence[float], of: Sequence[float]) -> float | None:
    return len(some) / len(of) if of else None


def _bounds(heard: Sequence[Clip], said: Sequence[Told]) -> Table:
    """C50's errors by the spread that is stored beside it, or by the flags where there is no spread."""
    rows = []
    triples = [(float(c.c50_db or 0), t.c50_db, t.c50_spread_db) for c, t in zip(heard, said, strict=True)]
    for low, high in ((0.0, 1.5), (1.5, 2.5), (2.5, 4.0), (4.0, 99.0)):
        chosen = [(true, s) for true, s, spread in triples if spread is not None and low <= spread < high]
        if chosen:
            name = f"c50_spread_db {low:g} to {high:g}" if high < 99 else f"c50_spread_db from {low:g}"
            rows.append((name, *errors([a for a, _ in chosen], [b for _, b in chosen]).cells()))
    for flag in ("c50_is_lower_bound", "c50_is_upper_bound"):
        chosen = [(float(c.c50_db or 0), t.c50_db) for c, t in zip(heard, said, strict=True) if flag in t.flags]
        rows.append((flag, *errors([a for a, _ in chosen], [b for _, b in chosen]).cells()))
    return Table("c50-flags", "C50 by what is said beside it, dB", ("", *Errors.HEAD), tuple(rows))
