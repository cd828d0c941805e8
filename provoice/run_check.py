"""Whether a run is done, adds up, and rejected no more than it may: what a scheduler asks after it."""

from __future__ import annotations

import json

import yaml

from lake import layout
from lake.lake import Lake
from lake.storage import Missing
from provoice.status import Standing, as_object, as_text, standings
from provoice.words import several
from schemas.errors import ConfigError, RunStopped


def check(lake_uri: str, run_id: str, max_rejected_ratio: float | None, as_json: bool) -> tuple[str, str | None]:
    """What `status` says of the run, and, where too much was rejected, the line that says so.

    `max_rejected_ratio` None: the run's own. Raises ConfigError for a run that is not there, RunStopped for one that is
    not complete or does not add up.
    """
    lake = Lake.open(lake_uri)
    found = standings(lake, run_id)
    if not found:
        raise ConfigError(f"{lake.root.uri} has no run {run_id}; `provoice status {lake_uri}` lists its runs")
    one = found[0]
    _check_account(one)
    allowed = _own_ratio(lake, one) if max_rejected_ratio is None else max_rejected_ratio
    ratio = one.counts.rejected_total / one.counts.sources if one.counts.sources else 0.0
    shown = {"rejected_ratio": round(ratio, 6), "max_rejected_ratio": allowed}
    said = f"  checked   complete, adds up; {ratio:.1%} rejected, of {allowed:.1%} that may be\n"
    text = json.dumps({**as_object(one), **shown}) + "\n" if as_json else as_text(one) + said
    if ratio <= allowed:
        return text, None
    return text, f"{ratio:.1%} of the sources of run {run_id} were rejected; max_rejected_ratio is {allowed:.1%}"


def _check_account(one: Standing) -> None:
    if one.state != "complete":
        how = "is closed" if one.state == "closed" else "is not complete; the command line that began it resumes it"
        raise RunStopped(
            f"run {one.run_id}: {several(one.units - one.committed, 'unit')} of {one.units:,} not committed, "
            f"and it {how}"
        )
    if one.counts.sources != one.planned_sources or not one.counts.is_conserved:
        raise RunStopped(
            f"run {one.run_id} planned {one.planned_sources:,} sources and accounts for {one.counts.emitted:,} emitted "
            f"+ {one.counts.rejected_total:,} rejected + {one.counts.held_total:,} held + {one.counts.erased:,} erased"
        )


def _own_ratio(lake: Lake, one: Standing) -> float:
    """What the configuration that the run was begun with allows."""
    path = layout.config_path(one.number)
    try:
        return float(yaml.safe_load(lake.root.read(path))["config"]["max_rejected_ratio"])
    except (Missing, KeyError, TypeError, ValueError, yaml.YAMLError):
        raise RunStopped(
            f"{lake.root.uri_of(path)} does not say what run {one.run_id} may reject; say --max-rejected-ratio"
        ) from None
