"""A small real Flink: one JobManager and some TaskManagers, each a Java process of its own on loopback."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.engines.flink_jars import cluster_jars
from tests.engines.flink_processes import JavaProcess, java_running
from tests.engines.flink_workers import environment
from tests.servers.processes import free_port

SLOTS = 2
_HOST = "127.0.0.1"
_JOB_MANAGER = "job-manager"
_HEAP_MIB = 768
_REGISTERED = "Successful registration at resource manager"
# A distribution's scripts work the sizes out; without them each has to be said.
_MEMORY = {
    "jobmanager.memory.process.size": "1024m",
    "taskmanager.cpu.cores": "2.0",
    "taskmanager.memory.framework.heap.size": "128m",
    "taskmanager.memory.framework.off-heap.size": "128m",
    "taskmanager.memory.task.heap.size": "512m",
    "taskmanager.memory.task.off-heap.size": "0m",
    "taskmanager.memory.managed.size": "128m",
    "taskmanager.memory.network.min": "64m",
    "taskmanager.memory.network.max": "64m",
    "taskmanager.memory.jvm-metaspace.size": "256m",
    "taskmanager.memory.jvm-overhead.min": "192m",
    "taskmanager.memory.jvm-overhead.max": "192m",
}
RESTARTS = {
    "restart-strategy.type": "fixed-delay",
    "restart-strategy.fixed-delay.attempts": "3",
    "restart-strategy.fixed-delay.delay": "1 s",
}
"""Three times and no more; what docs/flink.md recommends."""


@dataclass
class Cluster:
    rest: str
    """`host:port`: what a job server takes as its master."""
    folder: Path
    stack: ExitStack
    job_manager: JavaProcess | None = None
    task_managers: list[JavaProcess] = field(default_factory=list)

    def get(self, path: str) -> Any:
        """The answer of the JobManager's REST; None while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://{self.rest}{path}", timeout=10) as answer:
                return json.load(answer)
        except (OSError, ValueError, urllib.error.HTTPError):
            return None

    def add_task_manager(self) -> JavaProcess:
        """One more, ready to be given work; its workers live in `workers_folder`."""
        number = len(self.task_managers)
        name = f"task-manager-{number}"
        log = self.folder / f"{name}.log"
        words = ["--configDir", str(self.folder / "conf"), "-D", f"io.tmp.dirs={self.folder / name / 'tmp'}"]
        started = self.stack.enter_context(
            java_running(
                name, "org.apache.flink.runtime.taskexecutor.TaskManagerRunner", cluster_jars(), words,
                folder=self.folder, heap_mib=_HEAP_MIB, env=environment(self.workers_folder(number)),
                # Its own word: the JobManager counts one that was killed until it misses it.
                is_ready=lambda: log.exists() and _REGISTERED in log.read_text(),
            )
        )  # fmt: skip
        self.task_managers.append(started)
        return started

    def workers_folder(self, n: int) -> Path:
        """Where the workers of the TaskManager `n` have their Python."""
        return self.folder / f"task-manager-{n}-workers"

    def jobs(self) -> list[dict[str, Any]]:
        """Every job that it has seen, the newest first, as its REST tells them."""
        overview = self.get("/jobs/overview") or {"jobs": []}
        return sorted(overview["jobs"], key=lambda job: -int(job["start-time"]))

    def restarts(self) -> int:
        """How often the newest job began again; from the log, for REST forgets it when the job is over."""
        line = f"({self.jobs()[0]['jid']}) switched from state RUNNING to RESTARTING"
        return (self.folder / f"{_JOB_MANAGER}.log").read_text().count(line)


@contextmanager
def cluster(folder: Path, task_managers: int = 1, settings: Mapping[str, str] | None = None) -> Iterator[Cluster]:
    """Running until the end of the test, with SLOTS slots on each TaskManager; restarts as `settings` say, else
    RESTARTS."""
    rest_port, rpc_port = free_port(), free_port()
    values = {
        "jobmanager.rpc.address": _HOST, "jobmanager.rpc.port": str(rpc_port), "jobmanager.bind-host": _HOST,
        "rest.address": _HOST, "rest.port": str(rest_port), "rest.bind-address": _HOST,
        "taskmanager.host": _HOST, "taskmanager.bind-host": _HOST, "taskmanager.numberOfTaskSlots": str(SLOTS),
        "taskmanager.load-balance.mode": "SLOTS",
        # Beam's jars and Flink's have classes in common, and both must mean the same ones.
        "classloader.resolve-order": "parent-first",
        "io.tmp.dirs": str(folder / _JOB_MANAGER / "tmp"),
        "heartbeat.interval": "2000",
        **_MEMORY,
        **(RESTARTS if settings is None else settings),
    }  # fmt: skip
    (folder / "conf").mkdir(parents=True)
    text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in values.items())
    (folder / "conf" / "config.yaml").write_text(text)
    with ExitStack() as stack:
        made = Cluster(f"{_HOST}:{rest_port}", folder, stack)
        made.job_manager = stack.enter_context(
            java_running(
                _JOB_MANAGER, "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint",
                cluster_jars(), ["--configDir", str(folder / "conf")],
                folder=folder, heap_mib=_HEAP_MIB, is_ready=lambda: made.get("/overview") is not None,
            )
        )  # fmt: skip
        for _ in range(task_managers):
            made.add_task_manager()
        yield made
