"""A command and all that it starts: seconds, and the most memory that they held together."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

import psutil

from benchmarks.corpus import ROOT
from benchmarks.processes import CommandFailed

_EVERY_S = 0.05


def run_and_watch(command: Sequence[str]) -> tuple[str, dict[str, float]]:
    """What the command printed, and its `wall_s`, `cpu_s` and `peak_bytes`. Raises CommandFailed.

    The peak is the larger of two: the kernel's own figure for the largest process, and the sum over the tree, looked at
    twenty times a second.
    """
    began = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=sys.stderr, cwd=ROOT, text=True)
    peak = [0]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_EVERY_S):
            peak[0] = max(peak[0], _resident(child.pid))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    said = child.stdout.read() if child.stdout else ""
    _, status, usage = os.wait4(child.pid, 0)
    ended.set()
    watcher.join()
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.stdout:
        child.stdout.close()
    if child.returncode != 0:
        raise CommandFailed(f"{' '.join(command)} ended with {child.returncode}")
    return said, {
        "wall_s": round(time.monotonic() - began, 2),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_bytes": max(peak[0], usage.ru_maxrss * 1024),
    }


def _resident(pid: int) -> int:
    total = 0
    try:
        process = psutil.Process(pid)
        for each in [process, *process.children(recursive=True)]:
            total += each.memory_info().rss
    except psutil.Error:
        pass  # it ended while we looked
    return total
