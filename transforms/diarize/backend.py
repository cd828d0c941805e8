"""What a way of diarizing answers, whoever it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from schemas.catalogue import CatalogueRow, Role
from schemas.errors import Rejected
from schemas.sound import Region, Turn
from transforms.items import Recording, Track


@dataclass(frozen=True, slots=True)
class Heard:
    """Turns per track, and what was heard: None where nothing listened."""

    turns: tuple[tuple[Turn, ...], ...]
    voices: int | None = None
    extra_voice_s: float | None = None


class Backend(Protocol):
    """One way of telling who speaks when."""

    def model_ids(self) -> Mapping[str, str]:
        """The models that listen, as in `lineage.models`. Raises ConfigError where one cannot be had."""

    def open(self) -> None:
        """Load models, or read what is brought along."""

    def heard(self, recording: Recording) -> Heard:
        """Who speaks when in a decoded recording. Raises Rejected where that cannot be told."""


@runtime_checkable
class TogetherBackend(Backend, Protocol):
    """A backend whose models hear several recordings at once."""

    def heard_together(self, recordings: Sequence[Recording]) -> list[Heard | Rejected]:
        """One answer per recording, in order."""


def known_count(catalogue: CatalogueRow, track: Track, n_tracks: int, speakers: int | None) -> int | None:
    """How many speak on this track, where the catalogue, or `speakers` of the configuration, says so."""
    if n_tracks == 1:
        return catalogue.speakers or speakers
    named = [subject for subject in catalogue.subjects if subject.role is Role.SPEAKER]
    if not named or any(subject.channel is None for subject in named):
        return None
    return sum(subject.channel == track.channel for subject in named) or None


def labelled(tracks: Sequence[Iterable[tuple[Region, object]]]) -> tuple[tuple[Turn, ...], ...]:
    """Turns of each track from (region, voice) pairs. A voice is somebody within its track: labels `spk00`, `spk01`, …
    are given track by track, in the order in which voices are first heard."""
    labels: dict[tuple[int, object], str] = {}
    found = []
    for index, pairs in enumerate(tracks):
        ordered = sorted(pairs, key=lambda pair: pair[0])
        found.append(
            tuple(Turn(region, labels.setdefault((index, who), f"spk{len(labels):02d}")) for region, who in ordered)
        )
    return tuple(found)
