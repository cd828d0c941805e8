"""NeMo: `manifest.jsonl`, one JSON object per utterance, and its audio as files beside.

`audio_filepath` is relative, which NeMo resolves against the manifest's folder; `text` is left out where there is no
transcript; keys that NeMo does not know travel along as custom fields.
Source: NeMo 3.0, LazyNeMoIterator and the documentation of its ASR data sets.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipelines.export.rows import json_line
from pipelines.export.samples import ExportSample, Row, consent_lineage, sound_of, speaker_of
from pipelines.export.target import Target
from schemas.releases import ReleaseRecord

MANIFEST = "manifest.jsonl"
_OWN_PLACE = {"text", "language", "speaker", "duration_s"}
"""Columns of the row that NeMo has a name of its own for; all others keep theirs."""
_RESERVED = {"audio_filepath", "duration", "offset", "lang", "sampling_rate", "sample_rate", "shard_id", "_skipme"}
"""Words that NeMo acts on: a column of a stage of one's own that bears one is written as `own_…`."""


def write(samples: Iterable[ExportSample], release: ReleaseRecord, target: Target, shard_bytes: int) -> None:
    """One manifest, whatever its size. `shard_bytes` has nothing to divide."""
    del shard_bytes
    local = target.folder / MANIFEST
    rows = 0
    with local.open("xb") as file:
        for sample in samples:
            path = target.put_audio(sample.key, sample.codec, sample.audio)
            file.write(json_line(line_of(sample, release, path)) + b"\n")
            rows += 1
    target.put("manifest", MANIFEST, local, rows)


def line_of(sample: ExportSample, release: ReleaseRecord, path: str) -> Row:
    """The manifest's line for one utterance."""
    sound = sound_of(sample)
    known = {"text": sample.text, "lang": sample.row.get("language"), "speaker": speaker_of(sample)}
    rest = {
        f"own_{name}" if name in _RESERVED else name: value
        for name, value in sample.row.items()
        if name not in _OWN_PLACE and value is not None
    }
    return {
        "audio_filepath": path,
        "duration": sound.duration_s,
        "sampling_rate": sound.sample_rate_hz,
        **{name: value for name, value in known.items() if value is not None},
        **rest,
        "consent_lineage": consent_lineage(sample, release),
    }
