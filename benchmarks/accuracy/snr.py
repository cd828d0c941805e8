"""SNR: ours beside WADA, NIST's ratio and Data-Juicer's, over bands of the true ratio, places, noises and lengths."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from benchmarks.accuracy.conditions import Clip, everywhere
from benchmarks.accuracy.errors import Errors, errors
from benchmarks.accuracy.ours import Told, methods, told
from benchmarks.accuracy.public.nmf import nmf_snr_db
from benchmarks.accuracy.public.stnr import stnr_db
from benchmarks.accuracy.public.wada import wada_snr_db
from benchmarks.accuracy.result import Result, Table, percent
from schemas.sound import Samples

PUBLIC: dict[str, Callable[[Samples], float | None]] = {
    "WADA-SNR": wada_snr_db,
    "NIST-style STNR": stnr_db,
    "NMF, as Data-Juicer": nmf_snr_db,
}
OURS = {"default": "provoice", "classical": "provoice, noise_tracking"}
THRESHOLDS_DB = (5.0, 10.0, 15.0, 20.0, 25.0)
NEAR_DB = 3.0

Estimates = dict[str, list[float | None]]


def measured(quick: bool) -> Result:
    """Every SNR table, from 400 clips a place, or 100."""
    clips = [clip for _, found in everywhere(100 if quick else 400) for clip in found]
    heard = told([clip.samples for clip in clips])
    estimates: Estimates = {OURS["default"]: [one.snr_db for one in heard]}
    if "classical" in methods():
        estimates[OURS["classical"]] = [one.snr_db for one in told([clip.samples for clip in clips], "classical")]
    estimates |= {name: [estimate(clip.samples) for clip in clips] for name, estimate in PUBLIC.items()}
    beside, figures = _beside(clips, estimates)
    ours = estimates[OURS["default"]]
    tables = (beside, _by_condition(clips, ours), kept_and_lost(clips, ours), _flagged(clips, heard))
    return Result(tables, {"estimators": figures, "thresholds": _threshold_figures(clips, ours)})


def _beside(clips: Sequence[Clip], estimates: Estimates) -> tuple[Table, dict[str, Any]]:
    groups = {"dry": ("dry",), "rooms": ("measured room", "simulated room")}
    rows, figures = [], {}
    for name, said in estimates.items():
        for group, places in groups.items():
            found = _errors(clips, said, [clip.place in places for clip in clips])
            rows.append((name, group, *found.cells()))
            figures[f"{name}, {group}"] = vars_of(found)
    return Table("snr-estimators", "SNR, dB", ("estimator", "place", *Errors.HEAD), tuple(rows)), figures


def vars_of(found: Errors) -> dict[str, Any]:
    return {key: getattr(found, key) for key in ("n", "unknown", "bias", "mae", "p90", "rank")}


def _errors(clips: Sequence[Clip], said: Sequence[float | None], wanted: Iterable[bool]) -> Errors:
    chosen = [(c.snr_db, s) for c, s, is_wanted in zip(clips, said, wanted, strict=True) if is_wanted]
    return errors([a for a, _ in chosen], [b for _, b in chosen])


def _by_condition(clips: Sequence[Clip], said: Sequence[float | None]) -> Table:
    rows = []
    for place in dict.fromkeys(clip.place for clip in clips):
        for low, high in ((-5, 5), (5, 15), (15, 25), (25, 35)):
            found = _errors(clips, said, [c.place == place and low <= c.snr_db < high for c in clips])
            rows.append((f"{place}, true SNR {low} to {high} dB".replace("-", "−"), *found.cells()))
    for noise in sorted({clip.noise for clip in clips}):
        rows.append((f"noise: {noise}", *_errors(clips, said, [c.noise == noise for c in clips]).cells()))
    for low, high in ((0, 5), (5, 10), (10, 16)):
        found = _errors(clips, said, [low <= c.seconds < high for c in clips])
        rows.append((f"{low} to {high} s long" if low else f"under {high} s", *found.cells()))
    return Table("snr-conditions", "SNR by condition, dB", ("provoice", *Errors.HEAD), tuple(rows))


def kept_and_lost(clips: Sequence[Clip], said: Sequence[float | None]) -> Table:
    """What a condition on the estimate does to clips whose truth is known."""
    rows = []
    for threshold in THRESHOLDS_DB:
        for group in ("dry", "measured room", "simulated room"):
            one = _kept(clips, said, threshold, group)
            rows.append(
                (
                    f"snr_db > {threshold:g}", group, percent(one["kept_of_better"]),
                    percent(one["kept_of_clearly_better"]), percent(one["worse_of_kept"]),
                    percent(one["clearly_worse_of_kept"]),
                )
            )  # fmt: skip
    head = (
        "condition", "place", "% kept of truly better", f"… of {NEAR_DB:g} dB better", "% of kept truly worse",
        f"… worse by {NEAR_DB:g} dB",
    )  # fmt: skip
    return Table("snr-thresholds", "what a threshold keeps", head, tuple(rows))


def _kept(clips: Sequence[Clip], said: Sequence[float | None], threshold: float, place: str) -> dict[str, float | None]:
    pairs = [(c.snr_db, s) for c, s in zip(clips, said, strict=True) if c.place == place]
    kept = [(true, s) for true, s in pairs if s is not None and s > threshold]

    def share(of: Sequence[Any], among: Sequence[Any]) -> float | None:
        return len(of) / len(among) if among else None

    better = [pair for pair in pairs if pair[0] > threshold]
    clearly = [pair for pair in pairs if pair[0] > threshold + NEAR_DB]
    return {
        "kept_of_better": share([p for p in kept if p[0] > threshold], better),
        "kept_of_clearly_better": share([p for p in kept if p[0] > threshold + NEAR_DB], clearly),
        "worse_of_kept": share([p for p in kept if p[0] <= threshold], kept),
        "clearly_worse_of_kept": share([p for p in kept if p[0] <= threshold - NEAR_DB], kept),
    }


def _threshold_figures(clips: Sequence[Clip], said: Sequence[float | None]) -> dict[str, Any]:
    return {
        f"snr_db > {threshold:g}, {place}": _kept(clips, said, threshold, place)
        for threshold in THRESHOLDS_DB
        for place in ("dry", "measured room", "simulated room")
    }


def _flagged(clips: Sequence[Clip], heard: Sequence[Told]) -> Table:
    """Whether the flags, and the spread, say where the estimate is wrong."""
    rows = []
    for flag in ("snr_is_lower_bound", "snr_estimators_disagree"):
        for is_set in (True, False):
            chosen = [(c.snr_db, t.snr_db) for c, t in zip(clips, heard, strict=True) if (flag in t.flags) == is_set]
            rows.append((f"{flag} {'set' if is_set else 'not set'}", *errors(*_apart(chosen)).cells()))
    spread = [(c.snr_db, t.snr_db, t.snr_spread_db) for c, t in zip(clips, heard, strict=True)]
    for low, high in ((0.0, 1.0), (1.0, 2.0), (2.0, 4.0), (4.0, 99.0)):
        chosen = [(true, said) for true, said, s in spread if s is not None and low <= s < high]
        if chosen:
            name = f"snr_spread_db {low:g} to {high:g}" if high < 99 else f"snr_spread_db from {low:g}"
            rows.append((name, *errors(*_apart(chosen)).cells()))
    return Table("snr-flags", "SNR by what is said beside it, dB", ("", *Errors.HEAD), tuple(rows))


def _apart(pairs: Sequence[tuple[float, float | None]]) -> tuple[list[float], list[float | None]]:
    return [a for a, _ in pairs], [b for _, b in pairs]
