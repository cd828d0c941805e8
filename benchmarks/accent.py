"""What a head over utterance vectors reaches on the people with known accents beside the checkout, each left out in
turn.

    python -m benchmarks.accent

In two collections there are eleven people of labels that more than one of them has: far too few to say how well accents
can be told, and just enough to ask whether a head does better than a guess on people it has not heard. So beside the
accuracy stands what always saying the commonest label reaches, and in how many of all ways to deal the same labels out
to these people the head does at least as well: where those are many, it has found nothing.

Nothing is tuned on these people: the strength is fixed, and both parts of a vector are reported, not chosen by.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.corpus import NoAudio, audio_folder
from benchmarks.places import read
from benchmarks.tables import table
from schemas.sound import ANALYSIS_RATE_HZ, Samples
from training.split import speaker_rows
from transforms.accent_fit import Examples, indexed
from transforms.accent_labels import folded, read_label_set
from transforms.accent_softmax import train
from transforms.accent_voice import VOICE, accent_vector
from transforms.diarize.encoder import open_encoder

STRENGTH = 0.3
"""Of the regularisation, of those that a fit chooses from: there are too few people here to choose by."""

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Clip:
    """Something that a person with a known accent says."""

    collection: str
    speaker: str
    label: str
    samples: Samples


@dataclass(frozen=True, slots=True)
class Row:
    """How people left out one by one are told; `accuracy` counts each label the same, and in it each speaker."""

    collection: str
    hears: str
    labels: tuple[str, ...]
    speakers: tuple[int, ...]
    utterances: int
    accuracy: float
    by_utterance: float
    commonest: float
    """What always saying the commonest label reaches, by utterance."""
    as_good: int
    """In how many of `ways` to deal the labels out the head does at least as well; the true one is among them."""
    ways: int


def rows() -> list[Row]:
    """A row per collection and set of features. Raises `benchmarks.corpus.NoAudio` where there are no recordings."""
    clips = known_clips()
    parts = {"voice": VOICE, "cepstral lags": slice(VOICE.stop, None), "both": slice(None)}
    return [
        left_out_in_turn(collection, name, [clip for clip in clips if clip.collection == collection], columns)
        for collection in ("VCTK", "spoken digits")
        for name, columns in parts.items()
    ]


def left_out_in_turn(collection: str, name: str, clips: Sequence[Clip], columns: slice) -> Row:
    """Each speaker is told by a head that has heard all others. Labels with one speaker are left out: nobody would be
    left to learn them from."""
    people = {label: sorted({c.speaker for c in clips if c.label == label}) for label in {c.label for c in clips}}
    clips = [clip for clip in clips if len(people[clip.label]) > 1]
    vectors = np.stack([_vector(clip.samples)[columns] for clip in clips])
    speakers = tuple(clip.speaker for clip in clips)
    labels, target = indexed([clip.label for clip in clips])
    examples = Examples(vectors, target, speakers, labels)
    accuracy, is_right = _accuracy(examples)
    ways = [_accuracy(Examples(vectors, dealt, speakers, labels))[0] for dealt in _deals(examples)]
    return Row(
        collection=collection,
        hears=name,
        labels=labels,
        speakers=tuple(examples.speakers_of()),
        utterances=len(clips),
        accuracy=accuracy,
        by_utterance=float(is_right.mean()),
        commonest=float(np.bincount(target).max() / len(target)),
        as_good=sum(one >= accuracy - 1e-9 for one in ways),
        ways=len(ways),
    )


def _accuracy(examples: Examples) -> tuple[float, NDArray[np.bool_]]:
    told = np.zeros_like(examples.target)
    for speaker in sorted(set(examples.speakers)):
        out = np.array([one == speaker for one in examples.speakers])
        rest = examples[~out]
        linear = train(rest.vectors, rest.target, rest.weight(), len(examples.labels), STRENGTH)
        told[out] = linear.logits(examples.vectors[out]).argmax(1)
    is_right = told == examples.target
    return float(examples.weight() @ is_right), is_right


def _deals(examples: Examples) -> Iterator[NDArray[np.int64]]:
    """Every way to give two labels to these people, as many to each as it has; the true one is among them."""
    people = sorted(set(examples.speakers))
    for chosen in combinations(people, examples.speakers_of()[1]):
        yield np.array([int(speaker in chosen) for speaker in examples.speakers], np.int64)


def known_clips() -> list[Clip]:
    """Clean clips of everybody whose accent is known. Spoken digits are 0.4 s each: those of one speaker's turn through
    the ten are joined."""
    label_of = read_label_set("english-1").label_of
    found: list[Clip] = []
    joined: dict[tuple[str, str, str], list[Samples]] = {}
    for path, row in sorted(speaker_rows().items()):
        if not row["accent"] or row["note"] == "noisy":
            continue
        label, samples = label_of[folded(row["accent"])], read(audio_folder() / path)
        if row["corpus"] == "FSDD":
            take = path.rsplit("_", 1)[1]
            joined.setdefault((row["speaker"], label, take), []).append(samples)
        else:
            found.append(Clip("VCTK", row["speaker"], label, samples))
    return found + [
        Clip("spoken digits", speaker, label, np.concatenate(digits)) for (speaker, label, _), digits in joined.items()
    ]


def _vector(samples: Samples) -> Vector:
    vector = accent_vector(samples, _session())
    if vector is None:
        raise ValueError("a clip is too short to be told by")
    return vector


@cache
def _session() -> Any:
    return open_encoder()


def pace() -> float:
    """Seconds of audio per CPU second, on one core."""
    clips = [clip.samples for clip in known_clips()]
    _vector(clips[0])
    began = time.process_time()
    for samples in clips:
        _vector(samples)
    return sum(map(len, clips)) / ANALYSIS_RATE_HZ / (time.process_time() - began)


def shown(found: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    head = [
        "collection",
        "features",
        "speakers",
        "utterances",
        "accuracy",
        "by utterance",
        "commonest",
        "as good by chance",
    ]
    cells = [
        [
            row.collection, row.hears,
            ", ".join(f"{label} {n}" for label, n in zip(row.labels, row.speakers, strict=True)),
            str(row.utterances), f"{row.accuracy:.2f}", f"{row.by_utterance:.2f}", f"{row.commonest:.2f}",
            f"{row.as_good} of {row.ways}",
        ]
        for row in found
    ]  # fmt: skip
    return table(head, cells)


def main() -> int:
    try:
        found = rows()
    except NoAudio as error:
        sys.stderr.write(f"{error}\n")
        return 2
    print(shown(found))
    print(f"\nvectors: {pace():,.0f} times real time on one core")
    return 0


if __name__ == "__main__":
    sys.exit(main())
