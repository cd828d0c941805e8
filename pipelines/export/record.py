"""`export.json`, written last: what an export holds, and what it was checked against."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from schemas.instants import Instant
from schemas.model import Frozen
from schemas.records import FORMAT_VERSION, StoredObject


class Form(StrEnum):
    """What the samples are written as."""

    WEBDATASET = "webdataset"
    LHOTSE = "lhotse"
    NEMO = "nemo"
    HUGGINGFACE = "huggingface"


class Started(Frozen):
    """`export.started.json`: there from the first object until `export.json` is written."""

    form: Form
    release: str
    version: int
    sha256: str
    writer: str
    """Token of the command that writes: whoever finds another's here at the end has been overtaken."""


class ExportRecord(Frozen):
    """`export.json`: where it lies, the export is whole."""

    format_version: int = FORMAT_VERSION
    form: Form
    release: str
    version: int
    release_sha256: str
    owner: str
    purpose: str
    decided_position: int
    """Ledger position at which the release was decided."""
    checked_position: int
    """Ledger position at which every record was checked again."""
    checked_at: Instant
    utterances: int
    audio_s: float
    people: int
    skipped: dict[str, int] = Field(default_factory=dict)
    """Rows of the release that are left out because they may no longer be used, by reason."""
    files: tuple[StoredObject, ...]
    """Every file but this one; audio files that lie singly are counted in `audio_files`, for their records hold
    their digests."""
    audio_files: int = 0
