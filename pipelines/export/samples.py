"""What an exporter is given: an utterance whose use was checked when it was opened, and what vouches for it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas.consent import Justification
from schemas.errors import LakeError
from schemas.instants import to_text
from schemas.releases import ReleaseRecord

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ExportSample:
    """One utterance of a release."""

    key: str
    audio: bytes
    """As it lies in the lake, encoded."""
    codec: str
    """The audio's file name extension: `flac`, `ogg` …"""
    row: Mapping[str, Any]
    """What `{key}.json` says: its row but for its place, with instants as text."""
    justifications: tuple[Justification, ...]
    """The grant and rule that allow it, per subject."""
    allowed_until: datetime

    @property
    def text(self) -> str | None:
        found: str | None = self.row.get("text")
        return found


@dataclass(frozen=True, slots=True)
class Sound:
    """What the audio is, from its own header."""

    sample_rate_hz: int
    n_samples: int

    @property
    def duration_s(self) -> float:
        return self.n_samples / self.sample_rate_hz


def sound_of(sample: ExportSample) -> Sound:
    """Rate and length of the encoded audio, which need not have the recording's own rate. Raises LakeError."""
    import soundfile

    try:
        found = soundfile.info(io.BytesIO(sample.audio))
    except soundfile.LibsndfileError as error:
        raise LakeError(f"{sample.key}.{sample.codec} cannot be read as audio: {error}") from None
    if found.channels != 1:
        raise LakeError(f"{sample.key}.{sample.codec} has {found.channels} channels; an utterance has one")
    return Sound(found.samplerate, found.frames)


def consent_lineage(sample: ExportSample, release: ReleaseRecord) -> Row:
    """Whose voice it is, who allowed it by which grant, in which release, and until when: travels with every record.

    `subject_ids`, `grant_ids` and `rules` go together, one by one. `ledger_position` is where the release was decided,
    so that the same release gives the same bytes again; where the export was checked stands in `export.json`.
    """
    return {
        "release": release.name,
        "release_version": release.version,
        "release_sha256": release.sha256,
        "ledger_position": release.ledger_position,
        "subject_ids": [one.subject_id for one in sample.justifications],
        "grant_ids": [one.grant_id for one in sample.justifications],
        "rules": [one.rule for one in sample.justifications],
        "allowed_until": to_text(sample.allowed_until),
    }


def speaker_of(sample: ExportSample) -> str | None:
    """A name for the voice that is one person's throughout: the subject where there is one, else the recording's own
    label with the recording before it (labels alone name different people in different recordings)."""
    if len(sample.justifications) == 1:
        return sample.justifications[0].subject_id
    label = sample.row.get("speaker")
    return f"{sample.row['recording_id']}-{label}" if label else None
