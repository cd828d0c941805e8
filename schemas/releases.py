"""What a release says of itself: `releases/<name>/<version>/release.json`, written once."""

from __future__ import annotations

import hashlib
import json

from pydantic import Field

from schemas.consent import Use
from schemas.instants import Instant
from schemas.model import Frozen
from schemas.records import FORMAT_VERSION, StoredObject


class Share(Frozen):
    """Utterances, seconds of audio, and the people in them."""

    utterances: int = 0
    audio_s: float = 0.0
    people: int = 0


class Attrition(Frozen):
    """How one group fared: what was there to choose from, and what is in the release.

    `value` None: not known; or, where `is_suppressed`, all groups of fewer than SMALLEST_GROUP people together. Figures
    are None where even those are too few.
    """

    value: str | None
    is_suppressed: bool = False
    candidates: Share | None
    chosen: Share | None


SMALLEST_GROUP = 10
"""Groups of fewer people are put together without a name: figures about one person are that person's data."""


class Demands(Frozen):
    """What a release demands of whoever opens it."""

    max_ledger_age_s: float = Field(default=900.0, gt=0)
    """How long a loader may go on without having reached the ledger."""
    record_openings: bool = False
    """Refuse to open where the opening cannot be recorded in the ledger."""


class Lineage(Frozen):
    """The version that another one stands in for, of which only this and its own record are left."""

    version: int
    sha256: str
    """Of its record, which named its index by digest."""
    reason: str
    ledger_position: int
    """Up to which the ledger was read when it was replaced."""
    left_out: Share
    """What it held and the new version does not."""


class Replaced(Frozen):
    """`releases/<name>/<version>/replaced.json`: from here on nobody may open the version; its index is removed."""

    format_version: int = FORMAT_VERSION
    sha256: str
    """Of the version's record."""
    by: int | None
    """The version that stands in for it; None where nothing was left of it."""
    reason: str
    erasure: int | None = None
    """The number of the erasure that replaced it."""
    audit: StoredObject | None = None
    """Its audit rows, where its record names none; within the ledger's root."""
    replaced_at: Instant


class ReleaseRecord(Frozen):
    """An immutable, named selection of utterances for one use, with the decision behind each in its index."""

    format_version: int = FORMAT_VERSION
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    version: int = Field(ge=1)
    use: Use
    where: str | None = None
    """The choice by quality, as SQL over `utterances`; None: everything that is allowed."""
    ledger_position: int
    decided_at: Instant
    vocabulary_version: str | None = None
    snapshot: int | None = None
    """The newest snapshot that was read; commits that it had not folded were read, too."""
    candidates: Share
    """Current utterances, before any clause."""
    matching: Share
    """Those that `where` matches."""
    chosen: Share
    """Those that are also allowed: the rows of the index."""
    denied: dict[str, Share] = Field(default_factory=dict)
    """Of those that match: by the first reason that denies."""
    attrition: dict[str, tuple[Attrition, ...]] = Field(default_factory=dict)
    """By accent, gender and subject, from candidates to chosen; subjects, each one person, by how much of theirs is
    chosen."""
    index: tuple[StoredObject, ...] = ()
    audit: StoredObject | None = None
    """Its audit rows, within the ledger's root; None for releases that were made before there were any."""
    demands: Demands = Demands()
    created_at: Instant
    replaces: Lineage | None = None
    """The version whose place this one took, when something was erased from that."""
    replaced: Replaced | None = Field(default=None, exclude=True)
    """What says that this version must not be opened any more; it lies beside the record, which never changes."""
    sha256: str = ""
    """Over the canonical JSON of everything else; the index is named by digest, so this vouches for every row."""

    def digest(self) -> str:
        """What `sha256` must be."""
        # What records of earlier versions cannot have must not change their digest.
        since = {name for name in ("replaces", "audit") if getattr(self, name) is None}
        content = self.model_dump(mode="json", exclude={"sha256", *since})
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def sealed(self) -> ReleaseRecord:
        return self.model_copy(update={"sha256": self.digest()})
