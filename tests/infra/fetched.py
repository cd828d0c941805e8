"""What the infrastructure is held against, fetched once into `.cache/tests`: packages of npm, of PyPI, of Go's proxy.

Each by an exact version and digest. Where one cannot be had, the test that asked is skipped with what was said.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "tests" / "infra"
_TIMEOUT_S = 1800
"""checkov alone brings a hundred packages."""


def program(name: str, why: str) -> str:
    """A program on the PATH; skips the test without it."""
    return shutil.which(name) or pytest.skip(f"{why}, and there is no `{name}` on the PATH")


@cache
def npm_package(name: str, version: str, sha256: str) -> Path:
    """The package's archive, from whatever registry npm is configured for."""
    npm = program("npm", f"{name} is fetched with npm")

    def fetch(folder: Path) -> None:
        _said([npm, "pack", f"{name}@{version}", "--silent", "--pack-destination", str(folder)], folder)

    return _file(f"{name.strip('@').replace('/', '-')}-{version}.tgz", sha256, fetch)


@cache
def pypi_wheel(name: str, version: str, sha256: str) -> Path:
    """A wheel, not installed."""

    def fetch(folder: Path) -> None:
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "download", "--no-deps"]
        _said([*pip, "--only-binary", ":all:", "--dest", str(folder), f"{name}=={version}"], folder)

    return _file(f"{name}-{version}.whl", sha256, fetch)


@cache
def go_module(path: str, version: str) -> Path:
    """A module's folder. Go checks its digest against the checksum database."""
    go = shutil.which("go", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/go/bin"]))
    if go is None:
        pytest.skip(f"{path} is fetched with Go, and there is no `go` on the PATH")
    CACHE.mkdir(parents=True, exist_ok=True)
    said = _said([go, "mod", "download", "-json", f"{path}@{version}"], CACHE)
    return Path(json.loads(said)["Dir"])


@cache
def tool(name: str, version: str, *beside: str) -> Path:
    """A virtual environment of its own with one program of PyPI's, whose dependencies ours would not bear."""
    folder = CACHE / f"{name}-{version}"
    with _locked(name):
        if not (folder / ".ready").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _said([sys.executable, "-m", "venv", str(folder)], CACHE)
            pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input"]
            _said([*pip, "install", "--quiet", "--only-binary", ":all:", f"{name}=={version}", *beside], CACHE)
            (folder / ".ready").touch()
    return folder / "bin"


def _file(name: str, sha256: str, fetch: Callable[[Path], None]) -> Path:
    target = CACHE / name
    with _locked(name):
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=CACHE, prefix=".fetching-") as made:
                fetch(Path(made))
                (found,) = Path(made).iterdir()
                os.replace(found, target)
    if hashlib.sha256(target.read_bytes()).hexdigest() != sha256:
        pytest.fail(f"{target} is not what it was: remove it, or look at who changed {name}")
    return target


@contextmanager
def _locked(name: str) -> Iterator[None]:
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _said(command: list[str], folder: Path) -> str:
    """What it prints; a registry that cannot be reached skips the test, for nothing of ours is wrong then."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        pytest.skip(f"`{' '.join(command[:4])} …` did not end within {_TIMEOUT_S} s")
    if done.returncode:
        pytest.skip(f"`{' '.join(command)}`: {' '.join((done.stderr or done.stdout).split())[-400:]}")
    return done.stdout
