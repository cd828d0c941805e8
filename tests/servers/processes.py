"""Servers as child processes on loopback that end with the test, whatever becomes of it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

# Linux kills the server when the process that started it is gone, also by SIGKILL (PR_SET_PDEATHSIG, 1). Set in a
# small program that becomes the server, for code between fork and exec may hang where there are threads.
_TIED = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


def tied(command: Sequence[str]) -> list[str]:
    """`command`, its program by its full path, as one that dies with this process (or the thread that starts it)."""
    return [sys.executable, "-I", "-S", "-c", _TIED, str(os.getpid()), *command]


@contextmanager
def running(
    command: Sequence[str], alive: str, env: Mapping[str, str] | None = None, log: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """The server while it answers at the URL `alive`, with whatever status; ended afterwards."""
    with (log or Path(os.devnull)).open("ab") as said:
        server = subprocess.Popen(
            tied(command), env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
    try:
        if not _answers(server, alive):
            pytest.fail(f"{command[0]} did not start{f': {log.read_text()[-2000:]}' if log else ''}")
        yield server
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _answers(server: subprocess.Popen[bytes], alive: str) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(alive, timeout=5).close()
        except urllib.error.HTTPError as error:
            error.close()
        except OSError:
            time.sleep(0.05)
            continue
        return True
    return False
