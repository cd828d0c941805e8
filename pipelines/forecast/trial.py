"""The sample, prepared for real: by the run's own worker, consent asked of the real ledger, into a lake that is thrown
away. Every source is a unit of its own, so that its commit says what it cost; then all are one unit, as in a run.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from lake.lake import Lake
from lake.runs import create_run, put_plan, read_plan_units
from pipelines.config import Config
from pipelines.engines.contract import Task
from pipelines.forecast.strata import Key
from pipelines.snapshot import snapshot
from pipelines.worker import PrepareWork
from schemas.ids import unit_id
from schemas.records import Commit, RunRecord
from schemas.tables import PLAN_SCHEMA

_RUN_ID = "sample"
TAR_END = 1024
_KINDS = ("utterances", "recordings")


@dataclass(frozen=True, slots=True)
class Measured:
    """What a unit cost, and what became of it; of one source, but for the last."""

    stratum: Key
    size_bytes: int
    estimated_s: float
    audio_s: float
    utterance_s: float
    utterances: int
    stages_cpu_s: float
    other_cpu_s: float
    """The unit's own work: reading its plan, writing tars and parts, committing."""
    wall_s: float
    tar_bytes: int
    """Without the end of the archive, which comes once in a unit."""
    part_bytes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Trial:
    """The measured sources, and what the whole cost beside them."""

    measured: tuple[Measured, ...]
    together: Measured
    """All of them as one unit: sources that are measured together cost less, and share what a unit costs."""
    commit_bytes: float
    """Of one commit, on average."""
    start_cpu_s: float
    """CPU seconds of processes beside the units, and of the first one beyond what it takes the second time: the fork
    server, opening the models, what is computed once."""
    own_cpu_s: float
    """CPU seconds of this process while the units ran, and for the snapshot."""
    cpu_s: float
    """All of it."""


def run_trial(
    config: Config, roots: Mapping[str, str], ledger_uri: str, recipe_sha256: str, rows: Mapping[Key, Sequence[Any]]
) -> Trial:
    """Prepares these plan rows, one by one and then all together. Raises what a run raises: ConfigError for a model
    that is missing, ConsentError for a ledger that cannot be read, RunStopped where a worker does not start."""
    # A few sources are no reason to stop: what fails here is rejected, as it will be in the run.
    quiet = config.limits.model_copy(update={"breaker_share": 1.0})
    config = config.model_copy(update={"engine": "local", "limits": quiet})
    flat = [(key, row) for key, group in sorted(rows.items()) for row in group]
    every = [row for _, row in flat]
    with tempfile.TemporaryDirectory(prefix="provoice-sample-") as folder:
        lake = Lake.create_or_open(f"{folder}/lake", ledger_uri)
        units = [every[:1], *([row] for row in every), every]
        run = _run_of(lake, units, config, roots, recipe_sha256, Path(folder))
        others_before, own_before = _cpu_of_children(), time.process_time()
        commits = _prepared(lake, run, config, folder)
        snapshot(lake)
        others_s, own_s = _cpu_of_children() - others_before, time.process_time() - own_before
    first, *singles, together = commits
    units_s = sum(sum(commit.seconds.values()) for commit in commits)
    warming_s = max(0.0, sum(first.seconds.values()) - sum(singles[0].seconds.values()))
    return Trial(
        measured=tuple(_measured(key, [row], one) for (key, row), one in zip(flat, singles, strict=True)),
        together=_measured(flat[0][0], every, together),
        commit_bytes=sum(len(commit.model_dump_json()) for commit in commits) / len(commits),
        start_cpu_s=max(0.0, others_s - units_s) + warming_s,
        own_cpu_s=own_s,
        cpu_s=others_s + own_s,
    )


def _prepared(lake: Lake, run: RunRecord, config: Config, folder: str) -> list[Commit]:
    """The commits of all units, by one worker and in their order: the first one warms it up."""
    work = PrepareWork(lake.root.uri, run.run_id, run.number, config.model_dump(mode="json"), folder)
    with closing(work.open(1)) as worker:
        return [worker.run(Task(u.unit_id, u.estimated_s, u.deadline_s)) for u in read_plan_units(lake, run)]


def _run_of(
    lake: Lake, units: Sequence[Sequence[Any]], config: Config, roots: Mapping[str, str], recipe_sha256: str,
    folder: Path,
) -> RunRecord:  # fmt: skip
    """A run of these units."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    made = []
    for n, rows in enumerate(units):
        seconds = sum(row["estimated_s"] for row in rows)
        unit = {
            "unit_index": n,
            "unit_id": unit_id(n, [row["recording_id"] for row in rows]),
            "deadline_s": config.plan.deadline_base_s + config.plan.deadline_s_per_audio_s * seconds,
        }
        made += [{**row, **unit} for row in rows]
    path = folder / "plan.parquet"
    pq.write_table(pa.Table.from_pylist(made, schema=PLAN_SCHEMA), path)
    return create_run(
        lake,
        RunRecord(
            number=1,
            run_id=_RUN_ID,
            recipe_sha256=recipe_sha256,
            is_explore=config.is_explore,
            roots=dict(roots),
            plan=put_plan(lake, path, 1),
            units=len(units),
            sources=len(made),
            created_at=datetime.now(UTC),
        ),
    )


def _measured(key: Key, rows: Sequence[Mapping[str, Any]], commit: Commit) -> Measured:
    other_s = commit.seconds.get("other", 0.0)
    size_of = {stored.kind: stored.size_bytes for stored in commit.objects}
    return Measured(
        stratum=key,
        size_bytes=sum(row["source_size_bytes"] for row in rows),
        estimated_s=sum(row["estimated_s"] for row in rows),
        audio_s=commit.counts.source_s,
        utterance_s=commit.counts.utterance_s,
        utterances=commit.counts.utterances,
        stages_cpu_s=sum(commit.seconds.values()) - other_s,
        other_cpu_s=other_s,
        wall_s=commit.wall_s,
        tar_bytes=sum(stored.size_bytes - TAR_END for stored in commit.objects if stored.kind == "shard"),
        part_bytes={kind: size_of.get(kind, 0) for kind in _KINDS},
    )


def _cpu_of_children() -> float:
    """CPU seconds of this process's children and of all that they waited for: the fork server waits for workers."""
    total = 0.0
    for child in psutil.Process().children(recursive=True):
        try:
            spent = child.cpu_times()
        except psutil.Error:
            continue  # it ended meanwhile, and whoever waits for it has its seconds
        total += spent.user + spent.system + spent.children_user + spent.children_system
    return total
