"""Keeps one child process and runs units in it; knows which sources are in hand, so that a death has a culprit.

A source on which the child dies twice alone becomes a rejection, and its neighbours are emitted.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import psutil

from pipelines.child import Failure, JobSpec, serve, settings_of_this_process
from pipelines.config import Limits
from pipelines.unit import Attempt
from pipelines.work_dir import WorkDir
from schemas.errors import ProvoiceError, Reason, Rejected, RunStopped
from schemas.model import parse
from schemas.records import Commit, Counts

log = logging.getLogger("provoice.worker")

_OPENING_S = 300.0
_POLL_S = 0.1
_MAX_INFRASTRUCTURE_FAILURES = 3


@dataclass(slots=True)
class Death:
    """The child is gone, or gave up: why, and what it had in hand."""

    reason: Reason
    detail: str
    in_hand: tuple[str, ...]
    stage: str = ""


@dataclass(slots=True)
class _Known:
    """What earlier attempts at a unit have taught about its sources."""

    strikes: dict[str, int] = field(default_factory=dict)
    doomed: dict[str, Rejected] = field(default_factory=dict)
    failures_with_empty_hands: int = 0

    def learn(self, death: Death, tries: int) -> None:
        if not death.in_hand:
            self.failures_with_empty_hands += 1
            if self.failures_with_empty_hands >= _MAX_INFRASTRUCTURE_FAILURES:
                raise RunStopped(
                    f"a worker failed {self.failures_with_empty_hands} times between sources: {death.detail}"
                )
        elif len(death.in_hand) > 1:
            for source in death.in_hand:
                self.strikes.setdefault(source, 0)
        else:
            source = death.in_hand[0]
            self.strikes[source] = self.strikes.get(source, 0) + 1
            if self.strikes[source] >= tries:
                self.doomed[source] = Rejected(death.reason, death.detail, "worker")


class Supervisor:
    """One child at a time, replaced when it dies. Not for two threads at once."""

    def __init__(self, spec: JobSpec, limits: Limits, may_commit: Callable[[Counts], None]) -> None:
        self._spec = spec
        self._limits = limits
        self._may_commit = may_commit
        self._process: Any = None
        self._connection: Any = None
        self._sources = 0
        self._work_dir = WorkDir(spec.work_dir)
        self._stopping = threading.Event()

    def run(self, unit_id: str) -> Commit:
        """Runs the unit until it is committed. Raises for the store, the config or the breaker, never for a source."""
        known = _Known()
        number = 0
        while True:
            number += 1
            attempt = Attempt(unit_id, number, dict(known.doomed), frozenset(known.strikes))
            answer = self._attempt(attempt)
            if isinstance(answer, Commit):
                return answer
            log.warning(
                "unit %s, attempt %d: %s: %s", unit_id, number, answer.reason.value, answer.detail,
                extra=self._about(unit_id, attempt=number, reason=answer.reason.value, stage=answer.stage),
            )  # fmt: skip
            known.learn(answer, self._limits.tries)
            self._give_up_early(known)

    def _about(self, unit_id: str, **more: object) -> dict[str, object]:
        """What a log that is read by machines says beside the sentence."""
        return {"run_id": self._spec.run_id, "unit_id": unit_id, **more}

    def _give_up_early(self, known: _Known) -> None:
        """The breaker judges a unit when it is done; one in which source after source fails need not get there."""
        failed = len(known.doomed)
        if failed >= self._limits.breaker_min and failed > self._limits.breaker_share * self._sources:
            last = next(reversed(known.doomed.values()))
            raise RunStopped(
                f"{failed} of the {self._sources} sources of one unit crashed or failed, the last with "
                f"{last.reason.value}: {last.detail}; this looks like a fault of the set-up, not of the files"
            )

    def close(self) -> None:
        """Ends the child, and removes what it left on disk. A thread that is in `run` sees RunStopped."""
        self._stopping.set()
        process = self._process
        if process is not None:
            process.kill()
            process.join(10)
        self._work_dir.close()

    def _attempt(self, attempt: Attempt) -> Commit | Death:
        if self._process is None:
            self._start()
        self._connection.send(attempt)
        in_hand: tuple[str, ...] = ()
        due = float("inf")
        while True:
            said = self._heard(in_hand, due)
            if isinstance(said, Death):
                self._kill()
                return said
            kind, *rest = said
            if kind == "in_hand":
                in_hand, seconds, self._sources = tuple(rest[0]), rest[1], rest[2]
                allowed = self._limits.seconds_per_source * len(in_hand) + self._limits.seconds_per_audio_s * seconds
                due = time.monotonic() + allowed if in_hand else float("inf")
            elif kind == "may_commit":
                self._connection.send(self._asked(parse(Counts, rest[0], "a unit's account")))
            elif kind == "commit":
                return parse(Commit, rest[0], "a commit")
            else:
                return self._failed(rest[0], in_hand)

    def _asked(self, counts: Counts) -> ProvoiceError | None:
        try:
            self._may_commit(counts)
        except ProvoiceError as refusal:
            return refusal
        return None

    def _failed(self, failure: Failure, in_hand: Sequence[str]) -> Death:
        if failure.is_fatal:
            self._kill()
            raise failure.error
        if failure.trace:
            log.debug("%s", failure.trace)
        if isinstance(failure.error, MemoryError):
            self._kill()
            return Death(Reason.OUT_OF_MEMORY, "the worker could not get more memory", tuple(in_hand))
        return Death(Reason.STAGE_FAILED, str(failure.error), tuple(in_hand), failure.stage)

    def _heard(self, in_hand: tuple[str, ...], due: float) -> tuple[Any, ...] | Death:
        """The child's next word; a Death when it dies, outgrows its memory or is late."""
        while not self._stopping.is_set():
            try:
                if self._connection.poll(_POLL_S):
                    return tuple(self._connection.recv())
            except (EOFError, OSError):
                # Its end of the pipe closed: it is dead, or about to be; by our own hand, when we are stopping.
                if self._stopping.is_set():
                    break
                self._process.join(10)
                ending = _ending(self._process.exitcode)
                return Death(Reason.DECODER_CRASHED, f"the worker ended with {ending}", in_hand)
            if time.monotonic() > due:
                return Death(Reason.TIMED_OUT, "it took longer than its limit", in_hand)
            if _resident_bytes(self._process.pid) > self._limits.memory_bytes:
                limit = self._limits.memory_bytes >> 20
                return Death(Reason.OUT_OF_MEMORY, f"the worker passed its {limit} MiB of memory", in_hand)
        raise RunStopped("the worker was stopped")

    def _start(self) -> None:
        context = multiprocessing.get_context("forkserver")
        # The fork server imports once what every child needs, so that a new child costs only its models.
        context.set_forkserver_preload(
            ["pipelines.unit", "pipelines.child", "pyarrow.parquet", "onnxruntime", "soundfile"]
        )
        ours, theirs = context.Pipe()
        spec = replace(self._spec, work_dir=str(self._work_dir.path))
        args = (theirs, spec, os.getpid(), settings_of_this_process())
        process = context.Process(target=serve, args=args, daemon=True, name="provoice-worker")
        process.start()
        theirs.close()
        self._process, self._connection = process, ours
        said = self._heard((), time.monotonic() + _OPENING_S)
        if isinstance(said, Death):
            self._kill()
            raise RunStopped(f"a worker did not start: {said.detail}")
        if said[0] == "failed":
            self._kill()
            failure: Failure = said[1]
            log.debug("%s", failure.trace)
            is_ours = isinstance(failure.error, ProvoiceError)
            raise failure.error if is_ours else RunStopped(f"a worker did not start: {failure.error}")

    def _kill(self) -> None:
        if self._process is None:
            return
        with contextlib.suppress(OSError):
            self._connection.close()
        self._process.kill()
        self._process.join(10)
        self._process = self._connection = None


def _resident_bytes(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _ending(exitcode: int | None) -> str:
    """`signal 6 (Aborted)` or `exit code 3`."""
    if exitcode is not None and exitcode < 0:
        return f"signal {-exitcode} ({signal.strsignal(-exitcode) or 'unknown'})"
    return f"exit code {exitcode}"


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
