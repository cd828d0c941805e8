"""Flink as jars, fetched once into `.cache/tests/flink`: Beam's job server from Maven, Flink itself from PyPI.

There is no container and no distribution to unpack: a class path is all that either of them needs. Where there is no
Java or no Maven, or their registries cannot be reached, the test that asked is skipped with what was said.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.servers.go_build import CACHE

# The newest job server that Maven has, whatever the version of Beam in Python; it brings Flink 1.19.0 with it.
JOB_SERVER = "org.apache.beam:beam-runners-flink-1.19:2.62.0"
FLINK = "apache-flink-libraries==1.19.1"

_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
_TIMEOUT_S = 1800
_JAVA = range(11, 22)


@cache
def java() -> str:
    """The full path of a Java that Flink 1.19 runs on."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if found is None:
        pytest.skip("Flink needs Java, and there is no `java` on the PATH")
    said = subprocess.run([found, "-version"], capture_output=True, text=True).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) not in _JAVA:
        pytest.skip(f"Flink 1.19 runs on Java {_JAVA.start} to {_JAVA.stop - 1}; {found} is {said.splitlines()[0]}")
    return found


def job_server_jars() -> list[Path]:
    """Beam's job server and everything it needs; 160 jars, 150 MB, which every job sends to its cluster."""
    return _fetched(f"job-server-{JOB_SERVER.rpartition(':')[2]}", _job_server)


def cluster_jars() -> list[Path]:
    """What JobManager and TaskManager need: Flink's own jar, and those that it logs with."""
    return _fetched(f"flink-{FLINK.rpartition('=')[2]}", _cluster)


def logging_jars() -> list[Path]:
    return [jar for jar in cluster_jars() if jar.name.startswith("log4j")]


@cache
def _fetched(name: str, fetch: Callable[[Path], str | None]) -> list[Path]:
    """The jars of a folder that is there as a whole or not at all; `fetch` says why there are none."""
    java()
    target = CACHE / "flink" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetching-") as made:
                folder = Path(made) / "jars"
                folder.mkdir()
                why = fetch(folder)
                if why is not None:
                    pytest.skip(why)
                folder.rename(target)
    return sorted(target.glob("*.jar"))


def _job_server(folder: Path) -> str | None:
    maven = shutil.which("mvn")
    if maven is None:
        return f"{JOB_SERVER} comes from Maven, and there is no `mvn` on the PATH"
    group, artifact, version = JOB_SERVER.split(":")
    (folder.parent / "pom.xml").write_text(
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>provoice</groupId><artifactId>flink-jars</artifactId><version>1</version><dependencies><dependency>"
        f"<groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>"
        "</dependency></dependencies></project>"
    )
    words = ["-q", "-B", _COPY, "-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
    return _why(JOB_SERVER, [maven, *words], folder.parent)


def _cluster(folder: Path) -> str | None:
    made = folder.parent
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--disable-pip-version-check"]
    why = _why(FLINK, [*pip, "--dest", str(made), FLINK], made)
    if why is not None:
        return why
    (archive,) = made.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        for member in packed:
            name = Path(member.name).name
            if "/deps/lib/" in member.name and name.startswith(("flink-dist-", "log4j-")):
                content = packed.extractfile(member)
                assert content is not None
                (folder / name).write_bytes(content.read())
    return None


def _why(what: str, command: list[str], folder: Path) -> str | None:
    """Runs it; None where it went well, else why not."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return f"{what} was not fetched within {_TIMEOUT_S} s"
    if done.returncode:
        return f"{what} was not fetched: {' '.join((done.stdout + done.stderr).split())[-600:]}"
    return None
