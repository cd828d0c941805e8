"""How well the embedded diarizer tells voices apart, and how often it hears one that nobody named.

    python -m benchmarks.diarization [--tuned] [--json FILE]

On people who were kept apart when thresholds were chosen; `--tuned` takes the others. Recordings are made from read
speech, a quarter each as it is, in a measured room, over noise, and in both; meetings are as they were recorded.
Diarization error rate: overlap counted, no collar, 10 ms.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.corpus import NoAudio
from benchmarks.listening import Known, errors, listen
from benchmarks.tables import table
from benchmarks.voices import (
    HOW,
    Cast,
    Rng,
    casts,
    conversation,
    drawn,
    in_some_place,
    meetings,
    one_person,
    with_stranger,
)

ENOUGH_S = 2.0
"""The default of consent.min_extra_voice_s."""


def told_apart(name: str, recordings: Iterable[Known]) -> dict[str, Any]:
    """Errors over a set, with the number of people unknown and known, and how often that number was right."""
    unknown, known = np.zeros(4), np.zeros(4)
    count = right = 0
    for recording in recordings:
        said = listen(recording.samples, recording.people)
        unknown += errors(recording, said)
        known += errors(recording, listen(recording.samples, recording.people, recording.people))
        count += 1
        right += len({person for _, _, person in said.spans}) == recording.people
    parts = dict(zip(("missed", "added", "confused"), (unknown[:3] / unknown[3]).round(4).tolist(), strict=True))
    return {
        "set": name,
        "recordings": count,
        "hours": round(unknown[3] / 3600, 2),
        "der": round(float(unknown[:3].sum() / unknown[3]), 4),
        **parts,
        "der_count_known": round(float(known[:3].sum() / known[3]), 4),
        "right_count": right,
    }


def sets_of(cast: Cast, rng: Rng) -> Iterable[tuple[str, list[Known]]]:
    """Conversations of two to four, of four to nine strangers in long turns, and one person alone."""

    def some(most_long: int, least: int, most: int) -> tuple[str, ...]:
        people = int(rng.integers(least, most + 1))
        long = rng.choice(cast.long, int(rng.integers(1, min(people, most_long) + 1)), replace=False)
        return (*long, *rng.choice(cast.short, people - len(long), replace=False))

    yield "2–4 people, turns of 1–8 s", drawn(rng, 30, lambda r: conversation(some(3, 2, 4), r, (1, 8)))
    yield "4–9 people, turns of 6–16 s", drawn(rng, 15, lambda r: conversation(some(1, 4, 9), r, (6, 16), 400))
    for name, people, times in (("one person, 65–80 s", cast.long, 3), ("one person, 12–17 s", cast.short, 1)):
        alone = [person for person in people for _ in range(times)]
        yield name, [known for person in alone for known in drawn(rng, 1, _alone(person))]


def _alone(person: str) -> Callable[[Rng], Known]:
    return lambda rng: conversation((person,), rng, (30, 40))


def strangers_heard(cast: Cast, rng: Rng, seconds: float, pairs: int) -> list[dict[str, Any]]:
    """Of one-person recordings with five seconds of somebody else, mixed in so or so, the share in which a voice beyond
    the one is heard for two seconds; and of those without."""
    rows = []
    for how in ("nobody", *HOW):
        heard = 0
        for n in range(pairs):
            person = cast.long[n % len(cast.long)]
            others = [other for other in (*cast.short, *cast.long) if other != person]
            stranger = None if how == "nobody" else others[int(rng.integers(len(others)))]
            samples = with_stranger(person, stranger, how, rng, seconds)
            samples = in_some_place(samples, rng) if n % 2 else samples
            heard += listen(samples).extra_voice_s >= ENOUGH_S
        rows.append({"stranger": how, "main_s": seconds, "recordings": pairs, "heard": heard})
    return rows


def false_alarms(cast: Cast, rng: Rng) -> dict[str, Any]:
    """The same question of every person with one clip, alone in some place."""
    recordings = [known for person in cast.short for known in drawn(rng, 1, _alone(person))]
    heard = sum(listen(known.samples).extra_voice_s >= ENOUGH_S for known in recordings)
    return {"stranger": "nobody", "main_s": 14, "recordings": len(recordings), "heard": heard}


def cost(cast: Cast, rng: Rng, seconds: float = 1800.0) -> float:
    """CPU seconds of the diarizer per hour of audio, on one long recording."""
    samples = np.concatenate(one_person(cast.long[0], rng, seconds))
    return round(listen(samples).cpu_s / (len(samples) / 16_000) * 3600, 2)


def measured(cast: Cast, seed: int) -> dict[str, Any]:
    """Every figure of one half of the people."""
    rng = np.random.default_rng(seed)
    apart = [told_apart(name, recordings) for name, recordings in sets_of(cast, rng)]
    apart.append(told_apart("meetings, far-field, 30 s", meetings()))
    strangers = [false_alarms(cast, rng)]
    for seconds in (60, 180):
        strangers += strangers_heard(cast, rng, seconds, 64)
    return {"apart": apart, "strangers": strangers, "cpu_s_per_hour": cost(cast, rng)}


def report(result: dict[str, Any]) -> str:
    """Both tables in Markdown."""
    apart = [
        [
            row["set"],
            f"{row['recordings']}",
            *(f"{100 * row[key]:.1f}" for key in ("der", "missed", "added", "confused", "der_count_known")),
            f"{row['right_count']}",
        ]
        for row in result["apart"]
    ]
    head = ["", "recordings", "DER %", "missed", "added", "confused", "DER %, count known", "right count"]
    strangers = [
        [f"{row['stranger']}, in {row['main_s']} s", f"{row['recordings']}", f"{row['heard']}"]
        for row in result["strangers"]
    ]
    parts = [table(head, apart), table(["five seconds of a stranger", "recordings", "heard"], strangers)]
    return "\n\n".join([*parts, f"{result['cpu_s_per_hour']} CPU seconds per hour of audio"])


def main() -> int:
    parser = argparse.ArgumentParser(description="how well the embedded diarizer tells voices apart")
    parser.add_argument("--tuned", action="store_true", help="the people whom thresholds were chosen on")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    try:
        tuned, held_out = casts()
    except NoAudio as error:
        print(error, file=sys.stderr)
        return 2
    result = measured(tuned, 10) if options.tuned else measured(held_out, 20)
    print(report(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
