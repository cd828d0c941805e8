"""Ledger events: what was said about consent, in the order in which it was recorded. Never edited, only added to."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, model_validator

from schemas.consent import Grant
from schemas.instants import Instant
from schemas.model import Frozen
from schemas.vocabulary import Vocabulary


class EventType(StrEnum):
    """What an event says."""

    GIVEN = "given"
    REFUSED = "refused"
    REAFFIRMED = "reaffirmed"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    INVALIDATED = "invalidated"
    CATALOGUE_CHANGED = "catalogue_changed"
    VOCABULARY = "vocabulary"
    """A version of the vocabulary, whole; from here on decisions speak it."""
    OPENED = "opened"
    """Somebody opened a release for training."""
    USED = "used"
    """Something was trained on a release."""
    ACKNOWLEDGED = "acknowledged"
    """Whoever answers for such a use has read the notice that `note` names."""
    RETIRING = "retiring"
    """A model is to be retired, for somebody in it has taken back what they allowed."""
    RETIRED = "retired"
    """A model is not used any more."""
    EXEMPTED = "exempted"
    """A model stays in use although somebody in it has taken that back; `note` says why."""
    ERASURE_STARTED = "erasure_started"
    """Everything that was made from a person's voice is being removed."""
    ERASED = "erased"
    """It was removed; the certificate that `note` names says what."""


ENDS_GRANT = frozenset({EventType.WITHDRAWN, EventType.REFUSED, EventType.INVALIDATED})
"""These end a grant for good: a new yes is a new `grant_id`."""


class ReleaseRef(Frozen):
    """The release that an event speaks of, and the ledger position at which it was looked at."""

    lake: str
    name: str
    version: int
    sha256: str
    ledger_position: int


ABOUT_RELEASES = frozenset({EventType.OPENED, EventType.USED, EventType.ACKNOWLEDGED})
"""These name a release and who answers for what was done with it."""
ABOUT_MODELS = frozenset({EventType.RETIRING, EventType.RETIRED, EventType.EXEMPTED})
"""These move a model that was registered by `used` from one state to another."""
_SAYS_WHAT = frozenset({EventType.ACKNOWLEDGED, EventType.EXEMPTED})


class Event(Frozen):
    """One event. `given` carries the whole grant. An event about a subject without `grant_id` is about every grant
    of theirs recorded before it. Repeated `event_id`s fold once: the first counts."""

    event_id: str = Field(min_length=1, max_length=256)
    type: EventType
    recorded_at: Instant
    subject_id: str | None = None
    grant_id: str | None = None
    grant: Grant | None = None
    source_root: str | None = None
    source_path: str | None = None
    catalogue_row_sha256: str | None = None
    vocabulary: Vocabulary | None = None
    release: ReleaseRef | None = None
    owner: str | None = None
    """Who answers for the opening, or for what was trained."""
    purpose: str | None = None
    model: str | None = None
    """What was trained."""
    note: str | None = None

    @model_validator(mode="after")
    def _whole(self) -> Event:
        if self.type is EventType.GIVEN:
            if self.grant is None:
                raise ValueError("a `given` event carries its `grant`")
            if (self.subject_id, self.grant_id) != (self.grant.subject_id, self.grant.grant_id):
                raise ValueError("a `given` event and its grant must name the same subject and grant")
        elif self.grant is not None:
            raise ValueError(f"only `given` carries a grant, not `{self.type}`")
        elif self.type is EventType.CATALOGUE_CHANGED:
            if self.source_root is None or self.source_path is None:
                raise ValueError("a `catalogue_changed` event names source_root and source_path")
        elif self.type is EventType.VOCABULARY:
            if self.vocabulary is None:
                raise ValueError("a `vocabulary` event carries its `vocabulary`")
        elif self.type in ABOUT_RELEASES:
            if self.release is None or not self.owner:
                raise ValueError(f"a `{self.type}` event names its release and owner")
        elif self.type in ABOUT_MODELS:
            if not self.model or not self.owner:
                raise ValueError(f"a `{self.type}` event names its model and owner")
        elif self.subject_id is None:
            raise ValueError(f"a `{self.type}` event names its subject_id")
        if self.type in _SAYS_WHAT and not self.note:
            raise ValueError(f"a `{self.type}` event says in `note` which notice it is about, or why")
        return self
