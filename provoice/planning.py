"""What `provoice plan` does, and how its forecast reads."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from pipelines.forecast.ahead_of_run import Ahead, Asked, ahead_of_run, check_budget
from pipelines.forecast.prices import load_prices
from pipelines.run import Request
from provoice import words
from schemas.errors import ConfigError
from schemas.forecast import Forecast, Interval


def asked_for(cluster: str | None, prices: str | None, budget: float | None) -> Asked:
    """The options of a plan as one value. Raises ConfigError for a budget without prices."""
    if budget is not None and prices is None:
        raise ConfigError("a budget needs prices: say --prices FILE, for instance configs/prices/gcp-example.yaml")
    return Asked(cluster, load_prices(prices) if prices else None)


def plan_command(request: Request, asked: Asked, budget: float | None, *, as_json: bool) -> int:
    """Measures, prints, and returns the exit code: 4 where the budget would not hold."""
    from provoice.progress import showing

    with showing(request.lake.root.uri, quiet=as_json) as screen:
        ahead = ahead_of_run(request, asked, screen.listed)
    sys.stdout.write(json.dumps(as_values(ahead)) + "\n" if as_json else shown(ahead))
    if budget is not None and ahead.forecast is not None:
        check_budget(ahead.forecast, budget)
    return 0


def refuse_over_budget(request: Request, asked: Asked, budget: float) -> None:
    """Raises OverBudget where what is still to do may cost more than `budget`."""
    found = ahead_of_run(request, asked).forecast
    if found is not None:
        check_budget(found, budget)


def as_values(ahead: Ahead) -> dict[str, Any]:
    """For `--json`: the plan's figures as `--dry-run` has them, and `forecast`."""
    figures = asdict(ahead.summary) if ahead.summary else {"resumes": ahead.resumed.run_id if ahead.resumed else None}
    return {**figures, "forecast": ahead.forecast.model_dump(mode="json") if ahead.forecast else None}


def shown(ahead: Ahead) -> str:
    """The plan as a person reads it."""
    if ahead.resumed is not None:
        head = f"run {ahead.resumed.run_id} is unfinished; this is what it has left\n"
    else:
        head = words.planned(ahead.summary) if ahead.summary else ""
    return head + (forecast_text(ahead.forecast) if ahead.forecast else "nothing to do\n")


def forecast_text(found: Forecast) -> str:
    """What was measured, and every figure with its interval."""
    head = (
        f"\nmeasured {words.several(found.measured, 'source')}, {found.measured_share:.1%} of the bytes, "
        f"in {words.hours(found.sample_cpu_s)} of CPU time\n\n"
    )
    rows = [("", "probably", "from", "to"), *_rows(found)]
    widths = [max(len(row[n]) for row in rows) for n in range(4)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    lines.insert(1, "─" * len(lines[0]))
    return head + "\n".join(line.rstrip() for line in lines) + "\n\n" + _foot(found)


def _rows(found: Forecast) -> list[tuple[str, str, str, str]]:
    start = found.start_cpu_s
    cpu = Interval(**{name: value + start for name, value in found.work_cpu_s.model_dump().items()})
    rows = [
        _row("audio", found.audio_s, words.hours),
        _row("out", found.utterance_s, words.hours),
        _row("utterances", found.utterances, _count),
        _row("CPU time", cpu, words.hours),
    ]
    if found.gpu_s.value:
        rows.append(_row("GPU time", found.gpu_s, words.hours))
    rows += [
        _row("tars and manifests", found.output_bytes, words.size),
        _row("storage in all", found.storage_bytes, words.size),
    ]
    if found.read_requests.value or found.write_requests.value:
        rows.append(_row("requests, reading", found.read_requests, _count))
        rows.append(_row("requests, writing or listing", found.write_requests, _count))
    rows += [
        _row(f"time on `{found.cluster}`, {words.several(found.workers, 'worker')}", found.duration_s, words.hours),
    ]
    if found.cost is not None:
        money = f"cost, {found.cost.currency}"
        rows += [
            _row(f"{money}: machines", found.cost.compute, _money),
            _row(f"{money}: requests", found.cost.requests, _money),
            _row(f"{money}: storage, first month", found.cost.storage_month, _money),
            _row(f"{money}: in all", found.cost.total, _money),
        ]
    return rows


def _row(name: str, figure: Interval, said: Any) -> tuple[str, str, str, str]:
    return (name, said(figure.value), said(figure.low), said(figure.high))


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _money(value: float) -> str:
    return f"{value:,.2f}" if value >= 0.01 or value == 0 else f"{value:.4f}"


def _foot(found: Forecast) -> str:
    said = f"Intervals are meant to hold in {found.coverage:.0%} of plans; all they know of is chance in the sample.\n"
    if found.cost is None:
        return said
    what = "an example table, not an offer" if found.cost.is_example else "a table of your own"
    return f"{said}Prices: {found.cost.prices}, {what}; the oldest was read on {found.cost.oldest}.\n"
