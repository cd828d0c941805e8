"""Beam's job server for Flink: takes a pipeline from Python and runs it, on a cluster or inside itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.engines.flink_jars import job_server_jars, logging_jars
from tests.engines.flink_processes import JavaProcess, java_running
from tests.servers.processes import free_port

LOCAL = "[local]"
"""A whole Flink inside the job server, with as many slots as a job asks for."""


@dataclass(frozen=True)
class JobServer:
    endpoint: str
    java: JavaProcess

    def options(self, *more: str, parallelism: int = 2) -> list[str]:
        """What to say to Beam, or after `--` to provoice, so that a job runs here; `more` says where workers are."""
        return ["--runner=PortableRunner", f"--job_endpoint={self.endpoint}", f"--parallelism={parallelism}", *more]


LOOPBACK = "--environment_type=LOOPBACK"
"""Workers are threads of the process that submits the job; only for a Flink on the same machine."""


@contextmanager
def job_server(folder: Path, flink_master: str = LOCAL) -> Iterator[JobServer]:
    """Running until the end of the test; `flink_master` is the `host:port` of a cluster's REST, or LOCAL."""
    endpoint = f"127.0.0.1:{free_port()}"
    host, port = endpoint.split(":")
    words = [
        "--flink-master", flink_master, "--job-host", host, "--job-port", port, "--artifact-port", "0",
        "--expansion-port", "0", "--artifacts-dir", str(folder / "job-server" / "artifacts"),
    ]  # fmt: skip
    jars = [*job_server_jars(), *logging_jars()]
    with java_running(
        "job-server", "org.apache.beam.runners.flink.FlinkJobServerDriver", jars, words,
        folder=folder, heap_mib=1024, is_ready=lambda: _is_up(endpoint),
    ) as java:  # fmt: skip
        yield JobServer(endpoint, java)


def _is_up(endpoint: str) -> bool:
    import grpc

    with grpc.insecure_channel(endpoint) as channel:
        try:
            grpc.channel_ready_future(channel).result(1.0)
        except grpc.FutureTimeoutError:
            return False
    return True
