"""Where the runs of a lake stand, from their commits: also while a run is going on, from another terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from lake.lake import Lake
from lake.reader import LakeReader
from lake.runs import list_runs
from provoice.asking import plain
from provoice.sql import connect, records
from provoice.words import hours, reasons, several
from schemas.errors import ConfigError
from schemas.records import Counts, RunRecord

_RECENT = 50
"""Commits over which pace is taken: a run that was resumed after days is as fast as it is now."""

_LONG_AGO_S = 48 * 3600.0


@dataclass(frozen=True)
class Standing:
    """One run's figures."""

    run_id: str
    number: int
    state: str
    """`complete`, `closed` or `unfinished`."""
    units: int
    committed: int
    planned_sources: int
    ignored: int
    counts: Counts
    cpu_s: float
    wall_s: float
    created_at: datetime
    first_commit: datetime | None
    last_commit: datetime | None
    retried_units: int
    pace: float | None
    """Audio-hours per hour, over the last commits; None before the second."""
    left_s: float | None
    """Seconds that the rest takes at this pace; None where nothing is left or nothing can be said."""

    @property
    def times_real_time(self) -> float | None:
        """Audio-hours per core-hour."""
        return round(self.counts.source_s / self.cpu_s, 1) if self.cpu_s else None


_FIGURES = """
select run_number, count(*) filter (sources > 0)::bigint as committed,
    round(sum(cpu_s), 3) as cpu_s, round(sum(wall_s), 3) as wall_s,
    min(committed_at) as first_commit, max(committed_at) as last_commit, count(*) filter (attempt > 1) as retried_units,
    arg_max({'at': committed_at, 'wall_s': wall_s, 'audio_s': source_s}, committed_at, $1) as newest,
    sum(sources)::bigint as sources, sum(emitted)::bigint as emitted, sum(erased)::bigint as erased,
    sum(utterances)::bigint as utterances, sum(source_bytes)::bigint as source_bytes,
    round(sum(source_s), 6) as source_s, round(sum(speech_s), 6) as speech_s, round(sum(utterance_s), 6) as utterance_s
from commits group by run_number
"""
_PUT_ASIDE = """
select run_number, what, reason, sum(n)::bigint as n from (
    select run_number, 'rejected' as what, unnest(map_keys(rejected_by_reason)) as reason,
        unnest(map_values(rejected_by_reason)) as n from commits
    union all select run_number, 'held', unnest(map_keys(held_by_reason)), unnest(map_values(held_by_reason))
    from commits
    union all select run_number, 'utterances_rejected', unnest(map_keys(utterances_rejected)),
        unnest(map_values(utterances_rejected)) from commits
) group by all order by all
"""
_LEFT = """
select coalesce(sum(estimated_s) filter (where c.unit_id is null), 0) as left_s,
       coalesce(sum(estimated_s) filter (where c.unit_id is not null), 0) as done_s
from plans p left join commits c using (run_number, unit_id) where run_number = $1
"""
Row = dict[str, Any]


def standings(lake: Lake, run_id: str | None = None) -> list[Standing]:
    """Every run's figures from its commits, and what is left from its plan; or those of one run."""
    reader = LakeReader(lake)
    runs = [run for run in reader.runs if run_id in (None, run.run_id)]
    if not runs:
        return []
    # A million commits are added up where they lie.
    with connect(lake, "commits", reader=reader) as connection:
        figures = {row["run_number"]: row for row in records(connection, _FIGURES, [_RECENT])}
        put_aside = records(connection, _PUT_ASIDE)
    return [_standing(reader, run, figures.get(run.number, {}), put_aside) for run in runs]


def _standing(reader: LakeReader, run: RunRecord, figures: Row, put_aside: Sequence[Row]) -> Standing:
    committed = figures.get("committed", 0)
    state = "complete" if committed >= run.units else "closed" if run.is_closed else "unfinished"
    counts = _counts(run, figures, put_aside)
    pace = _pace(figures.get("newest") or ())
    left_s = _audio_left_s(reader, run, counts) / pace if state == "unfinished" and pace else None
    return Standing(
        run_id=run.run_id,
        number=run.number,
        state=state,
        units=run.units,
        committed=committed,
        planned_sources=run.sources,
        ignored=run.ignored,
        counts=counts,
        cpu_s=figures.get("cpu_s", 0.0),
        wall_s=figures.get("wall_s", 0.0),
        created_at=run.created_at,
        first_commit=figures.get("first_commit"),
        last_commit=figures.get("last_commit"),
        retried_units=figures.get("retried_units", 0),
        pace=None if pace is None else round(pace, 1),
        left_s=None if left_s is None else round(left_s, 1),
    )


def _counts(run: RunRecord, figures: Row, put_aside: Sequence[Row]) -> Counts:
    reasons: dict[str, dict[str, int]] = {"rejected": {}, "held": {}, "utterances_rejected": {}}
    for row in put_aside:
        if row["run_number"] == run.number:
            reasons[row["what"]][row["reason"]] = row["n"]
    added = {name: figures[name] for name in Counts.model_fields if name in figures}
    return Counts(**added, **reasons)


def _pace(newest: Sequence[Row]) -> float | None:
    """Seconds of audio per second between the first and the last of the newest commits: `at`, `wall_s`, `audio_s`."""
    if len(newest) < 2:
        return None
    took = max(c["at"] for c in newest) - min(c["at"] - timedelta(seconds=c["wall_s"]) for c in newest)
    audio_s = sum(commit["audio_s"] for commit in newest)
    return audio_s / took.total_seconds() if audio_s and took else None


def _audio_left_s(reader: LakeReader, run: RunRecord, counts: Counts) -> float:
    """Audio in the units that are not committed: the plan's estimate, corrected by how it did so far."""
    with connect(reader.lake, "plans commits", reader=reader) as connection:
        estimated = records(connection, _LEFT, [run.number])[0]
    correction = counts.source_s / estimated["done_s"] if estimated["done_s"] else 1.0
    return float(estimated["left_s"] * correction)


def status(lake_uri: str, run_id: str | None, as_json: bool) -> str:
    """Every run of the lake, or one of them, as text or as JSON lines."""
    lake = Lake.open(lake_uri)
    found = standings(lake, run_id)
    if run_id is not None and not found:
        known = ", ".join(run.run_id for run in list_runs(lake)) or "none"
        raise ConfigError(f"{lake.root.uri} has no run {run_id}; its runs: {known}")
    if as_json:
        return "".join(json.dumps(as_object(one)) + "\n" for one in found)
    if not found:
        return f"{lake.root.uri} has no run yet; `provoice run CONFIG --source … --lake {lake_uri}` starts one\n"
    return "\n".join(as_text(one) for one in found)


def as_object(one: Standing) -> dict[str, object]:
    """A run's figures as JSON has them."""
    values = {**asdict(one), "counts": one.counts.model_dump(mode="json"), "times_real_time": one.times_real_time}
    return {name: plain(value) for name, value in values.items()}


def as_text(one: Standing) -> str:
    """A run's figures as a person reads them."""
    counts, now = one.counts, datetime.now(UTC)
    lines = [
        f"run {one.run_id}: {one.state}, {one.committed:,} of {several(one.units, 'unit')} committed",
        f"  in        {hours(counts.source_s)} of audio, {hours(counts.speech_s)} of it speech",
        f"  out       {hours(counts.utterance_s)} in {several(counts.utterances, 'utterance')}",
        f"  rejected  {counts.rejected_total:,}   {reasons(counts.rejected)}".rstrip(),
        f"  held      {counts.held_total:,}   {reasons(counts.held)}".rstrip(),
    ]
    if counts.utterances_rejected:
        lines.append(f"  cuts put aside: {reasons(counts.utterances_rejected)}")
    if one.ignored:
        lines.append(f"  ignored   {several(one.ignored, 'other file')}")
    lines += _speed(one, now)
    sign = "=" if counts.is_conserved else "≠ (the commits of this run do not add up)"
    lines.append(
        f"  {several(counts.sources, 'source')} {sign} {counts.emitted:,} emitted + {counts.rejected_total:,} rejected "
        f"+ {counts.held_total:,} held + {counts.erased:,} erased"
    )
    if one.state != "complete":
        waits = "left for another run" if one.state == "closed" else "not committed yet"
        lines.append(f"  {several(one.planned_sources - counts.sources, 'source')} {waits}")
    return "\n".join(lines) + "\n"


def _speed(one: Standing, now: datetime) -> list[str]:
    lines = []
    if one.times_real_time is not None:
        lines.append(f"  cost      {hours(one.cpu_s)} of CPU, {one.times_real_time:,} audio-hours per core-hour")
    if one.pace is not None:
        left = f"; about {hours(one.left_s)} left at this pace" if one.left_s is not None else ""
        lines.append(f"  pace      {one.pace:,} audio-hours per hour{left}")
    if one.last_commit is not None:
        past_s = max(0.0, (now - one.last_commit).total_seconds())
        ago = f", {hours(past_s)} ago" if one.state == "unfinished" and past_s < _LONG_AGO_S else ""
        lines.append(f"  time      planned {_instant(one.created_at)}, last commit {_instant(one.last_commit)}{ago}")
    if one.retried_units:
        lines.append(f"  {several(one.retried_units, 'unit')} needed more than one attempt")
    return lines


def _instant(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
