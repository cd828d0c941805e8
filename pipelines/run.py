"""A run from its command line to its last commit: resume or plan, hand out the units, account for every source."""

from __future__ import annotations

import contextlib
import logging
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from lake import layout
from lake.commits import committed_units, read_commits
from lake.lake import Lake
from lake.runs import create_run, list_runs, put_plan, read_plan_units, revise_run
from lake.snapshots import newest_snapshot
from lake.suppression import Suppression
from pipelines.catalogue import Catalogue
from pipelines.config import Config, recipe_difference
from pipelines.done import announce_changes, done_sources
from pipelines.engines import engine_named
from pipelines.engines.contract import Settings, Task
from pipelines.plan import PlanSummary, write_plan
from pipelines.sources import SourceRoot
from pipelines.stages import digest_of, recipe
from pipelines.worker import PrepareWork
from schemas.errors import AlreadyExists, ConfigError, RunStopped
from schemas.records import Commit, Counts, RunRecord

_LOG = logging.getLogger(__name__)
_RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PLAN_RACES = 20


@dataclass(frozen=True)
class Request:
    """What a person asked for on the command line."""

    lake: Lake
    config: Config
    roots: Sequence[SourceRoot]
    catalogue: Catalogue | None = None
    run_id: str | None = None
    moved: bool = False
    options: tuple[str, ...] = ()
    """For the engine itself: what stood after `--` on the command line."""

    @property
    def root_uris(self) -> dict[str, str]:
        return {root.name: root.uri for root in self.roots}


@dataclass(frozen=True)
class Started:
    """A run that is ready to work: a new one with its plan, or one that is resumed."""

    run: RunRecord
    is_resumed: bool
    summary: PlanSummary | None = None


@dataclass
class Progress:
    """What is known while units come in; `report` is called after each."""

    units: int
    report: Callable[[Progress], None]
    committed: int = 0
    counts: Counts = field(default_factory=Counts)
    newest: Commit | None = None
    """The commit that came last; None while those of earlier attempts at the run are read."""

    def add(self, commit: Commit, *, is_new: bool = True) -> None:
        self.committed += 1
        self.newest = commit if is_new else None
        self.counts = self.counts + commit.counts
        self.report(self)


def start(request: Request, on_listing: Callable[[int], None] | None = None) -> Started | None:
    """Resumes the unfinished run of this recipe and these roots, else plans what is left; None: nothing to do."""
    values = recipe(request.config)
    digest = digest_of(values)
    if (run := unfinished(request)) is not None:
        return Started(run, is_resumed=True)
    for _ in range(_PLAN_RACES):
        try:
            return _plan(request, digest, values, on_listing)
        except AlreadyExists:
            continue  # another planner took the number: read what it planned, and plan again
    raise RunStopped("other planners took the run's number again and again; start the command once more")


def unfinished(request: Request) -> RunRecord | None:
    """The run that this request resumes: the one of its name, else an open one of its recipe and roots. Raises
    ConfigError for a name or a root that belongs to something else."""
    values = recipe(request.config)
    digest = digest_of(values)
    runs = list_runs(request.lake)
    _check_roots(request, runs)
    named = _named(request, runs, digest, values)
    if named is not None or request.run_id is not None:
        return named
    snapshot = newest_snapshot(request.lake)
    closed = {run.run_id for run in snapshot.runs if run.is_closed} if snapshot else set()
    return next((r for r in reversed(runs) if r.run_id not in closed and _is_open(request, r, digest)), None)


def _check_roots(request: Request, runs: Sequence[RunRecord]) -> None:
    known = {name: uri for run in runs for name, uri in run.roots.items()}
    for root in request.roots:
        if known.get(root.name, root.uri) != root.uri and not request.moved:
            raise ConfigError(
                f"the source root `{root.name}` was {known[root.name]} and is now {root.uri}; if it was moved, say "
                f"--moved, else give it another name: --source NAME={root.uri}"
            )


def _named(request: Request, runs: Sequence[RunRecord], digest: str, values: Mapping[str, object]) -> RunRecord | None:
    """The run that bears the asked `run_id` already; refuses one of another recipe with the keys that differ."""
    if request.run_id is None:
        return None
    if not _RUN_ID.fullmatch(request.run_id):
        raise ConfigError(f"run id {request.run_id!r}: 1 to 64 letters, digits, `_` and `-`")
    run = next((run for run in runs if run.run_id == request.run_id), None)
    if run is None:
        return None
    if run.recipe_sha256 != digest:
        keys = (
            ", ".join(recipe_difference(_stored_recipe(request.lake, run), dict(values)))
            or "(its recipe is not readable)"
        )
        raise ConfigError(f"run {run.run_id} was made with another recipe; the keys that differ: {keys}")
    if set(run.roots) != set(request.root_uris):
        raise ConfigError(f"run {run.run_id} has the source roots {', '.join(sorted(run.roots))}")
    if run.is_closed:
        raise ConfigError(f"run {run.run_id} was closed; choose another run id")
    return run


def _is_open(request: Request, run: RunRecord, digest: str) -> bool:
    if run.is_closed or run.recipe_sha256 != digest or set(run.roots) != set(request.root_uris):
        return False
    return len(committed_units(request.lake, run.run_id)) < run.units


def _plan(
    request: Request, digest: str, values: Mapping[str, object], on_listing: Callable[[int], None] | None
) -> Started | None:
    lake = request.lake
    runs = list_runs(lake)
    number = max((run.number for run in runs), default=0) + 1
    run_id = request.run_id or f"{number:06d}-{digest[:8]}"
    suppression = _suppression(lake)
    with tempfile.TemporaryDirectory(prefix="provoice-plan-") as folder:
        path = Path(folder) / "plan.parquet"
        done = done_sources(lake, runs, digest, request.config.consent)
        summary = write_plan(
            request.roots,
            request.catalogue,
            request.config.sources,
            request.config.plan,
            path,
            done=done,
            outside=lake.root.uri,
            on_listing=on_listing,
            is_suppressed=suppression.has_path if suppression else None,
        )
        if suppression.refresh():
            raise AlreadyExists("an erasure came in between")  # as if another had the number: plan again
        if summary.sources == 0:
            return None
        announce_changes(lake, runs, path)
        plan = put_plan(lake, path, number)
    record = RunRecord(
        number=number,
        run_id=run_id,
        recipe_sha256=digest,
        is_explore=request.config.is_explore,
        roots=request.root_uris,
        plan=plan,
        units=summary.units,
        sources=summary.sources,
        ignored=summary.ignored,
        estimated_s=summary.estimated_s,
        created_at=datetime.now(UTC),
    )
    created = create_run(lake, record)
    _store_recipe(lake, created, request.config, values)
    return Started(created, is_resumed=False, summary=summary)


def _store_recipe(lake: Lake, run: RunRecord, config: Config, values: Mapping[str, object]) -> None:
    """`config.yaml` beside the run: what was asked, and the recipe that its digest is over."""
    import yaml

    text = yaml.safe_dump({"config": config.model_dump(mode="json"), "recipe": values}, sort_keys=False)
    with contextlib.suppress(AlreadyExists):
        lake.root.create(layout.config_path(run.number), text.encode())


def _stored_recipe(lake: Lake, run: RunRecord) -> dict[str, object]:
    import yaml

    path = layout.config_path(run.number)
    stored = yaml.safe_load(lake.root.read(path)) if lake.root.exists(path) else {}
    return dict(stored.get("recipe", {}))


def execute(request: Request, started: Started, report: Callable[[Progress], None], work_dir: str = "") -> Progress:
    """Hands out every unit without a commit, and returns the account, read from the store and not from the engine."""
    lake, run, config = request.lake, started.run, request.config
    committed = committed_units(lake, run.run_id)
    planned = read_plan_units(lake, run)
    tasks = [Task(u.unit_id, u.estimated_s, u.deadline_s) for u in planned if u.unit_id not in committed]
    progress = Progress(run.units, report)
    decided_at = 0
    for commit in read_commits(lake, run.run_id):
        progress.add(commit, is_new=False)
        decided_at = max(decided_at, commit.ledger_position)
    # A chain alone cannot show that its last segments are gone; a commit that was decided on them can.
    lake.ledger().expect(decided_at)
    work = PrepareWork(lake.root.uri, run.run_id, run.number, config.model_dump(mode="json"), work_dir)
    if tasks:
        with contextlib.closing(engine_named(config.engine)(tasks, work, _settings(request, run))) as commits:
            for commit in commits:
                progress.add(commit)
    account = _account(lake, run)
    _take_snapshot(lake)
    return account


def _settings(request: Request, run: RunRecord) -> Settings:
    config = request.config
    return Settings(
        f"provoice-{run.run_id}",
        config.workers,
        config.ray,
        config.beam,
        request.options,
        worker_memory_bytes=config.limits.memory_bytes,
    )


def _take_snapshot(lake: Lake) -> None:
    """So that readers open few files. The run is complete without it, so whatever fails here is only said."""
    from pipelines.snapshot import snapshot

    try:
        snapshot(lake)
    except Exception as error:  # noqa: BLE001  (a full disk, say: no reason to fail a run that is complete)
        said = " ".join(str(error).split()) or type(error).__name__
        _LOG.warning(
            "the run is complete, but no snapshot was taken: %s; try `provoice snapshot %s`", said, lake.root.uri
        )


def _account(lake: Lake, run: RunRecord) -> Progress:
    """Plan minus commits must be empty, whatever the engine said, and every source must be accounted for."""
    progress = Progress(run.units, lambda _: None)
    for commit in read_commits(lake, run.run_id):
        progress.add(commit)
    if progress.committed != run.units:
        raise RunStopped(f"{run.units - progress.committed} of {run.units} units of run {run.run_id} are not committed")
    if progress.counts.sources != run.sources or not progress.counts.is_conserved:
        raise RunStopped(f"run {run.run_id} planned {run.sources} sources and accounts for {progress.counts!r}")
    return progress


def close_run(lake: Lake, run_id: str) -> RunRecord:
    """Ends a run's hold on what it has not committed."""
    run = next((run for run in list_runs(lake) if run.run_id == run_id), None)
    if run is None:
        raise ConfigError(f"{lake.root.uri} has no run {run_id}; `provoice status` lists them")
    return run if run.is_closed else revise_run(lake, run.model_copy(update={"is_closed": True}))


def preview(lake_uri: str, config: Config, roots: Sequence[SourceRoot], catalogue: Catalogue | None) -> PlanSummary:
    """What a run would plan. Writes nothing, and a lake that is not there yet counts as an empty one."""
    with tempfile.TemporaryDirectory(prefix="provoice-plan-") as folder:
        return previewed(lake_uri, config, roots, catalogue, Path(folder) / "plan.parquet")


def previewed(
    lake_uri: str, config: Config, roots: Sequence[SourceRoot], catalogue: Catalogue | None, path: Path,
    on_listing: Callable[[int], None] | None = None,
) -> PlanSummary:  # fmt: skip
    """As `preview`, with the plan itself in the file `path`: the very bytes that a run would store."""
    done, is_suppressed = None, None
    if Lake.exists(lake_uri):
        lake = Lake.open(lake_uri)
        done = done_sources(lake, list_runs(lake), digest_of(recipe(config)), config.consent)
        suppression = _suppression(lake)
        is_suppressed = suppression.has_path if suppression else None
    return write_plan(
        roots, catalogue, config.sources, config.plan, path, done=done, outside=lake_uri, on_listing=on_listing,
        is_suppressed=is_suppressed,
    )  # fmt: skip


def _suppression(lake: Lake) -> Suppression:
    """The suppression list of the lake's ledger, as it stands."""
    found = Suppression(lake.ledger().root)
    found.refresh()
    return found
