"""From a release to labelled vectors: what a head is trained on, asked for as any training code asks."""

from __future__ import annotations

import hashlib
import logging
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lake.lake import Lake
from provoice.loader.index import Index
from provoice.loader.opening import open_release
from provoice.loader.share import Share
from schemas.consent import Action
from schemas.errors import ConfigError, ConsentError
from schemas.releases import ReleaseRecord
from schemas.sound import ANALYSIS_RATE_HZ, Samples
from transforms.accent_labels import LabelSet

if TYPE_CHECKING:
    from transforms.accent_fit import Examples

PER_SPEAKER = 30
"""Utterances of one speaker that are learnt from: more of the same voice say little of the accent."""
_LOG_EVERY_S = 30.0
_DECLARED_ONLY = "\"accent.origin = 'declared'\""
_log = logging.getLogger("provoice.accent")


@dataclass(frozen=True, slots=True)
class Heard:
    """The examples of a release, and how many of its utterances are none."""

    examples: Examples
    left_out: int


def check_use(lake_uri: str, release: ReleaseRecord) -> None:
    """Raises ConsentError where people allowed another thing than this."""
    if release.use.action is not Action.TRAIN_TAGGER:
        raise ConsentError(
            f"release {release.name}@{release.version} was made for {release.use.action}, and a head is trained on one "
            f"made for train_tagger: `provoice release create {lake_uri} {release.name}-tagger --use USE.yaml` with "
            "`action: train_tagger`"
        )


def hear(
    lake_uri: str, release: ReleaseRecord, label_set: LabelSet, *, owner: str, purpose: str, skip_denied: bool = False
) -> Heard:  # fmt: skip
    """Opens the release, which asks for consent and is recorded, and hears up to `PER_SPEAKER` utterances of each
    speaker. Raises ConfigError where an utterance has no declared accent of the label set."""
    from transforms.accent_voice import accent_vector
    from transforms.diarize.encoder import encoder_models, open_encoder

    check_use(lake_uri, release)
    encoder_models()  # what is not installed is said before anything is recorded
    on_denied: Literal["refuse", "skip"] = "skip" if skip_denied else "refuse"
    dataset = open_release(
        lake_uri, release.name, release.version, owner=owner, purpose=purpose, decode=True, fields=("audio", "json"),
        on_denied=on_denied,
    )  # fmt: skip
    speaker_of = _speakers(Lake.open(lake_uri), release)
    chosen = few_of_each(speaker_of)
    session = open_encoder()
    faults: Counter[str] = Counter()
    found: list[tuple[Any, str, str]] = []
    for sample in _shown(dataset, len(dataset)):
        key, accent = sample["__key__"], sample["json"].get("accent")
        if fault := fault_of(accent, label_set):
            faults[fault] += 1
        elif not faults and key in chosen:
            vector = accent_vector(at_16_khz(sample["audio"], sample["sample_rate_hz"]), session)
            if vector is not None:
                found.append((vector, accent["label"], speaker_of[key]))
    if faults:
        raise ConfigError(_refusal(release, faults, label_set))
    return Heard(_examples(found), release.chosen.utterances - len(found))


def fault_of(accent: Mapping[str, Any] | None, label_set: LabelSet) -> str | None:
    """Why an utterance cannot be learnt from; None where it can."""
    if not accent or not accent.get("label"):
        return "no accent"
    if accent["origin"] != "declared":
        return "an accent that a model predicted"
    if accent["label_set"] != label_set.name or accent["label"] not in label_set.labels:
        return f"`{accent['label']}` of {accent['label_set']}"
    return None


def _refusal(release: ReleaseRecord, faults: Mapping[str, int], label_set: LabelSet) -> str:
    said = ", ".join(f"{count:,} with {fault}" for fault, count in sorted(faults.items(), key=lambda one: -one[1])[:5])
    return (
        f"release {release.name}@{release.version} has utterances that a head of {label_set.name} cannot learn from: "
        f"{said}; make a release without them, with --where {_DECLARED_ONLY} and a condition on accent.label, or name "
        "their label set with --labels"
    )


def few_of_each(speaker_of: Mapping[str, str]) -> set[str]:
    """The keys to hear: of each speaker as many as are taken, chosen by digest and so from all their recordings."""
    groups: dict[str, list[str]] = {}
    for key, speaker in speaker_of.items():
        groups.setdefault(speaker, []).append(key)
    return {
        key
        for keys in groups.values()
        for key in sorted(keys, key=lambda key: hashlib.sha256(key.encode()).digest())[:PER_SPEAKER]
    }


def one_voice(people: Iterable[Sequence[str]]) -> dict[str, str]:
    """Each person to whoever stands for them: people who are in one utterance together cannot be told apart, and are
    one speaker here."""
    first: dict[str, str] = {}

    def root(one: str) -> str:
        while first.setdefault(one, one) != one:
            first[one] = first[first[one]]
            one = first[one]
        return one

    for together in people:
        for other in together[1:]:
            one, two = sorted((root(together[0]), root(other)))
            first[two] = one
        root(together[0])
    return {one: root(one) for one in first}


def _speakers(lake: Lake, release: ReleaseRecord) -> dict[str, str]:
    """Key of each utterance of the release to its speaker."""
    index = Index(lake, release)
    rows = index.read(Share(0, index.rows), ["key", "subject_ids"], encoded=False).to_pylist()
    voice = one_voice([row["subject_ids"] for row in rows])
    return {row["key"]: voice[row["subject_ids"][0]] for row in rows}


def at_16_khz(audio: Samples, rate_hz: int) -> Samples:
    """`audio`, shape (n,) or (n, channels), as mono samples at the analysis rate."""
    import numpy as np
    import soxr

    mono = audio if audio.ndim == 1 else audio.mean(1)
    if rate_hz == ANALYSIS_RATE_HZ:
        return np.asarray(mono, np.float32)
    return np.asarray(soxr.resample(mono, rate_hz, ANALYSIS_RATE_HZ), np.float32)


def _examples(found: Sequence[tuple[Any, str, str]]) -> Examples:
    import numpy as np

    from transforms.accent_fit import Examples, indexed
    from transforms.accent_voice import VOICE

    # In an order of its own, so that where the utterances lie does not change a sum.
    found = sorted(found, key=lambda one: (one[1], one[2], one[0].tobytes()))
    labels, target = indexed([label for _, label, _ in found])
    vectors = np.stack([vector for vector, _, _ in found]) if found else np.zeros((0, 0), np.float32)
    speakers = tuple(speaker for *_, speaker in found)
    return Examples(vectors, target, speakers, labels, (VOICE, slice(None)))


def _shown(samples: Iterable[Any], total: int) -> Iterator[Any]:
    """The samples, with a bar where standard error is a terminal, else a line now and then."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track

        yield from track(samples, "hearing utterances", total=total, console=Console(stderr=True), transient=True)
        return
    said = time.monotonic()
    for number, sample in enumerate(samples):
        if time.monotonic() - said > _LOG_EVERY_S:
            said = time.monotonic()
            _log.info("heard %s of %s utterances", f"{number:,}", f"{total:,}")
        yield sample
