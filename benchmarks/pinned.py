"""Run a command on one core and wait for everything it leaves behind: `python -m benchmarks.pinned CORE COMMAND …`.

A worker's child of a fork server is nobody's child once the command has ended, and would be missing from the account.
So this process adopts orphans (`PR_SET_CHILD_SUBREAPER`) and waits for each; who waits for *it* reads what all used.
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_SET_CHILD_SUBREAPER = 36


def run(core: int, command: list[str]) -> int:
    """Exit code of `command`, once it and all of its descendants have ended."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot adopt orphans")
    os.sched_setaffinity(0, {core})
    first = os.posix_spawnp(command[0], command, os.environ)
    exit_code = 1
    while True:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            return exit_code
        if pid == first:
            exit_code = os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    ended = run(int(sys.argv[1]), sys.argv[2:])
    raise SystemExit(ended if ended >= 0 else 128 - ended)
