"""Go programs that tests talk to, built from the module proxy into `.cache/tests/bin`, once.

    prism = go_binary("github.com/apache/beam/sdks/v2/go/cmd/prism@v2.77.0", "prism")
    boot = go_binary("github.com/apache/beam/sdks/v2/python/container@v2.77.0", "beam-boot")

The name is ours; the version becomes a part of the file's name, so a new pin is a new build. Where there is no Go, or
it is too old, or the module proxy cannot be reached, the test that asked is skipped with what was said; a build that
fails for any other reason fails the test. Two test processes that ask at once build once: the other one waits.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "tests"
FAKE_GCS = "github.com/fsouza/fake-gcs-server@v1.56.1"
MINIO = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c"

_TIMEOUT_S = 900
_UNREACHED = (
    "dial tcp", "no such host", "i/o timeout", "connection refused", "connection reset", "TLS handshake timeout",
    "proxyconnect", "network is unreachable", "GOPROXY", "502 Bad Gateway", "503 Service", "unexpected EOF",
)  # fmt: skip
_TOO_OLD = ("requires go >=", "requires go1", "invalid go version")


def go_binary(module_at_version: str, name: str) -> Path:
    """The built program; skips the test where it cannot be had (see above)."""
    found = _built(module_at_version, name)
    if isinstance(found, Path):
        return found
    why, is_ours = found
    return pytest.fail(why) if is_ours else pytest.skip(why)


@cache
def _built(module_at_version: str, name: str) -> Path | tuple[str, bool]:
    """The program, or why there is none and whether that is a fault. A refusal is not tried again in this process."""
    folder = CACHE / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}-{module_at_version.rpartition('@')[2]}"
    if target.exists():
        return target
    go = shutil.which("go", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/go/bin", "/usr/lib/go/bin"]))
    if go is None:
        return f"{name} is built with Go, and there is no `go` on the PATH", False
    with (folder / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return target if target.exists() else _build(go, module_at_version, target)


def _build(go: str, module_at_version: str, target: Path) -> Path | tuple[str, bool]:
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".building-") as made:
        environment = {**_environment(go), "GOBIN": made}
        try:
            done = subprocess.run(
                [go, "install", module_at_version],
                cwd=made, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"{module_at_version} did not build within {_TIMEOUT_S} s", False
        if done.returncode:
            return _why(go, module_at_version, done.stderr)
        (binary,) = Path(made).iterdir()
        os.replace(binary, target)  # whole under its name, or not there
    return target


def _environment(go: str) -> dict[str, str]:
    """Go's own caches, where this user can write them, serve all clones on a machine; else they lie in ours."""
    environment = {name: value for name, value in os.environ.items() if name != "XDG_CACHE_HOME"}  # the tests' own
    environment["GOFLAGS"] = f"{environment.get('GOFLAGS', '')} -buildvcs=false".strip()
    asked = subprocess.run([go, "env", "GOMODCACHE", "GOCACHE"], env=environment, capture_output=True, text=True)
    folders = [Path(line) for line in asked.stdout.splitlines() if line.startswith("/")]
    if asked.returncode or len(folders) != 2 or not all(map(_is_writable, folders)):
        environment |= {"GOPATH": str(CACHE / "go"), "GOCACHE": str(CACHE / "go-build")}
        environment.pop("GOMODCACHE", None)
        environment["GOFLAGS"] += " -modcacherw"  # or `rm -r` could not remove it
    return environment


def _is_writable(folder: Path) -> bool:
    there = next(place for place in (folder, *folder.parents) if place.exists())
    return os.access(there, os.W_OK)


def _why(go: str, module_at_version: str, said: str) -> tuple[str, bool]:
    line = " ".join(said.split())[-600:]
    if any(word in said for word in _TOO_OLD):
        version = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True).stdout.strip()
        return f"{module_at_version}: {go} ({version}) is too old for it: {line}", False
    if any(word in said for word in _UNREACHED):
        return f"{module_at_version}: the module proxy was not reached: {line}", False
    return f"{module_at_version} does not build: {line}", True
