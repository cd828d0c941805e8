"""The figures of a report, as plain values. No subject id is among them: people appear as counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from provoice.reasons import help_for
from provoice.report.foretold import PlanAndActual
from provoice.report.histogram import Histogram, histogram
from provoice.sql import records
from schemas.tables import MEASUREMENT_FIELDS, UTTERANCE_FIELDS

_MOST_BARS = 15
_NUMBERS = ("DOUBLE", "BIGINT")


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its label, its value, and what is to be said of it."""

    label: str
    value: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that a report shows. Bars of time are in seconds, all others are counts."""

    ledger_position: int
    runs: tuple[dict[str, Any], ...]
    totals: dict[str, float]
    flow: tuple[Bar, ...]
    statuses: tuple[Bar, ...]
    rejected: tuple[Bar, ...]
    held: tuple[Bar, ...]
    cuts_rejected: tuple[Bar, ...]
    histograms: tuple[Histogram, ...]
    flags: tuple[Bar, ...]
    accents: tuple[Bar, ...]
    languages: tuple[Bar, ...]
    consent: tuple[Bar, ...]
    bindings: tuple[Bar, ...]
    grants: tuple[Bar, ...]
    stages: tuple[Bar, ...]
    """CPU seconds per hour of audio."""
    times_real_time: float | None
    plans: tuple[PlanAndActual, ...] = ()
    """What was foretold beside what came, of runs that were planned so."""


class _Asked:
    """One scope of a lake, all current rows or one run's, kept as two narrow tables and asked many times."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, run_id: str | None) -> None:
        self._connection = connection
        name = "" if run_id is None else run_id.replace("'", "''")
        self.of_run = "true" if run_id is None else f"run_id = '{name}'"
        view, only = ("", "true") if run_id is None else ("_all", f"lineage.run_id = '{name}'")
        self.own = self._own_columns()
        columns = ", ".join(["duration_s", *(f.name for f in MEASUREMENT_FIELDS), *map(_quoted, self.own)])
        connection.execute(
            f"create temp table u as select {columns}, accent, language, consent, consent_complete, quality_flags "
            f"from utterances{view} where {only}"
        )
        connection.execute(
            "create temp table r as "
            "select status, reason, source_size_bytes, duration_s, speech_s, utterances_rejected "
            f"from recordings{view} where {self.of_run}"
        )

    def _own_columns(self) -> list[str]:
        """Numbers that stages of the user's own have added."""
        known = {field.name for field in UTTERANCE_FIELDS} | {"run_number"}
        described = records(self._connection, "describe utterances_all")
        return [c["column_name"] for c in described if c["column_name"] not in known and c["column_type"] in _NUMBERS]

    def records(self, query: str) -> list[dict[str, Any]]:
        return records(self._connection, query)

    def one(self, query: str) -> dict[str, Any]:
        return self.records(query)[0]

    def bars(self, query: str) -> tuple[Bar, ...]:
        """Bars of a query for `label` and `value`, longest first; the smallest ones together where there are many."""
        rows = self.records(f"select label, sum(value)::double as value from ({query}) group by 1 order by 2 desc, 1")
        bars = [Bar(str(row["label"]), row["value"] or 0.0) for row in rows]
        if len(bars) <= _MOST_BARS:
            return tuple(bars)
        rest = bars[_MOST_BARS - 1 :]
        return (*bars[: _MOST_BARS - 1], Bar(f"{len(rest):,} others", sum(bar.value for bar in rest)))

    def reasons(self, status: str, query: str) -> tuple[Bar, ...]:
        return tuple(Bar(bar.label, bar.value, help_for(status, bar.label)) for bar in self.bars(query))


def gather(connection: duckdb.DuckDBPyConnection, run_id: str | None = None) -> Figures:
    """The figures of the lake's current rows, or of one run's. Makes temporary tables on `connection`."""
    asked = _Asked(connection, run_id)
    totals = _totals(asked)
    cost = asked.one(f"select sum(cpu_s) as cpu_s, sum(source_s) as source_s from commits where {asked.of_run}")
    return Figures(
        ledger_position=asked.one("select coalesce(max(position), 0) as n from events")["n"],
        runs=_runs(asked),
        totals=totals,
        flow=_flow(asked, totals),
        statuses=asked.bars("select status as label, 1 as value from r"),
        rejected=asked.reasons("rejected", "select reason as label, 1 as value from r where status = 'rejected'"),
        held=asked.reasons("held", "select reason as label, 1 as value from r where status = 'held'"),
        cuts_rejected=asked.reasons(
            "rejected",
            "select e.reason as label, e.count as value from (select unnest(utterances_rejected) as e from r)",
        ),
        histograms=_histograms(asked),
        flags=asked.bars("select unnest(quality_flags) as label, 1 as value from u"),
        accents=asked.bars(
            "select coalesce(accent.label || ' (' || accent.origin || ')', 'no accent known') as label, "
            "duration_s as value from u"
        ),
        languages=asked.bars("select coalesce(language, 'not stated') as label, duration_s as value from u"),
        consent=asked.bars(_CONSENT),
        bindings=asked.bars(
            "select unnest(list_distinct(list_transform(consent, lambda link: link.binding))) as label, "
            "duration_s as value from u"
        ),
        grants=asked.bars(_GRANTS),
        stages=_stages(asked, cost["source_s"]),
        times_real_time=round(cost["source_s"] / cost["cpu_s"], 1) if cost["cpu_s"] else None,
    )


_CONSENT = """
select case when consent_complete then 'everybody heard is listed'
            when len(consent) > 0 then 'people are listed, perhaps not all'
            else 'nobody is listed' end as label, duration_s as value
from u
"""
_GRANTS = """
select case when standing <> 'valid' then replace(standing, '_', ' ')
            when valid_until < now() + interval 30 days then 'valid, ends within 30 days'
            when valid_until < now() + interval 365 days then 'valid, ends within a year'
            else 'valid for more than a year' end as label, 1 as value
from grants
"""


def _totals(asked: _Asked) -> dict[str, float]:
    sources = asked.one(
        "select count(*) as sources, coalesce(sum(duration_s), 0) as source_s, coalesce(sum(speech_s), 0) as speech_s, "
        "coalesce(sum(source_size_bytes), 0)::bigint as source_bytes from r"
    )
    out = asked.one(
        "select count(*) as utterances, coalesce(sum(duration_s), 0) as utterance_s, "
        "(select count(distinct c.subject_id) from (select unnest(consent) as c from u)) as people from u"
    )
    return {**sources, **out}


def _flow(asked: _Asked, totals: dict[str, float]) -> tuple[Bar, ...]:
    emitted = asked.one("select coalesce(sum(duration_s), 0) as s from r where status = 'emitted'")["s"]
    return (
        Bar("audio decoded", totals["source_s"]),
        Bar("of it in emitted sources", emitted),
        Bar("speech heard", totals["speech_s"]),
        Bar("utterances out", totals["utterance_s"]),
    )


def _histograms(asked: _Asked) -> tuple[Histogram, ...]:
    described = {field.name: field.metadata[b"description"].decode() for field in UTTERANCE_FIELDS}
    described["duration_s"] = "length of an utterance"
    names = ["duration_s", *(field.name for field in MEASUREMENT_FIELDS), *asked.own]
    return tuple(histogram(asked.records, "u", name, described.get(name, "of a stage of your own")) for name in names)


def _stages(asked: _Asked, source_s: float | None) -> tuple[Bar, ...]:
    """CPU seconds of each stage per hour of audio."""
    query = f"select stage as label, seconds as value from stage_seconds where {asked.of_run}"
    per_hour = 3600 / source_s if source_s else 0.0
    bars = (Bar(bar.label, bar.value * per_hour) for bar in asked.bars(query))
    return tuple(bar for bar in bars if bar.value >= 0.005)


def _runs(asked: _Asked) -> tuple[dict[str, Any], ...]:
    return tuple(
        asked.records(f"""
        select run_number, run_id, is_explore, is_closed, created_at, recipe_sha256, r.units, r.sources, r.ignored,
               count(c.unit_id) as committed,
               coalesce(sum(c.source_s), 0) as source_s, coalesce(sum(c.utterance_s), 0) as utterance_s,
               coalesce(sum(c.emitted), 0)::bigint as emitted, coalesce(sum(c.rejected), 0)::bigint as rejected,
               coalesce(sum(c.held), 0)::bigint as held
        from runs r left join commits c using (run_number, run_id)
        where {asked.of_run} group by all order by run_number
        """)
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def tallest(bars: Sequence[Bar]) -> float:
    """The longest bar's value, never 0."""
    return max((bar.value for bar in bars), default=0) or 1.0
