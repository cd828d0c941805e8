"""What a person asks of an erasure, and what they are told of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from pipelines.engines.contract import Settings
from pipelines.erase.certificate import Remaining
from pipelines.erase.record import Erasure
from pipelines.notices.tell import Told

Report = Callable[[str, int], None]
"""Told what is done, and how many there are of it so far."""


def silent(_what: str, _count: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person asks for."""

    subjects: tuple[str, ...]
    raw: bool = False
    engine: str = "local"
    settings: Settings = field(default_factory=lambda: Settings("provoice-erase"))


@dataclass
class Outcome:
    """What an erasure did, as far as it got. `is_finished` is false where it must look again, at `again_at`."""

    erasure: Erasure
    is_finished: bool = False
    again_at: datetime | None = None
    looks: int = 0
    units: int = 0
    utterances: int = 0
    replaced: dict[str, str | None] = field(default_factory=dict)
    """Releases by the version that stands in for each; None where nothing is left."""
    removed: int = 0
    removed_bytes: int = 0
    foreign: tuple[str, ...] = ()
    """What lies in our folders under names that are not ours, and cannot be read."""
    young: tuple[str, ...] = ()
    """What somebody may be writing now, and nobody can look into."""
    told: Told = field(default_factory=Told)
    """Who trained on a release that was replaced, and was told."""
    certificate: str = ""
    """Where it lies; empty before the end."""
    versions: int = 0
    """Versions of deleted objects that were removed, too."""
    kept: tuple[Remaining, ...] = ()
    """What stores keep of what was deleted, and do not let go."""
    raw_deleted: int = 0
    raw_remaining: dict[str, int] = field(default_factory=dict)
    """Raw sources that stay, and why."""
    wall_s: float = 0.0
