"""Where the runs of a lake stand, from their commits: also while a run is going on, from another terminal."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime

from lake.commits import read_commits
from lake.lake import Lake
from lake.runs import list_runs
from provoice.words import hours, reasons, several
from schemas.errors import ConfigError
from schemas.records import Commit, Counts, RunRecord


@dataclass(frozen=True)
class Standing:
    """One run's figures."""

    run_id: str
    state: str
    units: int
    committed: int
    planned_sources: int
    ignored: int
    counts: Counts
    cpu_s: float
    first_commit: datetime | None
    last_commit: datetime | None
    restarted_units: int

    @property
    def times_real_time(self) -> float | None:
        """Audio-hours per core-hour."""
        return round(self.counts.source_s / self.cpu_s, 1) if self.cpu_s else None


def standing(run: RunRecord, commits: list[Commit]) -> Standing:
    """A run's figures from its commits."""
    times = sorted(commit.committed_at for commit in commits)
    state = "complete" if len(commits) >= run.units else "closed" if run.is_closed else "unfinished"
    return Standing(
        run_id=run.run_id,
        state=state,
        units=run.units,
        committed=len(commits),
        planned_sources=run.sources,
        ignored=run.ignored,
        counts=sum((commit.counts for commit in commits), Counts()),
        cpu_s=round(sum(sum(commit.seconds.values()) for commit in commits), 3),
        first_commit=times[0] if times else None,
        last_commit=times[-1] if times else None,
        restarted_units=sum(commit.attempt > 1 for commit in commits),
    )


def status(lake_uri: str, run_id: str | None, as_json: bool) -> str:
    """Every run of the lake, or one of them, as text or as JSON lines."""
    lake = Lake.open(lake_uri)
    runs = [run for run in list_runs(lake) if run_id in (None, run.run_id)]
    if run_id is not None and not runs:
        known = ", ".join(run.run_id for run in list_runs(lake)) or "none"
        raise ConfigError(f"{lake.root.uri} has no run {run_id}; its runs: {known}")
    found = [standing(run, list(read_commits(lake, run.run_id))) for run in runs]
    if as_json:
        return "".join(json.dumps(_plain(one)) + "\n" for one in found)
    if not found:
        return f"{lake.root.uri} has no run yet; `provoice run CONFIG --source … --lake {lake_uri}` starts one\n"
    return "\n".join(map(_text, found))


def _plain(one: Standing) -> dict[str, object]:
    plain = {**asdict(one), "counts": one.counts.model_dump(mode="json"), "times_real_time": one.times_real_time}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in plain.items()}


def _text(one: Standing) -> str:
    counts = one.counts
    lines = [
        f"run {one.run_id}: {one.state}, {one.committed} of {several(one.units, 'unit')}"
        f" ({counts.sources:,} of {several(one.planned_sources, 'source')})",
        f"  in        {hours(counts.source_s)} of audio, {hours(counts.speech_s)} of it speech",
        f"  out       {hours(counts.utterance_s)} in {several(counts.utterances, 'utterance')}",
        f"  rejected  {counts.rejected_total:,}   {reasons(counts.rejected)}".rstrip(),
        f"  held      {counts.held_total:,}   {reasons(counts.held)}".rstrip(),
    ]
    if counts.utterances_rejected:
        lines.append(f"  cuts put aside: {reasons(counts.utterances_rejected)}")
    if one.times_real_time is not None:
        lines.append(f"  cost      {hours(one.cpu_s)} of CPU: {one.times_real_time} audio-hours per core-hour")
    if one.restarted_units:
        lines.append(f"  {several(one.restarted_units, 'unit')} needed more than one attempt")
    if one.ignored:
        lines.append(f"  ignored   {one.ignored:,} other files")
    lines.append(
        f"  {counts.sources:,} sources = {counts.emitted:,} emitted + {counts.rejected_total:,} rejected + "
        f"{counts.held_total:,} held + {counts.erased:,} erased"
    )
    return "\n".join(lines) + "\n"
