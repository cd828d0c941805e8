"""Ray clusters of several nodes on this machine, and what to do to them."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from pipelines.engines import ray_cluster

OBJECT_STORE_BYTES = 80 << 20


@contextlib.contextmanager
def cluster(cpus: int, gpus: int = 0) -> Iterator[Any]:
    """A cluster whose first node is this; `add_node` adds others. No driver is connected to it."""
    # What a Ray of the engine's own leaves in the process: Ray's code reads mode and token once.
    folder = tempfile.mkdtemp(prefix="pv-ray-", dir="/tmp")
    ours = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": ray_cluster.TOKEN, "RAY_TMPDIR": folder}
    kept = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours, **ray_cluster.QUIET)
    (Path(folder) / "ray").mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own code, at its import and its start
        from ray._raylet import Config
        from ray.cluster_utils import Cluster

        Config.initialize("")
        head = {"num_cpus": cpus, "num_gpus": gpus, "include_dashboard": False}
        made = Cluster(initialize_head=True, head_node_args={**head, "object_store_memory": OBJECT_STORE_BYTES})
    try:
        yield made
    finally:
        made.shutdown()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Ray leaves its sockets and log files to the collector
            gc.collect()
        shutil.rmtree(folder, ignore_errors=True)
        for name, value in kept.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def actors(of: Callable[[psutil.Process], bool] = lambda _: True) -> list[psutil.Process]:
    """The processes of actors below this one."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.cmdline()[:1] and process.cmdline()[0].startswith("ray::UnitActor") and of(process):
                found.append(process)
    return found


def on_cluster(address: str, settings: Sequence[str] = ()) -> tuple[str, ...]:
    """Settings of a run there."""
    return ("engine=ray", f"ray.address={address}", *settings)
