"""Java programs of a test: on loopback, in one folder, and gone with the test together with all that they started."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.engines.flink_jars import java
from tests.servers.processes import tied

# Flink and Beam look into classes of the platform, which Java has kept closed since 17.
_OPENED = (
    "java.base/java.lang", "java.base/java.lang.reflect", "java.base/java.io", "java.base/java.net",
    "java.base/java.nio", "java.base/java.text", "java.base/java.time", "java.base/java.util",
    "java.base/java.util.concurrent", "java.base/java.util.concurrent.atomic", "java.base/java.util.concurrent.locks",
    "java.base/sun.nio.ch", "java.base/sun.net.util",
)  # fmt: skip
_LOGGING = """
rootLogger.level = INFO
rootLogger.appenderRef.file.ref = File
appender.file.name = File
appender.file.type = File
appender.file.fileName = ${sys:log.file}
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{HH:mm:ss,SSS} %-5p %c{1} - %m%n%throwable
"""
_START_S = 120.0


@dataclass(frozen=True)
class JavaProcess:
    """A running Java program; `log` holds what it said, `folder` all that it leaves behind."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    folder: Path
    orphans: list[psutil.Process] = field(default_factory=list)
    """What it had started when it was killed."""

    def kill(self) -> None:
        """SIGKILL: what it had started hears nothing of it."""
        self.orphans.extend(self.workers())
        self.process.kill()
        self.process.wait()

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def workers(self) -> list[psutil.Process]:
        """Whatever it started and what that started, Beam's workers among it."""
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []


@contextmanager
def java_running(
    name: str,
    main: str,
    jars: Sequence[Path],
    words: Sequence[str],
    *,
    folder: Path,
    heap_mib: int,
    is_ready: Callable[[], bool] = lambda: True,
    env: Mapping[str, str] | None = None,
) -> Iterator[JavaProcess]:
    """`java main words…` from when it is ready until the end; its folder is `folder/name`, and only its log stays."""
    home = folder / name
    home.mkdir(parents=True)
    log, out, logging = folder / f"{name}.log", folder / f"{name}.out", home / "log4j2.properties"
    logging.write_text(_LOGGING)
    command = [
        java(), f"-Xmx{heap_mib}m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
        *(f"--add-opens={package}=ALL-UNNAMED" for package in _OPENED),
        f"-Dlog.file={log}", f"-Dlog4j2.configurationFile={logging.as_uri()}", f"-Djava.io.tmpdir={home}",
        "-cp", os.pathsep.join(map(str, jars)), main, *words,
    ]  # fmt: skip
    with out.open("ab") as said:
        process = subprocess.Popen(
            tied(command), cwd=home, env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL, stdout=said, stderr=said,
        )  # fmt: skip
    running = JavaProcess(name, process, log, home)
    try:
        _wait_until_ready(running, is_ready, out)
        yield running
    finally:
        _end(running)
        shutil.rmtree(home, ignore_errors=True)  # 150 MB of jars per job


def _wait_until_ready(running: JavaProcess, is_ready: Callable[[], bool], out: Path) -> None:
    deadline = time.monotonic() + _START_S
    while not is_ready():
        if running.process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"{running.name} did not start: {(running.said() + out.read_text())[-3000:]}")
        time.sleep(0.1)


def _end(running: JavaProcess) -> None:
    """Workers too: they notice that their engine is gone, but each in its own time."""
    started = [*running.orphans, *running.workers()]
    running.process.terminate()
    try:
        running.process.wait(20)
    except subprocess.TimeoutExpired:
        running.kill()
    _, alive = psutil.wait_procs(started, timeout=5)
    for one in alive:
        one.kill()
    psutil.wait_procs(alive, timeout=5)
