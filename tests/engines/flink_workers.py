"""Where Beam's Python workers on Flink come from, and how provoice gets into them.

PROCESS: each TaskManager starts Beam's boot program, which installs the wheel that travels with the job. EXTERNAL: a
pool stands beside the TaskManager with everything installed. Each has an environment of its own, in which provoice is
not to be found until it is put there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.imports import ROOT
from tests.servers.go_build import go_binary
from tests.servers.processes import free_port, tied

BOOT = "github.com/apache/beam/sdks/v2/python/container@v2.77.0"
# A folder of its own, for two TaskManagers of one machine would stage into the same /tmp/staged. The boot program goes
# on for minutes after its TaskManager was killed, and starts worker after worker; in a container they end together.
_BOOT_SCRIPT = """#!/bin/sh
mkdir -p "$PROVOICE_TEST_STAGED"
engine=$PPID
(while kill -0 $engine && kill -0 $$; do sleep 1; done; kill -9 $$) 2>/dev/null &
exec {boot} --semi_persist_dir "$PROVOICE_TEST_STAGED" "$@"
"""
_WAIT_S = 60.0


def wheel(folder: Path) -> Path:
    """provoice as it is handed to a cluster."""
    from hatchling.builders.wheel import WheelBuilder

    return Path(next(WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])))


def environment(folder: Path) -> dict[str, str]:
    """Variables of a TaskManager whose workers live in `folder/python`: what provoice needs is there, provoice is not.

    A wheel is then installed into that folder; without the second variable Beam makes an environment below
    /opt/apache, which only root can write.
    """
    python = folder / "python"
    venv.create(python, symlinks=True)
    site = python / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    # A path within another's .pth is not followed: the checkout, which is installed by one, stays unseen.
    (site / "installed.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return {
        "PATH": f"{python / 'bin'}:{os.environ['PATH']}",
        "RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT": "1",
        "PROVOICE_TEST_STAGED": str(folder / "staged"),
        "PYTHONPATH": "",
        "OMP_NUM_THREADS": "1",
    }


def installed_in(folder: Path) -> list[str]:
    """The top-level names that were installed into the environment of `environment(folder)`."""
    return sorted(path.name for path in (folder / "python" / "lib").glob("python*/site-packages/*"))


def process_options(folder: Path, extra: Mapping[str, str] | None = None) -> list[str]:
    """Options of a job whose workers the TaskManagers start, with `extra` in their environment."""
    script = folder / "boot.sh"
    script.write_text(_BOOT_SCRIPT.format(boot=go_binary(BOOT, "beam-boot")))
    script.chmod(0o755)
    config: dict[str, object] = {"command": str(script)}
    if extra:
        config["env"] = dict(extra)
    return ["--environment_type=PROCESS", f"--environment_config={json.dumps(config)}"]


@contextmanager
def worker_pool(folder: Path, package: Path) -> Iterator[list[str]]:
    """The options of a job whose workers come from a pool, which has `package` and lives in `folder/pool`.

    For one TaskManager only: workers of two have the same names, and the pool would end the wrong ones.
    """
    home, log, port = folder / "pool", folder / "pool.log", free_port()
    variables = {**os.environ, **environment(home)}
    python = str(home / "python" / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", str(package)]
    subprocess.run(install, env=variables, check=True, cwd=home)
    command = [python, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={port}"]
    with log.open("ab") as said:
        pool = psutil.Popen(tied(command), env=variables, cwd=home, stdout=said, stderr=said)
    try:
        _wait_for(port, pool, log)
        yield ["--environment_type=EXTERNAL", f"--environment_config=127.0.0.1:{port}"]
    finally:
        family = [pool, *pool.children(recursive=True)]
        for one in family:
            one.kill()
        psutil.wait_procs(family, timeout=10)


def _wait_for(port: int, pool: psutil.Popen, log: Path) -> None:
    deadline = time.monotonic() + _WAIT_S
    while not any(c.laddr.port == port and c.status == psutil.CONN_LISTEN for c in pool.net_connections("tcp")):
        if time.monotonic() > deadline or pool.poll() is not None:
            pytest.fail(f"the worker pool did not start: {log.read_text()[-2000:]}")
        time.sleep(0.1)
