"""A task that calls the command line: words in, exit code and figures out."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from provoice_dag import commands
from provoice_dag.commands import Words

_PATIENCE_S = 60.0
"""A command that is told to end finishes what it is writing; after this it is killed."""
_SAID = frozenset({"run_id", "state", "again_at", "name", "version", "sha256", "created_at", "first_ends"})
"""Texts of a command's JSON that are kept; any other may be a person's, a path or a key."""


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    code: int
    stdout: str

    def objects(self) -> list[dict[str, Any]]:
        """What it printed, a JSON object a line."""
        return [json.loads(line) for line in self.stdout.splitlines() if line.strip()]


class CommandTask(BaseOperator):
    """Calls `provoice`, tells its outcome from its exit code, and gives up the child when it is told to end.

    Broken (1) and killed are tried again; a wrong request (2), too much rejected (3) and a refusal (4) are not, for
    a retry would say the same.
    """

    ui_color = "#e6eef7"
    template_fields: Sequence[str] = ()

    def __init__(self, *, program: Sequence[str], ray: Sequence[str] = ("ray",), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.program = list(program)
        self.ray = list(ray)

    _child: ClassVar[subprocess.Popen[str] | None] = None
    _is_told_to_end: ClassVar[bool] = False

    def by_hand(self, context: Mapping[str, Any]) -> Words | None:
        """The command line that a person types to do this task again."""
        raise NotImplementedError

    def execute(self, context: Any) -> Any:
        raise NotImplementedError

    def call(self, words: Words, ok: Sequence[int] = (0,), *, is_shown: bool = True, streams: bool = False) -> Finished:
        """Runs the command; its standard error, and with `streams` all that it says, goes to the task's log."""
        self.log.info("%s", shlex.join(words) if is_shown else f"{shlex.join(words[: len(self.program) + 2])} …")
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as out:
            child = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if streams else out,
                stderr=subprocess.STDOUT if streams else subprocess.PIPE, text=True, errors="replace",
                start_new_session=True,
            )  # fmt: skip
            CommandTask._child = child
            if CommandTask._is_told_to_end:  # before there was a child that could be told
                self.on_kill()
            for line in (child.stdout if streams else child.stderr) or ():
                if line.strip():
                    self.log.info("%s", line.rstrip())
            code = child.wait()
            CommandTask._child = None
            out.seek(0)
            done = Finished(code, out.read())
        if code not in ok:
            raise self.failure(words, code)
        return done

    def failure(self, words: Words, code: int) -> AirflowException:
        """What the task fails with, and whether that is tried again."""
        what = " ".join(words[len(self.program) :][:2] if words[: len(self.program)] == self.program else words[:3])
        if code in (2, 3, 4):
            said = f"{what}: exit code {code}, {commands.MEANINGS[code]}; a retry would say the same"
            return AirflowFailException(said)
        why = commands.MEANINGS.get(code) or (f"ended by signal {-code}" if code < 0 else "it was ended")
        return AirflowException(f"{what}: exit code {code}, {why}; it is resumed where it stopped")

    def on_kill(self) -> None:
        """Airflow ends the task: the command ends as with Ctrl-C, and what it has committed stays."""
        CommandTask._is_told_to_end = True
        child = CommandTask._child
        if child is None or child.poll() is not None:
            return
        # A signal's handler must not wait: `call` does, which it interrupted, and then fails with the exit code.
        child.send_signal(signal.SIGINT)
        last = threading.Timer(_PATIENCE_S, _kill_session, (child,))
        last.daemon = True
        last.start()

    def begin(self, words: Words) -> None:
        """Starts a command that nobody waits for, as a signal's handler must not."""
        subprocess.Popen(words, stdin=subprocess.DEVNULL, start_new_session=True)

    def run_name(self, context: Mapping[str, Any]) -> str:
        """The provoice run of this DAG run."""
        dag_run = context["dag_run"]
        return commands.run_id(self.dag_id, dag_run.logical_date or dag_run.run_after)


def figures(found: Mapping[str, Any]) -> dict[str, Any]:
    """Of a command's JSON what may stay in Airflow's database: numbers, and texts that name nobody."""
    kept: dict[str, Any] = {}
    for name, value in found.items():
        if isinstance(value, bool | int | float) or (name in _SAID and isinstance(value, str)):
            kept[name] = value
        elif isinstance(value, dict) and (inner := figures(value)):
            kept[name] = inner
    return kept


def _kill_session(child: subprocess.Popen[str]) -> None:
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
