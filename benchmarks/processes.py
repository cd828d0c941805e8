"""What a command costs as a whole process: CPU seconds with its descendants, wall time, and peak memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.corpus import ROOT

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)


class CommandFailed(Exception):
    """A measured command ended with another exit code than 0; its last lines are the text."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one command and everything it started used."""

    cpu_s: float
    wall_s: float
    peak_bytes: int
    """Largest resident size of any one process among them."""


def cost_of(command: Sequence[str], log: Path, core: int) -> Cost:
    """Run `command` to its end on `core` alone, from the checkout's root, with its output in `log`.

    Raises CommandFailed where it does not exit with 0.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as sink:
        start = time.perf_counter()
        child = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.pinned", str(core), *command],
            stdout=sink,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
            env={**os.environ, **ONE_THREAD},
        )
        # wait4 and not Popen.wait: it alone says what this child used, with all that it waited for.
        _, status, usage = os.wait4(child.pid, 0)
        wall_s = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        tail = log.read_text(errors="replace").strip().splitlines()[-12:]
        raise CommandFailed("\n".join([f"{' '.join(command)} ended with {child.returncode}; {log} ends:", *tail]))
    return Cost(round(usage.ru_utime + usage.ru_stime, 3), round(wall_s, 3), usage.ru_maxrss * 1024)
