"""Rows of the two tables, from what the stages found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from pipelines.gate import Held
from pipelines.plan import PlannedSource
from schemas.catalogue import CatalogueRow
from schemas.consent import ConsentLink
from schemas.errors import RETRIABLE, Reason, Rejected
from schemas.sound import total_samples
from transforms.binding import unattributed_s
from transforms.items import Measurements, Recording, Utterance

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RunNames:
    """What every row says about the run that made it."""

    run_id: str
    unit_id: str
    recipe_sha256: str


def _mapping(values: Mapping[str, str]) -> list[tuple[str, str]]:
    return sorted(values.items())


def _consent(links: Sequence[ConsentLink]) -> list[Row]:
    return [
        {"subject_id": x.subject_id, "grant_id": x.grant_id, "role": x.role.value, "binding": x.binding.value}
        for x in links
    ]


def _synthetic(row: CatalogueRow) -> Row:
    if row.synthetic is None:
        return {"state": "not_checked", "evidence": []}
    evidence = {"kind": "catalogue", "detail": "declared by the catalogue", "origin": "declared", "confidence": None}
    return {"state": "synthetic" if row.synthetic else "captured", "evidence": [evidence]}


def utterance_row(
    utterance: Utterance, planned: PlannedSource, recording: Recording, links: Sequence[ConsentLink], complete: bool,
    names: RunNames,
) -> Row:  # fmt: skip
    """The utterance's row but for its place in a tar and the digest of its audio."""
    row, region, rate = utterance.catalogue, utterance.region, utterance.track.sample_rate_hz
    sole = row.subjects[0] if len(row.subjects) == 1 else None
    measured = utterance.measurements
    return {
        "key": utterance.key,
        "recording_id": utterance.recording_id,
        "channel": utterance.track.channel,
        "sample_rate_hz": rate,
        "start_sample": region.start_sample,
        "end_sample": region.end_sample,
        "duration_s": round(utterance.duration_s, 6),
        "speaker": utterance.speaker,
        **{field.name: getattr(measured, field.name) for field in fields(Measurements)},
        "quality_flags": list(utterance.quality_flags),
        "accent": None if utterance.accent is None else asdict(utterance.accent),
        "language": row.language,
        "text": utterance.text,
        "gender": sole.gender if sole else None,
        "age_group": sole.age_group if sole else None,
        "synthetic": _synthetic(row),
        "collected_at": row.collected_at,
        "extra": _mapping(row.extra),
        "consent": _consent(links),
        "grant_ids": list(row.grant_ids),
        "consent_complete": complete,
        "lineage": {
            "source_root": planned.source.root,
            "source_path": planned.source.path,
            "source_version": planned.source.version,
            "source_sha256": recording.source_sha256,
            "catalogue_row_sha256": planned.catalogue_row_sha256,
            "parents": [*([utterance.parent_key] if utterance.parent_key else []), utterance.recording_id],
            "run_id": names.run_id,
            "recipe_sha256": names.recipe_sha256,
            "models": _mapping({**recording.models, **utterance.models}),
        },
        "restored": [asdict(change) for change in utterance.restored] or None,
        **utterance.columns,
    }


def recording_row(
    planned: PlannedSource,
    names: RunNames,
    recording: Recording | None,
    *,
    outcome: Rejected | Held | None,
    utterances: Sequence[Row] = (),
    cuts_rejected: Mapping[Reason, int] | None = None,
    links: Sequence[ConsentLink] = (),
    complete: bool = False,
) -> Row:
    """The row that every source gets, whatever became of it; `outcome` is None when it was emitted."""
    row = planned.catalogue or CatalogueRow()
    source = planned.source
    return {
        "recording_id": source.recording_id,
        "source_root": source.root,
        "source_path": source.path,
        "source_version": source.version,
        "source_size_bytes": source.size_bytes,
        "source_sha256": recording.source_sha256 if recording else None,
        "run_id": names.run_id,
        "unit_id": names.unit_id,
        "recipe_sha256": names.recipe_sha256,
        **_outcome(outcome),
        **(_decoded(recording) if recording else {}),
        "utterances": len(utterances),
        "utterance_s": round(sum(u["duration_s"] for u in utterances), 6),
        "utterances_rejected": [
            {"reason": reason.value, "count": count} for reason, count in sorted((cuts_rejected or {}).items())
        ],
        "language": row.language,
        "collected_at": row.collected_at,
        "catalogue_row_sha256": planned.catalogue_row_sha256,
        "extra": _mapping(row.extra),
        "consent": _consent(links),
        "grant_ids": list(row.grant_ids),
        "consent_complete": complete,
    }


def _outcome(outcome: Rejected | Held | None) -> Row:
    if outcome is None:
        return {"status": "emitted", "stage": None, "reason": None, "detail": None, "retriable": False}
    if isinstance(outcome, Held):
        said = {"status": "held", "stage": "consent", "reason": outcome.reason.value, "retriable": True}
    else:
        said = {
            "status": "rejected",
            "stage": outcome.stage or "unit",
            "reason": outcome.reason.value,
            "retriable": outcome.reason in RETRIABLE,
        }
    return {**said, "detail": outcome.detail}


def _decoded(recording: Recording) -> Row:
    decoded = recording.decoded
    if decoded is None:
        return {}
    rate = decoded.sample_rate_hz
    channels = [track.channel for track in decoded.tracks]
    return {
        "container": decoded.container,
        "codec": decoded.codec,
        "decoder": decoded.decoder,
        "notes": [*decoded.notes, *_span_notes(recording)],
        "sample_rate_hz": rate,
        "channels": decoded.channels,
        "downmix": decoded.downmix,
        "n_samples": decoded.n_samples,
        "duration_s": round(decoded.n_samples / rate, 6),
        "header_duration_s": decoded.header_duration_s,
        "speech_s": round(sum(total_samples(regions) for regions in recording.speech) / rate, 6),
        "voices": recording.voices,
        "channel_measurements": [asdict(measured) for measured in decoded.channel_measurements],
        "regions": [
            {"channel": channel, "start_sample": r.start_sample, "end_sample": r.end_sample}
            for channel, regions in zip(channels, recording.speech, strict=False)
            for r in regions
        ],
        "turns": [
            {
                "channel": c,
                "start_sample": t.region.start_sample,
                "end_sample": t.region.end_sample,
                "speaker": t.speaker,
            }
            for c, turns in zip(channels, recording.turns, strict=False)
            for t in turns
        ],
    }


def _span_notes(recording: Recording) -> list[str]:
    missing_s = unattributed_s(recording)
    return [f"{missing_s:.1f} s of speech lie in no span of the catalogue and were not cut"] if missing_s >= 0.1 else []


def counted(rows: Sequence[Row], status: str) -> dict[str, int]:
    """How many rows of one status there are, by reason."""
    return dict(sorted(Counter(row["reason"] for row in rows if row["status"] == status).items()))
