"""A catalogue row: who speaks in a source, and what else its owner knows of it."""

from __future__ import annotations

import hashlib
from enum import StrEnum

from pydantic import Field, model_validator

from schemas.instants import Instant
from schemas.model import Frozen


class Role(StrEnum):
    """In which role a person is heard."""

    SPEAKER = "speaker"
    BACKGROUND = "background"
    QUOTED = "quoted"
    RIGHTS_HOLDER = "rights_holder"


class Span(Frozen):
    """Seconds of one channel in which one person speaks (an RTTM line, or a manifest's segment)."""

    subject_id: str = Field(min_length=1)
    start_s: float = Field(ge=0)
    end_s: float = Field(gt=0)
    channel: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> Span:
        if self.end_s <= self.start_s:
            raise ValueError(f"a span needs start < end, not {self.start_s}..{self.end_s}")
        return self


class TextSpan(Frozen):
    """A piece of transcript with its place in seconds."""

    start_s: float = Field(ge=0)
    end_s: float = Field(gt=0)
    text: str


class Subject(Frozen):
    """One data subject heard in a source."""

    subject_id: str = Field(min_length=1, max_length=256)
    role: Role = Role.SPEAKER
    channel: int | None = Field(default=None, ge=0)
    gender: str | None = None
    age_group: str | None = None


class CatalogueRow(Frozen):
    """What the catalogue says of one source. Rows never merge: an exact path beats the longest prefix.

    `complete` is the owner's word that `subjects` lists everybody who can be heard.
    """

    subjects: tuple[Subject, ...] = ()
    complete: bool = False
    spans: tuple[Span, ...] = ()
    grant_ids: tuple[str, ...] = ()
    collected_at: Instant | None = None
    language: str | None = None
    accent: str | None = None
    text: str | None = None
    text_spans: tuple[TextSpan, ...] = ()
    synthetic: bool | None = None
    speakers: int | None = Field(default=None, ge=1)
    extra: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> CatalogueRow:
        names = [subject.subject_id for subject in self.subjects]
        if len(set(names)) != len(names):
            raise ValueError(f"a subject is listed twice: {', '.join(names)}")
        strangers = {span.subject_id for span in self.spans} - set(names)
        if strangers:
            raise ValueError(f"spans name people who are not among the subjects: {', '.join(sorted(strangers))}")
        return self

    def to_json(self) -> str:
        """Canonical JSON: what travels in the plan, and what the digest is over."""
        return self.model_dump_json(exclude_defaults=True)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.to_json().encode()).hexdigest()
