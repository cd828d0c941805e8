"""The figures of a report, as plain values. No subject id is among them: people appear as counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from schemas.tables import MEASUREMENT_FIELDS

_BINS = 30


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its label, its value, and how the value is written."""

    label: str
    value: float
    shown: str


@dataclass(frozen=True, slots=True)
class Histogram:
    """The distribution of one measurement."""

    name: str
    description: str
    unit: str
    counts: tuple[int, ...]
    low: float
    high: float
    median: float | None
    measured: int
    missing: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that a report shows."""

    runs: tuple[dict[str, Any], ...]
    totals: dict[str, float]
    statuses: tuple[Bar, ...]
    rejected: tuple[Bar, ...]
    held: tuple[Bar, ...]
    cuts_rejected: tuple[Bar, ...]
    histograms: tuple[Histogram, ...]
    accents: tuple[Bar, ...]
    languages: tuple[Bar, ...]
    consent: tuple[Bar, ...]
    bindings: tuple[Bar, ...]
    grants: tuple[Bar, ...]
    stages: tuple[Bar, ...]
    times_real_time: float | None


def gather(connection: duckdb.DuckDBPyConnection, run_id: str | None = None) -> Figures:
    """The figures of the lake's current rows, or of one run's."""
    only = "" if run_id is None else f"where run_id = '{run_id.replace(chr(39), chr(39) * 2)}'"
    recordings = f"(select * from {'recordings' if run_id is None else 'recordings_all'} {only})"
    members = f"(select recording_id, run_id from {recordings})"
    source = "utterances" if run_id is None else "utterances_all"
    connection.execute(
        f"create or replace temp table _u as select * from {source} u semi join {members} r "
        "on u.recording_id = r.recording_id and u.lineage.run_id = r.run_id"
    )
    connection.execute(f"create or replace temp table _r as select * from {recordings}")

    def rows(query: str) -> list[tuple[Any, ...]]:
        return connection.execute(query).fetchall()

    def bars(query: str, shown: str = "{:,.0f}") -> tuple[Bar, ...]:
        return tuple(Bar(str(label), float(value), shown.format(value)) for label, value in rows(query))

    def reasons(status: str) -> tuple[Bar, ...]:
        return bars(f"select reason, count(*) from _r where status = '{status}' group by 1 order by 2 desc, 1")

    totals = rows(
        "select count(*), coalesce(sum(duration_s), 0), coalesce(sum(speech_s), 0), coalesce(sum(source_size_bytes), 0) from _r"
    )[0]
    out = rows("select count(*), coalesce(sum(duration_s), 0) from _u")[0]
    cost = rows(f"select coalesce(sum(cpu_s), 0), coalesce(sum(source_s), 0) from commits {only}")[0]
    names = ("run_id", "sources", "units", "ignored", "is_explore", "is_closed", "created_at", "recipe_sha256")
    return Figures(
        runs=tuple(
            dict(zip(names, row, strict=True)) for row in rows(f"select {', '.join(names)} from runs {only} order by number")
        ),
        totals={
            "sources": totals[0],
            "source_s": totals[1],
            "speech_s": totals[2],
            "source_bytes": totals[3],
            "utterances": out[0],
            "utterance_s": out[1],
        },
        statuses=bars("select status, count(*) from _r group by 1 order by 1"),
        rejected=reasons("rejected"),
        held=reasons("held"),
        cuts_rejected=bars(
            "select e.reason, sum(e.count) from (select unnest(utterances_rejected) as e from _r) group by 1 order by 2 desc, 1"
        ),
        histograms=tuple(_histogram(connection, f.name, _description(f)) for f in MEASUREMENT_FIELDS),
        accents=bars(
            "select coalesce(accent.label || ' (' || accent.origin || ')', 'none'), sum(duration_s) / 3600 from _u "
            "group by 1 order by 2 desc, 1 limit 20",
            "{:,.2f} h",
        ),
        languages=bars("select coalesce(language, 'not stated'), sum(duration_s) / 3600 from _u group by 1 order by 2 desc limit 20", "{:,.2f} h"),
        consent=bars(
            "select case when consent_complete then 'everybody heard is listed' when len(consent) > 0 then "
            "'listed, but perhaps not everybody' else 'nobody is listed' end, sum(duration_s) / 3600 from _u "
            "group by 1 order by 2 desc",
            "{:,.2f} h",
        ),
        bindings=bars(
            "select binding, count(*) from (select distinct key, c.binding as binding from "
            "(select key, unnest(consent) as c from _u)) group by 1 order by 2 desc"
        ),
        grants=bars(
            "select case when ended is not null then ended when valid_until <= now() then 'expired' when valid_from > now() "
            "then 'not yet valid' when valid_until <= now() + interval 90 days then 'valid, ends within 90 days' "
            "else 'valid' end, count(*) from grants group by 1 order by 2 desc"
        ),
        stages=_stages(connection, only, float(cost[1])),
        times_real_time=round(cost[1] / cost[0], 1) if cost[0] else None,
    )


def _stages(connection: duckdb.DuckDBPyConnection, only: str, source_s: float) -> tuple[Bar, ...]:
    """CPU seconds of each stage per hour of audio, slowest first."""
    query = f"select stage, sum(seconds) from stage_seconds {only} group by 1 order by 2 desc, 1"
    per_hour = 3600 / source_s if source_s else 0.0
    return tuple(Bar(stage, s * per_hour, f"{s * per_hour:.2f} s") for stage, s in connection.execute(query).fetchall() if s > 0)


def _description(field: Any) -> str:
    return str(field.metadata[b"description"].decode())


def _histogram(connection: duckdb.DuckDBPyConnection, name: str, description: str) -> Histogram:
    low, high, median, measured, total = connection.execute(
        f"select min({name}), max({name}), median({name}), count({name}), count(*) from _u"
    ).fetchall()[0]
    unit = name.rsplit("_", 1)[-1]
    units = {"db": "dB", "s": "s", "ratio": "", "lufs": "LUFS", "dbfs": "dBFS", "hz": "Hz", "offset": ""}
    if low is None or high is None:
        return Histogram(name, description, units.get(unit, ""), (), 0, 0, None, 0, int(total))
    low, high = _rounded_out(float(low), float(high))
    width = (high - low) / _BINS
    found = dict(
        connection.execute(
            f"select least({_BINS - 1}, floor(({name} - {low!r}) / {width!r}))::int, count(*) from _u "
            f"where {name} is not null group by 1"
        ).fetchall()
    )
    counts = tuple(int(found.get(n, 0)) for n in range(_BINS))
    return Histogram(name, description, units.get(unit, ""), counts, low, high, float(median), int(measured), int(total - measured))


def _rounded_out(low: float, high: float) -> tuple[float, float]:
    """Ends that a person can read, around both; never of no width."""
    if high - low < 1e-9:
        margin = max(abs(low) * 0.1, 1e-3)
        return low - margin, high + margin
    step = 10 ** math.floor(math.log10(high - low)) / 2
    return math.floor(low / step) * step, math.ceil(high / step) * step


def tallest(bars: Sequence[Bar]) -> float:
    """The longest bar's value, never 0."""
    return max((bar.value for bar in bars), default=0) or 1.0
