"""Whose voice is it: how each utterance comes to its data subjects, and when that list may be called complete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from schemas.catalogue import CatalogueRow, Role, Span
from schemas.consent import Binding, ConsentLink
from schemas.errors import Reason, Rejected
from schemas.sound import Region, Turn, merged, overlap_samples
from transforms.items import Recording

_CARRIED_BY_ALL = (Role.BACKGROUND, Role.QUOTED, Role.RIGHTS_HOLDER)


@dataclass(frozen=True, slots=True)
class Attribution:
    """The subjects of one utterance and how they were found."""

    subject_ids: tuple[str, ...]
    binding: Binding


def with_span_turns(recording: Recording) -> Recording:
    """Where the catalogue says who speaks when, its spans are the turns: what was heard within each span of speech.

    What the diarizer counted (`voices`, `extra_voice_s`) stays: it listened, the catalogue only told. Speech outside
    every span is attributed to nobody, so no turn carries it.
    """
    spans, decoded = recording.catalogue.spans, recording.decoded
    if not spans or decoded is None:
        return recording
    label_of = {subject: f"spk{n:02d}" for n, subject in enumerate(sorted({span.subject_id for span in spans}))}
    turns = []
    for track, regions in zip(decoded.tracks, recording.speech, strict=True):
        own = [span for span in spans if span.channel is None or span.channel == track.channel]
        found = (
            Turn(part, label_of[span.subject_id])
            for span in own
            if (asked := _region_of(span, track.sample_rate_hz, track.n_samples))
            for region in regions
            if (part := asked & region)
        )
        turns.append(tuple(sorted(set(found))))
    subject_of = {label: subject for subject, label in label_of.items()}
    return replace(recording, turns=tuple(turns), subject_of=subject_of)


def _region_of(span: Span, sample_rate_hz: int, n_samples: int) -> Region | None:
    start, end = round(span.start_s * sample_rate_hz), min(n_samples, round(span.end_s * sample_rate_hz))
    return Region(start, end) if start < end else None


def attribute(recording: Recording, channel: int, region: Region, speaker: str | None) -> Attribution:
    """The subjects of one cut. Raises Rejected(NO_SUBJECT) where the catalogue names people, but nobody here."""
    catalogue = recording.catalogue
    if not catalogue.subjects:
        return Attribution((), Binding.RECORDING)
    speakers = [s for s in catalogue.subjects if s.role is Role.SPEAKER]
    everywhere = [s.subject_id for s in catalogue.subjects if s.role in _CARRIED_BY_ALL]
    if recording.subject_of:
        # Another person's span may overlap this cut: both voices are in it, so both are asked.
        names = _overlapping(recording, channel, region) | ({recording.subject_of[speaker]} if speaker else set())
        return _attributed(sorted(names), everywhere, Binding.SPANS)
    if _is_split(recording) and all(s.channel is not None for s in speakers):
        return _attributed([s.subject_id for s in speakers if s.channel == channel], everywhere, Binding.CHANNEL)
    binding = Binding.SOLE if len(catalogue.subjects) == 1 and recording.voices == 1 else Binding.RECORDING
    return _attributed([s.subject_id for s in speakers], everywhere, binding)


def _is_split(recording: Recording) -> bool:
    return recording.decoded is not None and recording.decoded.downmix == "split"


def _overlapping(recording: Recording, channel: int, region: Region) -> set[str]:
    decoded = recording.decoded
    if decoded is None:
        return set()
    track = next(t for t in decoded.tracks if t.channel == channel)
    spans = [s for s in recording.catalogue.spans if s.channel is None or s.channel == channel]
    return {
        span.subject_id
        for span in spans
        if (asked := _region_of(span, track.sample_rate_hz, track.n_samples)) and asked & region
    }


def _attributed(names: Sequence[str], everywhere: Sequence[str], binding: Binding) -> Attribution:
    if not names:
        raise Rejected(Reason.NO_SUBJECT, "no span or channel of the catalogue covers it", "consent")
    return Attribution(tuple(sorted({*names, *everywhere})), binding)


def links(attribution: Attribution, catalogue: CatalogueRow, grant_of: Mapping[str, str]) -> tuple[ConsentLink, ...]:
    """The `consent` column of one utterance; `grant_of` maps subjects to the grant each was taken in on."""
    role_of = {subject.subject_id: subject.role for subject in catalogue.subjects}
    return tuple(
        ConsentLink(subject, grant_of.get(subject), role_of[subject], attribution.binding)
        for subject in attribution.subject_ids
    )


def is_complete(recording: Recording, min_extra_voice_s: float) -> bool:
    """Everybody heard is listed: the catalogue says so, and a backend that listens heard no further voice."""
    return (
        recording.catalogue.complete
        and bool(recording.catalogue.subjects)
        and recording.extra_voice_s is not None
        and recording.extra_voice_s < min_extra_voice_s
    )


def unattributed_s(recording: Recording) -> float:
    """Seconds of speech that no span of the catalogue covers; 0 where it has no spans."""
    decoded = recording.decoded
    if decoded is None or not recording.catalogue.spans:
        return 0.0
    missing = 0.0
    for track, regions in zip(decoded.tracks, recording.speech, strict=True):
        spans = [s for s in recording.catalogue.spans if s.channel is None or s.channel == track.channel]
        known = merged(r for s in spans if (r := _region_of(s, track.sample_rate_hz, track.n_samples)))
        missing += sum(r.n_samples - overlap_samples(r, known) for r in regions) / track.sample_rate_hz
    return round(missing, 3)
