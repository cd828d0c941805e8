"""Lhotse: `cuts.jsonl.gz` with one MonoCut per utterance, and its audio as files beside.

Files, not Shar or audio within the manifest: any recipe opens a manifest with `CutSet.from_file`, the audio serves
other tools, too, and `cuts.to_shar(…, {"recording": "original"})` makes tars of it without encoding anything again.
Source: https://lhotse.readthedocs.io (cuts, recordings, supervisions), version 1.33.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from typing import Any

from pipelines.export.rows import json_line
from pipelines.export.samples import ExportSample, Row, consent_lineage, sound_of, speaker_of
from pipelines.export.target import Target
from schemas.releases import ReleaseRecord

MANIFEST = "cuts.jsonl.gz"
_OWN_PLACE = {"key", "text", "language", "gender", "speaker", "duration_s"}
"""Columns of the row that a cut has a word of its own for; all others are in `custom`, under their names."""


def write(samples: Iterable[ExportSample], release: ReleaseRecord, target: Target, shard_bytes: int) -> None:
    """One manifest, whatever its size: Lhotse reads it line by line. `shard_bytes` has nothing to divide."""
    del shard_bytes
    local = target.folder / MANIFEST
    rows = 0
    # mtime and filename: else gzip writes down when, and from where.
    with local.open("xb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as file:
        for sample in samples:
            path = target.put_audio(sample.key, sample.codec, sample.audio)
            file.write(json_line(cut_of(sample, release, path)) + b"\n")
            rows += 1
    target.put("manifest", MANIFEST, local, rows)


def cut_of(sample: ExportSample, release: ReleaseRecord, path: str) -> Row:
    """The cut of one utterance; `path` is relative to the manifest, and told apart by `with_recording_path_prefix`."""
    sound = sound_of(sample)
    whole: dict[str, Any] = {"start": 0.0, "duration": sound.duration_s, "channel": 0}
    return {
        "id": sample.key,
        **whole,
        "supervisions": [_supervision(sample, whole)],
        "recording": {
            "id": sample.key,
            "sources": [{"type": "file", "channels": [0], "source": path}],
            "sampling_rate": sound.sample_rate_hz,
            "num_samples": sound.n_samples,
            "duration": sound.duration_s,
            "channel_ids": [0],
        },
        "custom": {
            **{name: value for name, value in sample.row.items() if name not in _OWN_PLACE},
            "consent_lineage": consent_lineage(sample, release),
        },
        "type": "MonoCut",
    }


def _supervision(sample: ExportSample, whole: Row) -> Row:
    known = {
        "text": sample.text,
        "language": sample.row.get("language"),
        "speaker": speaker_of(sample),
        "gender": sample.row.get("gender"),
    }
    said = {name: value for name, value in known.items() if value is not None}
    return {"id": sample.key, "recording_id": sample.key, **whole, **said}
