"""How old an orphan must be, and by whose clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from lake.clients import GCS, S3
from lake.commits import list_commits
from lake.lake import Lake
from lake.parquet_sql import files, open_duckdb, reading
from lake.retries import retried
from lake.runs import list_runs
from lake.snapshots import newest_snapshot
from lake.storage import Root
from schemas.errors import ConfigError
from schemas.records import RunRecord

LEAST_S = 3600.0
"""Where nothing is running: releases, snapshots and reports in the making stand in no plan."""
DEFAULT_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Grace:
    """How long an object is left alone, and why so long."""

    grace_s: float
    least_s: float
    open_runs: tuple[str, ...]
    """Runs that are neither complete nor closed."""
    longest_deadline_s: float
    """Of a unit in their plans."""


def settled(lake: Lake, asked_s: float | None) -> Grace:
    """The grace that is asked for, else the default. Raises ConfigError where it is shorter than what is allowed: more
    than twice the longest deadline of a unit that may be at work."""
    waiting = open_runs(lake)
    longest_s = _longest_deadline_s(lake, waiting)
    least_s = max(LEAST_S, 2 * longest_s + 1.0)
    if asked_s is not None and asked_s < least_s:
        raise ConfigError(_too_short(asked_s, least_s, waiting, longest_s))
    grace_s = asked_s if asked_s is not None else max(DEFAULT_S, least_s)
    return Grace(grace_s, least_s, tuple(run.run_id for run in waiting), longest_s)


def _too_short(asked_s: float, least_s: float, waiting: Sequence[RunRecord], longest_s: float) -> str:
    said = f"a grace of {asked_s:.0f} s is too short: {least_s:.0f} s is the least"
    if least_s == LEAST_S:
        return f"{said}, for releases and snapshots that are being made"
    names = ", ".join(run.run_id for run in waiting)
    return (
        f"{said}, more than twice the {longest_s:.0f} s that a unit of {names} may take; "
        "complete the run, or end a dead one with `provoice run --lake LAKE --close RUN`"
    )


def open_runs(lake: Lake) -> list[RunRecord]:
    """Runs that are neither closed nor complete. Lists the commits of those of which the snapshot does not know it."""
    snapshot = newest_snapshot(lake)
    done = {run.run_id for run in snapshot.runs if run.is_closed} if snapshot else set()
    runs = [run for run in list_runs(lake) if not run.is_closed and run.run_id not in done]
    return [run for run in runs if _committed(lake, run) < run.units]


def _committed(lake: Lake, run: RunRecord) -> int:
    """Units with a commit: of each, generation 0 is there for ever."""
    return sum(1 for _, generation, _ in list_commits(lake, run.run_id) if generation == 0)


def _longest_deadline_s(lake: Lake, runs: Sequence[RunRecord]) -> float:
    plans = [lake.root.uri_of(run.plan.path) for run in runs]
    if not plans:
        return 0.0
    with reading(), open_duckdb(lake.root) as connection:
        found = connection.execute(f"select max(deadline_s) from {files(plans)}").fetchone()
    return float(found[0] or 0.0) if found else 0.0


def store_now(root: Root) -> datetime:
    """The store's own clock, by which it says when an object was modified: what its answer to a listing of one name is
    stamped with. A local disk has this machine's clock (a disk of the network, its server's: keep them in step)."""
    stamp: str | None = None
    if root.protocol in GCS:
        bucket = root.base.partition("/")[0]
        headers, _ = retried(lambda: root.filesystem.call("GET", "b/{}/o", bucket, maxResults=1))
        stamp = {str(name).lower(): value for name, value in dict(headers).items()}.get("date")
    elif root.protocol in S3:
        bucket, _, prefix = root.base.partition("/")
        options = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": 1, **root.filesystem.req_kw}
        found = retried(lambda: root.filesystem.call_s3("list_objects_v2", **options))
        stamp = found["ResponseMetadata"]["HTTPHeaders"].get("date")
    return parsedate_to_datetime(stamp).astimezone(UTC) if stamp else datetime.now(UTC)
