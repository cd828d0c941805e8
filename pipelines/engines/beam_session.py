"""The processes of one driver: whatever it started, and what that started, by their session."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

import psutil


def session_pids(leader: int) -> Iterator[int]:
    """Every process of the session that `leader` leads, itself included; it may be gone by now."""
    for pid in psutil.pids():
        with contextlib.suppress(OSError):
            if os.getsid(pid) == leader:
                yield pid


def runner_pids(leader: int) -> set[int]:
    """Those that the runner started and cannot do without: Beam's own worker processes, and Prism."""
    found = set()
    for pid in session_pids(leader):
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            if pid != leader and process.status() != psutil.STATUS_ZOMBIE and _is_runners(process):
                found.add(pid)
    return found


def _is_runners(process: psutil.Process) -> bool:
    words = process.cmdline()
    return any("apache_beam.runners.worker" in word for word in words) or (
        bool(words) and "prism" in os.path.basename(words[0])
    )


def end_session(leader: int) -> None:
    """Ends all of them, the leader last: whoever is left could start another one."""
    for _ in range(3):
        others = [pid for pid in session_pids(leader) if pid != leader]
        for pid in others:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not others:
            break
    with contextlib.suppress(ProcessLookupError):
        if os.getsid(leader) == leader:
            os.kill(leader, signal.SIGKILL)
