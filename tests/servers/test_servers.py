"""Programs are built once, or it is said why not; what was started ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.servers import go_build
from tests.servers.go_build import go_binary
from tests.servers.processes import running

MODULE = "example.org/some/program@v1.2.3"


@pytest.fixture
def go(tmp_path, monkeypatch):
    """A `go` whose `install` does what the test says, in shell."""
    monkeypatch.setattr(go_build, "CACHE", tmp_path / "cache")
    go_build._built.cache_clear()

    def says(script: str) -> None:
        (tmp_path / "go").write_text(f'#!/bin/sh\n[ "$1" = install ] || {{ echo go1.2; exit 0; }}\n{script}\n')
        (tmp_path / "go").chmod(0o755)
        monkeypatch.setattr(shutil, "which", lambda *_, **__: str(tmp_path / "go"))

    yield says
    go_build._built.cache_clear()


def test_a_program_is_built_once(go, tmp_path):
    go(f'echo built >> {tmp_path}/log; echo "$2" > "$GOBIN/program"')
    path = go_binary(MODULE, "mine")
    go_build._built.cache_clear()
    assert go_binary(MODULE, "mine") == path == tmp_path / "cache" / "bin" / "mine-v1.2.3"
    assert path.read_text() == MODULE + "\n"
    assert (tmp_path / "log").read_text() == "built\n"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("dial tcp: lookup proxy.example.org: no such host", "was not reached"),
        ("module lookup disabled by GOPROXY=off", "was not reached"),
        ("requires go >= 1.99 (running go 1.2; GOTOOLCHAIN=local)", r"\(go1.2\) is too old"),
    ],
)
def test_where_it_cannot_be_had_the_test_is_skipped_and_says_so(go, said, expected):
    go(f'echo "{said}" >&2; exit 1')
    with pytest.raises(pytest.skip.Exception, match=expected):
        go_binary(MODULE, "mine")


def test_without_go_the_test_is_skipped(go, monkeypatch):
    go("exit 1")
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(pytest.skip.Exception, match="there is no `go`"):
        go_binary(MODULE, "mine")


def test_a_build_that_fails_for_its_own_reasons_fails_the_test(go):
    go('echo "undefined: x" >&2; exit 1')
    with pytest.raises(pytest.fail.Exception, match="does not build: undefined: x"):
        go_binary(MODULE, "mine")


_HOLDER = """
import sys
from tests.servers.processes import free_port, running
port = free_port()
command = [sys.executable, "-m", "http.server", "-b", "127.0.0.1", str(port)]
with running(command, f"http://127.0.0.1:{port}/") as server:
    print(server.pid, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_server_ends_with_the_test_also_when_that_is_killed(is_killed):
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    ) as test:  # fmt: skip
        assert test.stdout is not None
        server = psutil.Process(int(test.stdout.readline()))
        assert server.is_running()
        if is_killed:
            test.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs([server], timeout=10)
    assert not alive


def test_a_server_that_does_not_start_fails_the_test_with_what_it_said(tmp_path):
    with (
        pytest.raises(pytest.fail.Exception, match=r"did not start.*no such option"),
        running(["/bin/sh", "-c", "echo no such option; exit 3"], "http://127.0.0.1:1/", log=tmp_path / "log"),
    ):
        pass
