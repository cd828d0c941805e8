"""Figures as a person reads them: durations, sizes, and the account of a run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from pipelines.plan import PlanSummary
from schemas.records import Counts, RunRecord


def hours(seconds: float) -> str:
    """`2 h 05 min`, `3 min 20 s` or `41.2 s`."""
    if seconds >= 3600:
        return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"
    if seconds >= 60:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{seconds:.1f} s"


def size(size_bytes: float) -> str:
    """`1.4 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size_bytes < 1024 or unit == "TiB":
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    return ""


def several(n: int, one: str, many: str = "") -> str:
    """`1 source`, `2 sources`."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def planned(summary: PlanSummary) -> str:
    """What a run would do."""
    return (
        f"{several(summary.sources, 'source')} in {several(summary.units, 'unit')}, "
        f"about {hours(summary.estimated_s)} of audio, {size(summary.size_bytes)}\n"
        f"{several(summary.ignored, 'other file')} ignored{_causes(summary.ignored_by_cause)}\n"
        + (f"{summary.done:,} left out: done by earlier runs, or held as before\n" if summary.done else "")
        + (f"{summary.without_row:,} sources of which the catalogue says nothing\n" if summary.without_row else "")
        + _unmatched(summary)
    )


def _causes(counts: Mapping[str, int]) -> str:
    return f" ({reasons(counts)})" if counts else ""


def _unmatched(summary: PlanSummary) -> str:
    if not summary.unmatched_rows:
        return ""
    shown = ", ".join(summary.unmatched_examples)
    return f"{several(summary.unmatched_rows, 'catalogue row')} match no source, for instance {shown}\n"


def account(run: RunRecord, counts: Counts, wall_s: float) -> str:
    """Every file of a run, and what became of it."""
    lines = [
        f"run {run.run_id}: {several(counts.sources, 'source')}, {hours(counts.source_s)} of audio, in {hours(wall_s)}",
        f"  emitted   {counts.emitted:>8,}   {several(counts.utterances, 'utterance')}, {hours(counts.utterance_s)}",
        f"  rejected  {counts.rejected_total:>8,}   {reasons(counts.rejected)}".rstrip(),
        f"  held      {counts.held_total:>8,}   {reasons(counts.held)}".rstrip(),
    ]
    if counts.utterances_rejected:
        lines.append(f"  cuts put aside: {reasons(counts.utterances_rejected)}")
    if run.ignored:
        lines.append(f"  ignored   {run.ignored:>8,}   files that sources.include does not match")
    lines.append(
        f"  {counts.sources:,} sources = {counts.emitted:,} emitted + {counts.rejected_total:,} rejected "
        f"+ {counts.held_total:,} held + {counts.erased:,} erased"
    )
    return "\n".join(lines) + "\n"


def reasons(counts: Mapping[str, int]) -> str:
    """`3 no_speech, 1 silent`, most frequent first."""
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return ", ".join(f"{n:,} {reason}" for reason, n in ordered)


def where_to_look(lake_uri: str, counts: Counts) -> str:
    """The next commands, with what they answer."""
    lake = shlex.quote(lake_uri)
    lines = [f'\n  provoice sql {lake} "select key, duration_s, snr_db, accent.label from utterances limit 10"']
    if counts.rejected or counts.held:
        lines.append(
            f"  provoice sql {lake} \"select source_path, reason, detail from recordings where status <> 'emitted'\""
        )
    lines.append(f"  provoice report {lake}")
    return "\n".join(lines) + "\n"
