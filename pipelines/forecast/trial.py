"""The sample, prepared for real: by the run's own worker, consent asked of the real ledger, into a lake that is thrown
away. Every source is a unit of its own, so that its commit says what it cost.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from lake.commits import read_commits
from lake.lake import Lake
from lake.parts import read_part, write_table
from lake.runs import create_run, put_plan
from pipelines.config import Config
from pipelines.forecast.strata import Key
from pipelines.run import Request, Started, execute
from schemas.ids import unit_id
from schemas.records import Commit, RunRecord
from schemas.tables import PLAN_SCHEMA

_RUN_ID = "sample"
TAR_END = 1024
_KINDS = ("utterances", "recordings")


@dataclass(frozen=True, slots=True)
class Measured:
    """What one source cost, and what became of it."""

    stratum: Key
    size_bytes: int
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
    merged_bytes: Mapping[str, int]
    """Of each kind of part, all rows in one file."""
    commit_bytes: float
    """Of one commit, on average."""
    workers_cpu_s: float
    """CPU seconds of processes beside the units: the fork server, opening the models."""
    own_cpu_s: float
    """CPU seconds of this process while the units ran, and for the snapshot."""

    @property
    def cpu_s(self) -> float:
        units = sum(one.stages_cpu_s + one.other_cpu_s for one in self.measured)
        return units + self.workers_cpu_s + self.own_cpu_s


def run_trial(
    config: Config, roots: Mapping[str, str], ledger_uri: str, recipe_sha256: str, rows: Mapping[Key, Sequence[Any]]
) -> Trial:
    """Prepares these plan rows. Raises what a run raises: ConfigError for a model that is missing, ConsentError for a
    ledger that cannot be read, RunStopped where a worker does not start."""
    # A few sources are no reason to stop: what fails here is rejected, as it will be in the run.
    quiet = config.limits.model_copy(update={"breaker_share": 1.0})
    config = config.model_copy(update={"engine": "local", "limits": quiet})
    flat = [(key, row) for key, group in sorted(rows.items()) for row in group]
    with tempfile.TemporaryDirectory(prefix="provoice-sample-") as folder:
        lake = Lake.create_or_open(f"{folder}/lake", ledger_uri)
        run = _run_of(lake, [row for _, row in flat], config, roots, recipe_sha256, Path(folder))
        others_before, own_before = _cpu_of_children(), time.process_time()
        execute(Request(lake, config, ()), Started(run, is_resumed=False), lambda _: None, folder)
        others_s, own_s = _cpu_of_children() - others_before, time.process_time() - own_before
        commits = {int(commit.unit_id.split("-")[0]): commit for commit in read_commits(lake, _RUN_ID)}
        measured = tuple(_measured(key, row, commits[n]) for n, (key, row) in enumerate(flat))
        units_s = sum(one.stages_cpu_s + one.other_cpu_s for one in measured)
        sizes = [len(commit.model_dump_json()) for commit in commits.values()]
        return Trial(
            measured=measured,
            merged_bytes={kind: _merged_bytes(lake, commits.values(), kind, Path(folder)) for kind in _KINDS},
            commit_bytes=sum(sizes) / len(sizes),
            workers_cpu_s=max(0.0, others_s - units_s),
            own_cpu_s=own_s,
        )


def _run_of(
    lake: Lake, rows: Sequence[Any], config: Config, roots: Mapping[str, str], recipe_sha256: str, folder: Path
) -> RunRecord:
    """A run of these sources, one to a unit."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    made = [
        {
            **row,
            "unit_index": n,
            "unit_id": unit_id(n, [row["recording_id"]]),
            "deadline_s": config.plan.deadline_base_s + config.plan.deadline_s_per_audio_s * row["estimated_s"],
        }
        for n, row in enumerate(rows)
    ]
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
            units=len(made),
            sources=len(made),
            created_at=datetime.now(UTC),
        ),
    )


def _measured(key: Key, row: Mapping[str, Any], commit: Commit) -> Measured:
    other_s = commit.seconds.get("other", 0.0)
    size_of = {stored.kind: stored.size_bytes for stored in commit.objects}
    return Measured(
        stratum=key,
        size_bytes=row["source_size_bytes"],
        audio_s=commit.counts.source_s,
        utterance_s=commit.counts.utterance_s,
        utterances=commit.counts.utterances,
        stages_cpu_s=sum(commit.seconds.values()) - other_s,
        other_cpu_s=other_s,
        wall_s=commit.wall_s,
        tar_bytes=sum(stored.size_bytes - TAR_END for stored in commit.objects if stored.kind == "shard"),
        part_bytes={kind: size_of.get(kind, 0) for kind in _KINDS},
    )


def _merged_bytes(lake: Lake, commits: Any, kind: str, folder: Path) -> int:
    """What the rows of all parts of a kind take in one file; 0 where there is none."""
    import pyarrow as pa

    paths = [stored.path for commit in commits for stored in commit.objects if stored.kind == kind]
    if not paths:
        return 0
    table = pa.concat_tables(read_part(lake.root, path) for path in paths)
    size, _ = write_table(folder / f"{kind}.parquet", table, max(1, table.num_rows))
    return size


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
