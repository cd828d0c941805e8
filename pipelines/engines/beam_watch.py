"""Watches the driver and what it started: ends a runner that hangs, and says what became of one that is over."""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from multiprocessing import resource_tracker
from typing import Any

from pipelines.engines.beam_driver import CANCEL, Ended, Job, Refused, Submitted, serve
from pipelines.engines.beam_session import end_session, runner_pids
from pipelines.engines.contract import Settings, Task, Work
from schemas import errors
from schemas.errors import ConfigError, LakeError, ProvoiceError, RunStopped

log = logging.getLogger("provoice.beam")

_LOOK_S = 1.0
_AFTER_A_DEATH_S = 5.0
"""A runner that ends in order ends its workers first; this long after, it must have said so."""
_STARTING_S = 300.0
_ENDING_S = 120.0
_CANCEL_S = 30.0
_TIDYING_S = 2.0
_FIRST_TO_TELL = (ConfigError, errors.ConsentError, RunStopped, ProvoiceError)


class Driver:
    """The driver's process, from its start until nothing of it is left."""

    def __init__(self, tasks: Sequence[Task], work: Work[Any], settings: Settings) -> None:
        self._folder = tempfile.mkdtemp(prefix="provoice-beam-")
        self._log_path = os.path.join(self._folder, "runner.log")
        self._is_log_named = False
        self._hangs_after_s = settings.beam.hangs_after_s
        self._submitted: Submitted | None = None
        self._ended: Ended | None = None
        self._broken = ""
        self._workers: set[int] = set()
        self._death_at: float | None = None
        self._done_at: float | None = None
        self._progress_at = time.monotonic()
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        job = Job(tuple(tasks), work, settings, self._log_path, os.getpid())
        self._process = context.Process(target=serve, args=(theirs, job), name="provoice-beam")
        # Ctrl-C while the new process begins is for this one alone. The tracker, when it starts, unblocks the signal.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()

    def progress(self) -> None:
        """A receipt has appeared, or the runner has something new to do."""
        self._progress_at = time.monotonic()

    def wait(self, seconds: float) -> None:
        """Returns after `seconds`, or when there is something to judge. Raises ConfigError for wrong options."""
        until = time.monotonic() + seconds
        while self._ended is None and not self._broken and (left := until - time.monotonic()) > 0:
            try:
                if self._connection.poll(min(left, _LOOK_S)):
                    self._heard(self._connection.recv())
            except (EOFError, OSError):
                self._process.join(5)
                self._broken = f"its process ended with exit code {self._process.exitcode}"
            self._look_for_deaths()

    def _heard(self, said: object) -> None:
        if isinstance(said, Refused):
            raise ConfigError(said.text)
        if isinstance(said, Submitted):
            if said.job:
                log.info("%s has it as job %s", said.runner, said.job)
            self._submitted = said
            self.progress()
        elif isinstance(said, Ended):
            self._ended = said

    def _look_for_deaths(self) -> None:
        """DirectRunner with processes of its own waits for ever for one that was killed."""
        pid = self._process.pid
        if pid is None or self._submitted is None or self._ended is not None:
            return
        alive = runner_pids(pid)
        if self._death_at is None:
            self._death_at = time.monotonic() if self._workers - alive else None
            self._workers = alive
        if self._death_at is not None and time.monotonic() - self._death_at > _AFTER_A_DEATH_S:
            self._broken = "one of its worker processes is gone"

    def is_over(self, outstanding: Mapping[str, Task]) -> bool:
        """Whether there is nothing more to wait for."""
        if self._ended is not None or self._broken:
            return True
        now = time.monotonic()
        if not outstanding:
            # Its own end is worth a while, for its counters and for its state on the runner's own pages.
            self._done_at = self._done_at or now
            return now - self._done_at > _ENDING_S
        deadline_s = max(task.deadline_s for task in outstanding.values())
        silent_s = now - self._progress_at
        if silent_s > max(self._hangs_after_s, deadline_s, 0.0 if self._submitted else _STARTING_S):
            self._broken = f"it has not brought one receipt in {silent_s:.0f} s (beam.hangs_after_s)"
            return True
        return False

    def judge(self, outstanding: Mapping[str, Task]) -> None:
        """Raises what the workers raised, or RunStopped, where tasks are left without a receipt."""
        failed = self._broken or (self._ended.error if self._ended else "")
        if not outstanding:
            if failed:
                log.warning("everything is done, although %s failed: %s", self._name, failed)
            return
        told = worst(self._ended) if self._ended else None
        if told is not None:
            raise told
        self._is_log_named = True
        left = f"{len(outstanding)} of its tasks, the first {min(outstanding)}, have no receipt"
        if failed:
            raise RunStopped(f"{self._name} broke: {failed[:600]}; {left}; its log is {self._log_path}")
        said = self._ended.state if self._ended else "nothing"
        raise RunStopped(f"{self._name} said {said}, but {left}; its log is {self._log_path}")

    @property
    def _name(self) -> str:
        return self._submitted.runner if self._submitted else "Beam's runner"

    def close(self) -> None:
        """Cancels what would go on elsewhere, and ends every process that was started here.

        The log stays where an error names it.
        """
        pid = self._process.pid
        if self._ended is None and self._submitted is not None and self._submitted.is_remote:
            self._cancel()
        if self._ended is not None:
            self._process.join(_TIDYING_S)
        if pid is not None:
            end_session(pid)
            if self._process.is_alive():
                self._process.kill()
        self._process.join(10)
        self._connection.close()
        if not self._is_log_named:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _cancel(self) -> None:
        try:
            self._connection.send(CANCEL)
            self._process.join(_CANCEL_S)
        except OSError:
            log.warning("%s could not be told to cancel the job", self._name)


def worst(ended: Ended) -> ProvoiceError | None:
    """The worst of what the workers raised; by its class alone where the runner brought no texts back."""
    said = [text.partition(": ")[::2] for text in ended.dead_texts] or [
        (name.removeprefix("dead_"), "the runner did not bring back what it said")
        for name in ended.counters
        if name.startswith("dead_")
    ]
    found = [_error(name, text) for name, text in said]
    return next((error for kind in _FIRST_TO_TELL for error in found if isinstance(error, kind)), None)


def _error(name: str, said: str) -> ProvoiceError:
    """The error of ours by that name; what is none of ours is a fault of the code, and stops the run."""
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, (ConfigError, errors.ConsentError, LakeError, RunStopped)):
        return kind(said)
    return RunStopped(f"a worker failed with {name}: {said}")
