"""What a scan found: where, and which needle by its number. The needle itself is never in it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pydantic import Field

from schemas.model import Frozen


class Hit(Frozen):
    """One needle in one place; the same one again in that place adds to `count`."""

    object: str
    """URI, with a needle in it replaced by its number."""
    state: str = "current"
    version: str | None = None
    inside: str = ""
    """The way through whatever it is packed in: `gzip at 512 › column text, row group 0`."""
    offset: int
    """First byte of it within the innermost of these; of a voice, where its audio begins."""
    kind: str
    label: str
    encoding: str
    """The detector that found it; of a voice, the kind of audio."""
    detail: str = ""
    count: int = 1
    is_expected: bool = False


class NotOpened(Frozen):
    """What could not be looked into, so that the scan proves nothing about it."""

    object: str
    state: str = "current"
    version: str | None = None
    inside: str = ""
    reason: str


class ScanReport(Frozen):
    """What one scan saw."""

    roots: tuple[str, ...] = ()
    is_keyed: bool = False
    looked_for: dict[str, int] = Field(default_factory=dict)
    """Needles by kind."""
    not_searched: dict[str, int] = Field(default_factory=dict)
    without: tuple[str, ...] = ()
    """Detectors that were switched off."""
    hits: tuple[Hit, ...] = ()
    not_opened: tuple[NotOpened, ...] = ()
    objects: int = 0
    size_bytes: int = 0
    unpacked_bytes: int = 0
    sounds: int = 0
    sound_s: float = 0.0
    vanished: int = 0
    """Objects that were listed and gone when they were to be read; what is there since then is listed once more."""
    vanished_named: int = 0
    """Of these, how many under another name than one that a writer gives what it has not finished."""
    gone: tuple[int, ...] = ()
    """Of one part: which these were, by hashes of their places."""
    listed_at: datetime | None = None
    """When the first listing began: what the report says, it says of what was there then."""
    wall_s: float = 0.0

    @property
    def unexpected(self) -> tuple[Hit, ...]:
        return tuple(hit for hit in self.hits if not hit.is_expected)

    @property
    def expected(self) -> tuple[Hit, ...]:
        return tuple(hit for hit in self.hits if hit.is_expected)

    @property
    def is_complete(self) -> bool:
        """Everything could be opened, by every detector."""
        return not self.not_opened and not self.without

    @property
    def is_clean(self) -> bool:
        """Nothing was found where nothing may be. Only with `is_complete` does it say that nothing is there."""
        return not self.unexpected

    @property
    def has_passed(self) -> bool:
        """What turns a provisional certificate into a final one."""
        return self.is_clean and self.is_complete and not self.is_keyed


_ADDED = ("objects", "size_bytes", "unpacked_bytes", "sounds", "sound_s", "vanished", "vanished_named")


def merged(parts: Iterable[ScanReport], **said: Any) -> ScanReport:
    """The parts of one scan as one, in an order of their own."""
    every = list(parts)
    totals = {name: sum(getattr(part, name) for part in every) for name in _ADDED}
    hits = sorted((hit for part in every for hit in part.hits), key=lambda hit: (hit.object, hit.inside, hit.offset))
    missed = sorted((one for part in every for one in part.not_opened), key=lambda one: (one.object, one.inside))
    found = {
        "hits": tuple(hits),
        "not_opened": tuple(missed),
        "gone": tuple(one for part in every for one in part.gone),
    }
    return ScanReport(**{**totals, **found, **said})
