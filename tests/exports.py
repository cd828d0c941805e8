"""Samples of a release for exporters, with known sound, and no lake behind them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import soundfile

from pipelines.export.export import Checked, export
from pipelines.export.record import ExportRecord, Form
from pipelines.export.samples import ExportSample
from schemas import ids
from schemas.consent import Justification, Use
from schemas.releases import ReleaseRecord, Share

NOW = datetime(2026, 6, 1, tzinfo=UTC)
UNTIL = datetime(2026, 12, 31, tzinfo=UTC)
ENDS = datetime(2026, 9, 1, tzinfo=UTC)
RATE_HZ = 16_000
USE = Use(
    action="train_asr", medium="any", genre="FB", series="any", role="any", recipient="own", territory="DE",
    until=UNTIL,
)  # fmt: skip


def flac(hz: float, n_samples: int = 8000) -> bytes:
    """A tone, with a length of its own, so that no two samples are alike."""
    file = io.BytesIO()
    sound = 0.3 * np.sin(2 * np.pi * hz * np.arange(n_samples) / RATE_HZ)
    soundfile.write(file, sound, RATE_HZ, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def sample(n: int, people: Sequence[str] = ("anna",), **row: Any) -> ExportSample:
    """Sample `n`: a tone of `200 + 10 n` Hz, of `8000 + n` samples, spoken by `people`."""
    recording = hashlib.blake2b(str(n).encode(), digest_size=16).hexdigest()
    key = ids.utterance_key(recording, 0, 0, 8000 + n, "spk00")
    audio = flac(200 + 10 * n, 8000 + n)
    consent = [{"subject_id": p, "grant_id": f"old-{p}", "role": "speaker", "binding": "sole"} for p in people]
    values: dict[str, Any] = {
        "key": key, "recording_id": recording, "audio_sha256": hashlib.sha256(audio).hexdigest(), "channel": 0,
        "sample_rate_hz": RATE_HZ, "start_sample": 0, "end_sample": 8000 + n, "duration_s": (8000 + n) / RATE_HZ,
        "speaker": "spk00", "snr_db": 20.5 + n, "c50_db": None, "quality_flags": ["short"],
        "accent": {"label": "Scottish", "score": None, "label_set": "made-1", "origin": "declared"},
        "language": "en-GB", "text": f"sentence {n}", "gender": "female", "age_group": None,
        "synthetic": {"state": "captured", "evidence": []}, "collected_at": "2026-05-01T10:00:00Z",
        "extra": {"microphone": "dynamic"}, "consent": consent, "grant_ids": [], "consent_complete": True,
        "lineage": {
            "source_root": "raw", "source_path": f"{n}.wav", "source_version": "v1", "source_sha256": None,
            "catalogue_row_sha256": "0" * 64, "parents": [recording], "run_id": "first", "recipe_sha256": "a" * 64,
            "models": {"silero_vad": "6.2.3"},
        },
        "loudest_word": "well", **row,
    }  # fmt: skip
    justified = tuple(Justification(p, f"g-{p}", 0, UNTIL, ENDS) for p in sorted(people))
    return ExportSample(key, audio, "flac", values, justified, ENDS)


def samples() -> list[ExportSample]:
    """Texts of every kind (none, empty, of many scripts), one and many people."""
    return [
        sample(0),
        sample(1, text="Grüße, 你好 — мир 🎙️\nzweite Zeile"),
        sample(2, text=""),
        sample(3, text=None, language=None, gender=None, accent=None, collected_at=None),
        sample(4, [f"person-{n:03d}" for n in range(300)]),
    ]


def release(chosen: Sequence[ExportSample] = (), **fields: Any) -> ReleaseRecord:
    """A release of `chosen`, sealed."""
    seconds = round(sum(one.row["duration_s"] for one in chosen), 6)
    share = Share(utterances=len(chosen), audio_s=seconds, people=301)
    values: dict[str, Any] = {
        "name": "gold", "version": 2, "use": USE, "where": "snr_db > 15", "ledger_position": 7, "decided_at": NOW,
        "candidates": share, "matching": share, "chosen": share, "created_at": NOW,
    }  # fmt: skip
    return ReleaseRecord(**{**values, **fields}).sealed()


def export_to(folder: Any, form: Form, chosen: Sequence[ExportSample], **options: Any) -> ExportRecord:
    """An export of `chosen` as the command would write it."""
    return export(
        chosen, release(chosen), str(folder), form, owner="speech team", purpose="export",
        checked=lambda: Checked(9, NOW, {}), **options,
    )  # fmt: skip
