"""How well the embedded diarizer tells voices apart, and how often it hears one that nobody named.

    python -m benchmarks.diarization [--part train|report] [--share 0..1] [--json FILE]

By default on the people, rooms, noises and meetings that `training.split` keeps for reports: neither a threshold nor
the overlap detector has met them. Recordings are made from read speech, a quarter each as it is, in a room, over
noise, and in both; meetings are as they were recorded. Diarization error rate: overlap counted, no collar, 10 ms.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.corpus import NoAudio
from benchmarks.listening import Known, errors, listen
from benchmarks.places import in_some_place
from benchmarks.tables import table
from benchmarks.voices import (
    HOW,
    PARTS,
    Cast,
    Rng,
    cast,
    clips_of,
    conversation,
    drawn,
    meetings,
    one_person,
    with_stranger,
)
from pipelines.config import ConsentConfig
from training.split import Part

ENOUGH_S = ConsentConfig().min_extra_voice_s
"""The default of consent.min_extra_voice_s."""
STRANGER_S = (2.2, 3.0, 5.0)
"""How long strangers speak."""
SEEDS = {"train": 10, "report": 20}


def told_apart(name: str, recordings: Iterable[Known]) -> dict[str, Any]:
    """Errors over a set with the number of people unknown and known, how often that number was right, and how often
    one voice more was heard than there are people."""
    unknown, known = np.zeros(4), np.zeros(4)
    count = right = held = 0
    for recording in recordings:
        said = listen(recording.samples, recording.people)
        unknown += errors(recording, said)
        known += errors(recording, listen(recording.samples, recording.people, recording.people))
        count += 1
        right += len({person for _, _, person in said.spans}) == recording.people
        held += said.extra_voice_s >= ENOUGH_S
    parts = dict(zip(("missed", "added", "confused"), (unknown[:3] / unknown[3]).round(4).tolist(), strict=True))
    return _said(
        {
            "set": name,
            "recordings": count,
            "hours": round(float(unknown[3]) / 3600, 2),
            "der": round(float(unknown[:3].sum() / unknown[3]), 4),
            **parts,
            "der_count_known": round(float(known[:3].sum() / known[3]), 4),
            "right_count": right,
            "held": held,
        }
    )


def _said(row: dict[str, Any]) -> dict[str, Any]:
    """The row, after somebody who waits has seen it."""
    print(row, file=sys.stderr, flush=True)
    return row


def sets_of(cast: Cast, rng: Rng, share: float) -> Iterator[tuple[str, list[Known]]]:
    """Conversations of two to four in turn and at once, of four to nine in long turns, and one person alone."""

    def some(most_long: int, least: int, most: int) -> tuple[str, ...]:
        people = int(rng.integers(least, most + 1))
        long = rng.choice(cast.long, int(rng.integers(1, min(people, most_long) + 1)), replace=False)
        return (*long, *rng.choice(cast.short, people - len(long), replace=False))

    def made(count: int, *how: Any) -> list[Known]:
        most_long, least, most, *rest = how
        n = max(2, round(count * share))
        return drawn(rng, n, lambda r: conversation(some(most_long, least, most), r, *rest), cast.part)

    yield "2–4 people, in turn", made(30, 3, 2, 4, (1, 8), 180)
    yield "2–4 people, now and then at once", made(15, 3, 2, 4, (1, 8), 120, 0.35)
    yield "4–9 people, turns of 6–16 s", made(10, 1, 4, 9, (6, 16), 300)
    for name, people, times in (("one person, 65–80 s", cast.long, 4), ("one person, 12–17 s", cast.short, 1)):
        alone = [person for person in people if len(clips_of(person)) for _ in range(times)]
        some_of = alone[: max(2, round(len(alone) * share))]
        yield name, [known for who in some_of for known in drawn(rng, 1, partial(_alone, who), cast.part)]


def _alone(person: str, rng: Rng) -> Known:
    return conversation((person,), rng, (30, 40))


def strangers_heard(cast: Cast, rng: Rng, count: int) -> list[dict[str, Any]]:
    """Of recordings of one person (a minute of one with many clips, or one clip) with some seconds of somebody else,
    mixed in so or so, the share in which a voice beyond the one is heard for `ENOUGH_S`, with and without the detector
    of overlap."""
    rows = []
    for how in ("nobody", *HOW):
        heard = {length: [0, 0] for length in STRANGER_S}
        undetected = 0
        for n in range(count):
            person = cast.long[n % len(cast.long)] if n % 3 else cast.short[int(rng.integers(len(cast.short)))]
            length = STRANGER_S[n // 3 % len(STRANGER_S)]
            samples = _with_somebody(cast, person, how, length, 60 if n % 3 else 12, rng)
            samples = in_some_place(samples, rng, cast.part) if n % 2 else samples
            heard[length][0] += listen(samples).extra_voice_s >= ENOUGH_S
            heard[length][1] += 1
            undetected += listen(samples, detect_overlap=False).extra_voice_s >= ENOUGH_S
        found, of = (sum(pair[i] for pair in heard.values()) for i in (0, 1))
        rows.append(
            _said(
                {
                    "stranger": how,
                    "recordings": of,
                    "heard": found,
                    "without_detector": undetected,
                    "by_length_s": heard,
                }
            )
        )
    return rows


def _with_somebody(cast: Cast, person: str, how: str, length: float, seconds: float, rng: Rng) -> Any:
    others = [other for other in (*cast.short, *cast.long) if other != person]
    stranger = None if how == "nobody" else others[int(rng.integers(len(others)))]
    return with_stranger(person, stranger, how, rng, seconds, length)


def cost(cast: Cast, rng: Rng, seconds: float = 1200.0) -> float:
    """CPU seconds of the diarizer per hour of audio, on one long recording."""
    samples = np.concatenate(one_person(cast.long[0], rng, seconds))
    return round(listen(samples).cpu_s / (len(samples) / 16_000) * 3600, 2)


def measured(part: Part, share: float = 1.0) -> dict[str, Any]:
    """Every figure of one side of the split; `share` of the recordings."""
    people, rng = cast(part), np.random.default_rng(SEEDS[part])
    apart = [told_apart(name, recordings) for name, recordings in sets_of(people, rng, share)]
    apart.append(told_apart(f"meetings, 30 s, {part}", [m.known for m in meetings(part)]))
    apart.append(told_apart("meetings, 30 s, all twelve", [m.known for p in PARTS for m in meetings(p)]))
    strangers = strangers_heard(people, rng, max(6, round(60 * share)))
    return {"apart": apart, "strangers": strangers, "cpu_s_per_hour": cost(people, rng)}


def report(result: dict[str, Any]) -> str:
    """Both tables in Markdown."""
    apart = [
        [
            row["set"],
            f"{row['recordings']}",
            *(f"{100 * row[key]:.1f}" for key in ("der", "missed", "added", "confused", "der_count_known")),
            f"{row['right_count']}",
            f"{row['held']}",
        ]
        for row in result["apart"]
    ]
    head = ["", "recordings", "DER %", "missed", "added", "confused", "DER %, count known", "right count", "held"]
    strangers = [
        [
            row["stranger"],
            f"{row['recordings']}",
            f"{100 * row['heard'] / row['recordings']:.0f}",
            f"{100 * row['without_detector'] / row['recordings']:.0f}",
            *(f"{found} of {of}" for found, of in row["by_length_s"].values()),
        ]
        for row in result["strangers"]
    ]
    lengths = [f"of {seconds:g} s" for seconds in STRANGER_S]
    parts = [
        table(head, apart),
        table(["a stranger", "recordings", "held %", "without the detector", *lengths], strangers),
    ]
    return "\n\n".join([*parts, f"{result['cpu_s_per_hour']} CPU seconds per hour of audio"])


def main() -> int:
    parser = argparse.ArgumentParser(description="how well the embedded diarizer tells voices apart")
    parser.add_argument("--part", choices=PARTS, default="report", help="side of the split; thresholds saw `train`")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--share", type=float, default=1.0, help="share of the recordings, 0..1")
    options = parser.parse_args()
    try:
        result = measured(options.part, options.share)
    except NoAudio as error:
        print(error, file=sys.stderr)
        return 2
    print(report(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
