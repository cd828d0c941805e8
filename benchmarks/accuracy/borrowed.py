"""Tables of measurements that have a benchmark of their own: channel and voices on the side that reports, accents with
each person left out in turn, for too few are known by theirs to keep some aside.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from benchmarks import accent, channel, diarization
from benchmarks.accuracy.result import Result, Table, percent

_CLIPS, _QUICK_CLIPS = 40, 10
_SHARE, _QUICK_SHARE = 1.0, 0.2
"""Of the recordings that `benchmarks.diarization` makes."""


def damage(quick: bool) -> Result:
    """Clipping, bandwidth, hum, offset and dropouts: `benchmarks.channel`."""
    rows = channel.rows("report", _QUICK_CLIPS if quick else _CLIPS)
    totals = [row for row in rows if row["damage"] == "all"]
    alarms = [row for row in rows if row["damage"] == "undamaged"]
    each = [row for row in rows if row not in totals and row not in alarms]
    kinds = (
        (
            "channel",
            "made damage, all kinds",
            totals,
            ("measurement", "severity", "clips", "undamaged", "precision", "recall", "f1"),
        ),
        ("channel-damage", "made damage, by kind", each, ("damage", "severity", "clips", "found", "recall")),
        ("channel-alarms", "false alarms", alarms, ("measurement", "severity", "clips", "false_alarms")),
    )
    tables = tuple(
        Table(name, title, head, tuple(tuple(str(row.get(key, "–")) for key in head) for row in kept))
        for name, title, kept, head in kinds
    )
    return Result(tables, {"rows": rows})


def people(quick: bool) -> Result:
    """Who speaks when, and whether a second voice is heard: `benchmarks.diarization`."""
    found = diarization.measured("report", _QUICK_SHARE if quick else _SHARE)
    apart = tuple(
        (
            str(row["set"]), str(row["recordings"]),
            *(percent(row[key]) for key in ("der", "missed", "added", "confused", "der_count_known")),
            str(row["right_count"]),
        )
        for row in found["apart"]
    )  # fmt: skip
    strangers = tuple(
        (str(row["stranger"]), str(row["recordings"]), percent(row["heard"] / row["recordings"], 0))
        for row in found["strangers"]
    )
    head = ("recordings", "n", "DER %", "missed", "added", "confused", "DER %, count known", "count right")
    tables = (
        Table("voices", "who speaks when", head, apart),
        Table("strangers", "a second voice", ("a stranger", "n", "held %"), strangers),
    )
    return Result(tables, _plain(found))


def accents(_quick: bool) -> Result:
    """Whether accents can be told of people who were not heard: `benchmarks.accent`."""
    found = accent.rows()
    rows = tuple(
        (
            row.collection, row.hears,
            ", ".join(f"{label} {n}" for label, n in zip(row.labels, row.speakers, strict=True)),
            str(row.utterances), percent(row.accuracy, 0), percent(row.by_utterance, 0), percent(row.commonest, 0),
            f"{row.as_good} of {row.ways}",
        )
        for row in found
    )  # fmt: skip
    head = ("collection", "goes by", "speakers", "n", "right %", "by utterance", "commonest label", "as good by chance")
    return Result(
        (Table("accents", "accents of people left out", head, rows),), {"rows": [asdict(row) for row in found]}
    )


def _plain(found: dict[str, Any]) -> dict[str, Any]:
    """What JSON can hold."""
    return {key: value for key, value in found.items() if key in ("apart", "strangers", "cpu_s_per_hour")}
