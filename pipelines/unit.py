"""One unit from plan to commit, inside a worker process: prepare, ask again, upload, ask again, commit."""

from __future__ import annotations

import platform
import resource
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from lake.commits import create_commit
from lake.lake import Lake
from lake.runs import read_unit, reread_run
from pipelines.config import Config
from pipelines.decoders import Decoders
from pipelines.gate import Admission, ConsentGate, Held
from pipelines.model_files import fetch_accent, fetch_models
from pipelines.plan import PlannedSource, Unit
from pipelines.prepare import Outcome, Preparer
from pipelines.rows import Row, RunNames, counted, recording_row
from pipelines.shards import Finished, write_objects
from pipelines.stages import Stages, build_stages
from schemas.errors import Rejected, RunStopped
from schemas.records import Commit, Counts, RunRecord


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a unit: what is known of its sources from earlier tries."""

    unit_id: str
    number: int = 1
    doomed: Mapping[str, Rejected] | None = None
    """Sources that failed too often, with the rejection each becomes."""
    alone: frozenset[str] = frozenset()
    """Sources that are prepared by themselves, for they were in hand when a worker died."""


@dataclass(frozen=True, slots=True)
class Calls:
    """What the worker process tells its supervisor while it works."""

    in_hand: Callable[[Sequence[PlannedSource], int], None]
    """Which sources are worked on now, and how many the unit has."""
    may_commit: Callable[[Counts], None]
    """Raises RunStopped where the breaker holds."""


class UnitJob:
    """All that a worker process opens once, for one run: lake, configuration, stages with their models."""

    def __init__(self, lake: Lake, run: RunRecord, config: Config, work_dir: Path) -> None:
        self.lake = lake
        self.run = run
        self.config = config
        self.work_dir = work_dir
        self.stages: Stages = build_stages(config, work_dir / "spool")
        self.gate = ConsentGate(lake.ledger(), config.consent)
        self.decoders = Decoders(config.decoders, config.limits.memory_bytes) if config.decoders else None

    def open(self) -> None:
        self.work_dir.mkdir(parents=True, exist_ok=True)
        fetch_models(self.config.diarize)
        fetch_accent(self.config.accent)
        self.stages.open()
        self.gate.refresh()

    def __call__(self, attempt: Attempt, calls: Calls) -> Commit:
        """Runs the unit and returns the commit that holds: this attempt's, or an earlier writer's."""
        began, cpu_began = time.monotonic(), time.process_time()
        self.run = reread_run(self.lake, self.run)  # an erasure may have put another plan in the place of this one
        unit = Unit.from_table(read_unit(self.lake, self.run, attempt.unit_id))
        names = RunNames(self.run.run_id, unit.unit_id, self.run.recipe_sha256)
        folder = self.work_dir / "unit"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            self.gate.announce(unit.sources)
            self.gate.refresh()
            with (folder / "audio.scratch").open("w+b") as scratch:
                # A source may have killed a worker: from then on nothing but what is in hand is touched.
                decoders = self.decoders if attempt.number == 1 else None
                preparer = Preparer(
                    self.config,
                    self.stages,
                    self.gate,
                    self.run.roots,
                    names,
                    self.work_dir / "spool",
                    scratch,
                    decoders,
                )
                outcomes: list[Outcome] = []
                batches = [*_batches(unit.sources, attempt.alone, self.config.limits.batch_audio_s), []]
                with closing(preparer.intake):
                    for batch, following in pairwise(batches):
                        calls.in_hand(batch, len(unit.sources))
                        outcomes += preparer(batch, attempt.doomed or {}, following)
                calls.in_hand((), len(unit.sources))
                objects = self._uploaded(outcomes, scratch, names, folder)
            counts = account(outcomes, unit)
            calls.may_commit(counts)
            self._check_may_commit(unit, began)
            seconds = {name: round(spent, 3) for name, spent in sorted(preparer.seconds.items())}
            own_s = sum(preparer.seconds.values()) - preparer.intake.elsewhere_s
            seconds["other"] = round(time.process_time() - cpu_began - own_s, 3)
            return create_commit(
                self.lake,
                Commit(
                    run_id=names.run_id,
                    unit_id=names.unit_id,
                    writer=secrets.token_hex(16),
                    recipe_sha256=names.recipe_sha256,
                    objects=tuple(done.stored for done in objects),
                    counts=counts,
                    ledger_position=self.gate.state.position,
                    decided_at=self.gate.decided_at,
                    committed_at=datetime.now(UTC),
                    seconds=seconds,
                    wall_s=round(time.monotonic() - began, 3),
                    peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                    host=socket.gethostname(),
                    cpu=platform.processor() or platform.machine(),
                    attempt=attempt.number,
                ),
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _uploaded(self, outcomes: list[Outcome], scratch: BinaryIO, names: RunNames, folder: Path) -> list[Finished]:
        """Gate 2: asks before the upload, and again after it; builds anew when an answer has changed meanwhile."""
        self._ask_again(outcomes, names)
        while True:
            shutil.rmtree(folder / "objects", ignore_errors=True)
            objects = write_objects(
                outcomes,
                scratch,
                names,
                folder / "objects",
                codec=self.config.output.codec,
                shard_max_bytes=self.config.output.shard_max_bytes,
                declared_columns=self.stages.declared_columns,
            )
            for done in objects:
                self.lake.root.put(done.stored.path, done.local_path, done.stored.sha256)
            if not self._ask_again(outcomes, names):
                return objects

    def _ask_again(self, outcomes: list[Outcome], names: RunNames) -> bool:
        """Reads what the ledger has learnt and drops what is denied since; True when any outcome changed."""
        if not self.gate.refresh():
            return False
        changed = False
        for n, outcome in enumerate(outcomes):
            if not outcome.is_emitted:
                continue
            answer = self.gate.ask(outcome.planned)
            answer = self.gate.erased_before(outcome.row["source_sha256"]) or answer
            if isinstance(answer, Held):
                row = recording_row(outcome.planned, names, None, outcome=answer)
                outcomes[n] = Outcome(outcome.planned, row)
                changed = True
            else:
                changed |= _regranted(outcome, answer)
        return changed

    def _check_may_commit(self, unit: Unit, began: float) -> None:
        if time.monotonic() - began > unit.deadline_s:
            raise RunStopped(f"unit {unit.unit_id} took longer than its deadline of {unit.deadline_s:.0f} s")
        if reread_run(self.lake, self.run).is_closed:
            raise RunStopped(f"run {self.run.run_id} was closed")


def _regranted(outcome: Outcome, admission: Admission) -> bool:
    """Puts the grants that now permit into the rows; True when one of them is another than before."""
    changed = False
    for row in (outcome.row, *(piece.row for piece in outcome.pieces)):
        for link in row["consent"]:
            grant = admission.grant_of.get(link["subject_id"])
            changed |= link["grant_id"] != grant
            link["grant_id"] = grant
    return changed


def _batches(
    sources: Sequence[PlannedSource], alone: frozenset[str], max_audio_s: float
) -> Iterator[list[PlannedSource]]:
    """Sources in plan order, together while their estimated seconds stay within the bound."""
    batch: list[PlannedSource] = []
    seconds = 0.0
    for planned in sources:
        is_alone = planned.source.recording_id in alone
        if batch and (is_alone or seconds + planned.estimated_s > max_audio_s):
            yield batch
            batch, seconds = [], 0.0
        batch.append(planned)
        seconds = max_audio_s if is_alone else seconds + planned.estimated_s
    if batch:
        yield batch


def account(outcomes: Sequence[Outcome], unit: Unit) -> Counts:
    """The unit's account; raises where a source or a cut is missing from it."""
    rows: list[Row] = [outcome.row for outcome in outcomes]
    emitted = [row for row in rows if row["status"] == "emitted"]
    cuts_rejected: dict[str, int] = {}
    for row in rows:
        for entry in row["utterances_rejected"]:
            cuts_rejected[entry["reason"]] = cuts_rejected.get(entry["reason"], 0) + entry["count"]
    counts = Counts(
        sources=len(unit.sources) + unit.erased,
        erased=unit.erased,
        emitted=len(emitted),
        rejected=counted(rows, "rejected"),
        held=counted(rows, "held"),
        utterances=sum(len(outcome.pieces) for outcome in outcomes),
        utterances_rejected=dict(sorted(cuts_rejected.items())),
        source_bytes=sum(planned.source.size_bytes for planned in unit.sources),
        source_s=round(sum(row.get("duration_s") or 0.0 for row in rows), 6),
        speech_s=round(sum(row.get("speech_s") or 0.0 for row in rows), 6),
        utterance_s=round(sum(row["utterance_s"] for row in rows), 6),
    )
    listed = {planned.source.recording_id for planned in unit.sources}
    if not counts.is_conserved or {row["recording_id"] for row in rows} != listed:
        raise RuntimeError(f"unit {unit.unit_id} lost count of its sources: {counts!r}")
    return counts
