"""How well damage is found: clipping, lost bandwidth, hum, offset, dropouts; made over real speech of one split.

    python -m benchmarks.channel [--part report] [--clips 40] [--json FILE]

One clip of each of so many people, 8 s at most, and music and noise of that part as they are. A kind of damage counts
as found where its column passes the line below, and a bandwidth where it is within 10 % of the truth; false alarms are
counted on the same clips undamaged: as they are, turned down to −30 dBFS, coded as MP3 and Opus, and mastered loud.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from benchmarks import channel_damage as made
from benchmarks.channel_damage import Damaged, Samples
from benchmarks.tables import table
from schemas.sound import ANALYSIS_RATE_HZ
from training import split
from transforms.channel import BandwidthMeter, ChannelConfig, DamageMeter
from transforms.channel_hum import HumMeter

LINES = {"clipping": 0.0005, "hum": 4.0, "dropouts": 0.00005, "offset": 0.005}
"""Columns from here on say that there is damage; a bandwidth is lost under 95 % of half the rate."""
OWN_HUM = "hum, their own counted as false"
"""The stricter count beside `hum`: whatever is heard in undamaged sound as it is, be it mains that were recorded."""
_FULL = 0.95
_SECONDS = 8
Row = dict[str, Any]


def measure(clip: Damaged) -> dict[str, float | None]:
    """The channel's measurements of one clip, by the meters that a run feeds."""
    samples = clip.samples.astype(np.float32)
    config = ChannelConfig()
    damage = DamageMeter(1, config, clip.sample_rate_hz)
    damage.feed(samples[None], samples.max()[None], samples.min()[None])
    kept = np.clip(samples, -1, 1)
    band, hum = BandwidthMeter(clip.sample_rate_hz, -110.0 if clip.is_lossy else -90.0, config), HumMeter(config)
    band.feed(kept)
    hum.feed(soxr.resample(kept, clip.sample_rate_hz, ANALYSIS_RATE_HZ).astype(np.float32))
    _, clipping, offset = damage.measured([0])
    return {
        "clipping": clipping,
        "offset": abs(offset or 0.0),
        "bandwidth": band.bandwidth_hz(),
        "hum": hum.hum_db(),
        "dropouts": damage.dropout_ratio([0]),
    }


def clips(part: split.Part, limit: int) -> Iterator[tuple[str, Samples, int]]:
    """`(path, samples, rate)` of one clip per person, people spread over all of them; those under 5 s are left out."""
    found: list[tuple[str, Samples, int]] = []
    for _, items in sorted(split.speakers(part).items()):
        for item in items:
            sound, rate = soundfile.read(item.file, dtype="float32", always_2d=True, frames=_SECONDS * 48_000)
            if len(sound) >= 5 * rate and np.abs(sound).max() > 0.01:
                found.append((item.path, np.ascontiguousarray(sound[: _SECONDS * rate, 0]), rate))
                break
    every = max(1.0, len(found) / limit)
    yield from (found[int(n * every)] for n in range(min(limit, len(found))))


def undamaged(samples: Samples, rate_hz: int) -> Iterator[Damaged]:
    unit = 0.9 * samples / np.abs(samples).max()
    yield Damaged("undamaged", "as it is", made.pcm16(unit), rate_hz, None)
    yield Damaged("undamaged", "turned down to −30 dBFS", made.pcm16(unit * 0.035), rate_hz, None)
    yield Damaged("undamaged", "MP3", made.coded(unit, rate_hz, "mp3"), rate_hz, None, True)
    if rate_hz in (8_000, 16_000, 24_000, 48_000):
        yield Damaged("undamaged", "Opus", made.coded(unit, rate_hz, "opus"), rate_hz, None, True)
    yield Damaged("undamaged", "mastered loud", made.pcm16(made.loud(samples, rate_hz)), rate_hz, None)
    yield Damaged("undamaged", "no mains", made.pcm16(made.at_no_mains(samples, rate_hz)), rate_hz, None)


def other_sounds(part: split.Part) -> Iterator[Damaged]:
    """Music and noise, as they are, and played 7 % faster: some of it has hum of its own."""
    for item in [*split.music(part), *split.noises(part)]:
        try:
            sound, rate = soundfile.read(item.file, dtype="float32", always_2d=True, frames=30 * 44_100)
        except soundfile.LibsndfileError:
            continue
        if len(sound) >= 4 * rate:
            one = np.ascontiguousarray(sound[:, 0])
            yield Damaged("undamaged", "music and noise", one, rate, None)
            yield Damaged("undamaged", "music and noise, no mains", made.at_no_mains(one, rate), rate, None)


def _is_found(name: str, clip: Damaged, values: dict[str, float | None]) -> bool:
    value = values[name]
    if value is None:
        return False
    if name != "bandwidth":
        return value >= LINES[name]
    if clip.truth is None:
        return value < _FULL * clip.sample_rate_hz / 2
    return abs(value / clip.truth - 1) <= 0.1


def _damaged(samples: Samples, rate_hz: int, chance: np.random.Generator, is_full: bool) -> Iterator[Damaged]:
    yield from made.clipping(samples, rate_hz)
    if is_full:
        yield from made.bandwidth(samples, rate_hz, chance)
    yield from made.hum(samples, rate_hz, chance)
    yield from made.dropouts(samples, rate_hz, chance)


def rows(part: split.Part = "report", limit: int = 40, seed: int = 6) -> list[Row]:
    """One row per kind and severity of damage: clips, how many were found, recall; then per measurement precision,
    recall and F1 over all of it; then false alarms on undamaged sound.

    Bandwidth is judged on clips that reach the end of their own band: those whose source was a lossy file are left
    out of it and counted in `cut_before`. False hum is counted on sound played 7 % faster, which has none, and once
    more (`OWN_HUM`) on sound as it is.
    """
    chance = np.random.default_rng(seed)
    hits: dict[tuple[str, str, str, bool], list[bool]] = defaultdict(list)
    alarms: dict[tuple[str, str], list[bool]] = defaultdict(list)
    cut_before = 0
    for _, samples, rate in clips(part, limit):
        whole = list(undamaged(samples, rate))
        first = measure(whole[0])
        is_full = not _is_found("bandwidth", whole[0], first)
        cut_before += not is_full
        for clip in whole:
            _alarm(alarms, clip, measure(clip), is_full)
        for clip in _damaged(samples, rate, chance, is_full):
            name = clip.kind.split(",")[0]
            hits[name, clip.kind, clip.severity, clip.is_faint].append(_is_found(name, clip, measure(clip)))
    for clip in other_sounds(part):
        _alarm(alarms, clip, measure(clip), True)
    return [*_found_rows(hits), *_total_rows(hits, alarms, cut_before), *_alarm_rows(alarms)]


def _alarm(
    alarms: dict[tuple[str, str], list[bool]], clip: Damaged, values: dict[str, float | None], is_full: bool
) -> None:
    for name in (*LINES, "bandwidth"):
        # What a codec or a speed change took away is really gone; hum of its own is really there.
        is_judged = {
            "bandwidth": is_full and clip.severity in ("as it is", "mastered loud"),
            "hum": clip.severity in ("no mains", "music and noise, no mains"),
        }.get(name, clip.severity != "music and noise, no mains")
        if is_judged:
            alarms[name, clip.severity].append(_is_found(name, clip, values))
    if clip.severity in ("as it is", "music and noise"):
        alarms[OWN_HUM, clip.severity].append(_is_found("hum", clip, values))


def _found_rows(hits: dict[tuple[str, str, str, bool], list[bool]]) -> Iterator[Row]:
    for (name, kind, severity, faint), found in hits.items():
        yield {"measurement": name, "damage": kind, "severity": severity, "clips": len(found), "found": sum(found),
               "recall": round(sum(found) / len(found), 3), "faint": faint}  # fmt: skip


def _total_rows(
    hits: dict[tuple[str, str, str, bool], list[bool]], alarms: dict[tuple[str, str], list[bool]], cut_before: int
) -> Iterator[Row]:
    """Recall over all damage, precision against as many undamaged clips as damaged ones."""
    names = [*dict.fromkeys(key[0] for key in hits), OWN_HUM]
    for name, also_faint in ((name, also) for also in (False, True) for name in names):
        kind = "hum" if name == OWN_HUM else name
        found = [hit for (of, _, _, faint), some in hits.items() if of == kind and also_faint >= faint for hit in some]
        false = [alarm for (of, _), some in alarms.items() if of == name for alarm in some]
        recall, alarm_rate = float(np.mean(found)), float(np.mean(false))
        precision = recall / (recall + alarm_rate) if recall else 0.0
        severity = "faint too" if also_faint else "clear"
        yield {"measurement": name, "damage": "all", "severity": severity, "clips": len(found), "found": sum(found),
               "recall": round(recall, 3), "precision": round(precision, 3),
               "f1": round(2 * precision * recall / (precision + recall), 3) if recall else 0.0,
               "undamaged": len(false), "cut_before": cut_before if name == "bandwidth" else 0}  # fmt: skip


def _alarm_rows(alarms: dict[tuple[str, str], list[bool]]) -> Iterator[Row]:
    for (name, severity), some in alarms.items():
        yield {"measurement": name, "damage": "undamaged", "severity": severity, "clips": len(some),
               "false_alarms": sum(some)}  # fmt: skip


def show(found: list[Row]) -> str:
    """The rows as tables."""

    def cells(kept: list[Row], names: tuple[str, ...]) -> list[list[str]]:
        return [[str(row.get(name, "–")) for name in names] for row in kept]

    totals = [row for row in found if row["damage"] == "all"]
    alarms = [row for row in found if row["damage"] == "undamaged"]
    each = [row for row in found if row not in totals and row not in alarms]
    parts = []
    for kept, names in (
        (totals, ("measurement", "severity", "clips", "undamaged", "precision", "recall", "f1")),
        (each, ("damage", "severity", "faint", "clips", "found", "recall")),
        (alarms, ("measurement", "severity", "clips", "false_alarms")),
    ):
        parts.append(table(names, cells(kept, names)))
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=("report", "train"), default="report")
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found = rows(asked.part, asked.clips)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1))
    print(show(found))


if __name__ == "__main__":
    main()
