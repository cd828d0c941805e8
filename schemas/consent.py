"""Permissions of a data subject, what is asked of them, and what is answered.

The shape follows ISO/IEC TS 27560 (a consent record with its evidence and events) and GA4GH DUO (a permission with
modifiers that narrow it). Rules for deciding are in `transforms/consent.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import Field, model_validator

from schemas.catalogue import Role
from schemas.instants import BeginInstant, EndInstant
from schemas.model import Frozen

ANY = "any"
"""Written out where a rule does not narrow a term. An empty list is refused: silence is not permission."""


class Action(StrEnum):
    """The closed list of what can be asked for."""

    RETAIN = "retain"
    ANNOTATE = "annotate"
    EMBED = "embed"
    TRAIN_ASR = "train_asr"
    TRAIN_TTS = "train_tts"
    TRAIN_TAGGER = "train_tagger"
    CLONE = "clone"
    SYNTHESISE = "synthesise"
    EVALUATE = "evaluate"
    SHARE = "share"
    PUBLISH = "publish"


class Binding(StrEnum):
    """How an utterance came to its subjects, from the surest to the broadest."""

    SOLE = "sole"
    CHANNEL = "channel"
    SPANS = "spans"
    ENROLLED = "enrolled"
    RECORDING = "recording"


TERMS = ("medium", "genre", "series", "role", "recipient", "territory")
"""The open terms that rules and uses share."""


class Rule(Frozen):
    """Permits or prohibits; every list is stated, and `any` is written out."""

    effect: Literal["permit", "prohibit"]
    action: tuple[Action | Literal["any"], ...] = Field(min_length=1)
    medium: tuple[str, ...] = Field(min_length=1)
    genre: tuple[str, ...] = Field(min_length=1)
    series: tuple[str, ...] = Field(min_length=1)
    role: tuple[str, ...] = Field(min_length=1)
    recipient: tuple[str, ...] = Field(min_length=1)
    territory: tuple[str, ...] = Field(min_length=1)
    durable_until: EndInstant | None = None
    """The latest `until` that a request under this rule may ask for; None: no later than the grant's own end."""


class RecordingRef(Frozen):
    """A recording named by root and path, for a grant that lists what it covers."""

    root: str
    path: str


class DataScope(Frozen):
    """Which recordings a grant speaks about: all, those listed, or those collected in a period (half-open)."""

    kind: Literal["all", "recordings", "collected"]
    recordings: tuple[RecordingRef, ...] = ()
    collected_from: BeginInstant | None = None
    collected_until: EndInstant | None = None

    @model_validator(mode="after")
    def _stated(self) -> DataScope:
        if self.kind == "recordings" and not self.recordings:
            raise ValueError("a scope of kind `recordings` lists at least one")
        if self.kind == "collected" and (self.collected_from is None or self.collected_until is None):
            raise ValueError("a scope of kind `collected` needs collected_from and collected_until")
        return self


class Grant(Frozen):
    """One recorded permission of a subject. Its validity window must end; a renewal is a new grant."""

    grant_id: str = Field(min_length=1, max_length=256)
    subject_id: str = Field(min_length=1, max_length=256)
    evidence_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    jurisdiction: str = Field(min_length=2)
    scope: DataScope
    valid_from: BeginInstant
    valid_until: EndInstant
    rules: tuple[Rule, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ends(self) -> Grant:
        if self.valid_until <= self.valid_from:
            raise ValueError("valid_until must be later than valid_from")
        return self


class Use(Frozen):
    """A request. `any` asks for the whole breadth of a term, so only a rule that says `any` permits it."""

    action: Action
    medium: str
    genre: str
    series: str
    role: str
    recipient: str
    territory: str
    until: EndInstant


@dataclass(frozen=True, slots=True)
class ConsentLink:
    """One element of the `consent` column: whose voice, on which grant it was taken in. Never a stored "yes"."""

    subject_id: str
    grant_id: str | None
    role: Role
    binding: Binding


@dataclass(frozen=True, slots=True)
class ConsentRecord:
    """What the decision reads of a recording or an utterance."""

    subject_ids: tuple[str, ...]
    complete: bool
    source_root: str
    source_path: str
    collected_at: datetime | None = None
    grant_ids: tuple[str, ...] = ()
    """When not empty, only these grants count."""
    catalogue_row_sha256: str | None = None
    """Digest of the catalogue row it was made with; denied once the ledger knows another."""


class DenyReason(StrEnum):
    """Why a request is denied, or a recording held: the closed list."""

    NO_SUBJECT = "no_subject"
    INCOMPLETE = "incomplete"
    NO_GRANT = "no_grant"
    NOT_YET_VALID = "not_yet_valid"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    REFUSED = "refused"
    INVALIDATED = "invalidated"
    OUT_OF_SCOPE = "out_of_scope"
    UNKNOWN_TERM = "unknown_term"
    NOT_PERMITTED = "not_permitted"
    PROHIBITED = "prohibited"
    TOO_LATE = "too_late"
    CATALOGUE_CHANGED = "catalogue_changed"
    EXTRA_VOICE = "extra_voice"
    SUPPRESSED = "suppressed"


@dataclass(frozen=True, slots=True)
class Justification:
    """Which grant and which of its rules (by index) permit a use for one subject.

    `until` is the latest end that a request may ask for under the rule; `ends_at` is when the grant's window closes,
    and the justification with it.
    """

    subject_id: str
    grant_id: str
    rule: int
    until: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Denial:
    """The first reason found for one subject (or for the record, then `subject_id` is None), in plain words."""

    reason: DenyReason
    detail: str
    subject_id: str | None = None
    grant_id: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Allowed exactly when nothing denies. `position` is the ledger position it was made at."""

    position: int
    at: datetime
    justifications: tuple[Justification, ...] = ()
    denials: tuple[Denial, ...] = ()

    use_until: datetime | None = None
    """Until when the request itself lasts."""

    @property
    def is_allowed(self) -> bool:
        return not self.denials

    @property
    def allowed_until(self) -> datetime | None:
        """The earliest end among the justifications and the request's own; None where it is denied or unasked."""
        if not self.is_allowed:
            return None
        ends = [one.ends_at for one in self.justifications] + ([self.use_until] if self.use_until else [])
        return min(ends, default=None)
