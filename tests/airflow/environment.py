"""An Airflow of the tests' own: pinned, in `.cache/tests/airflow-<version>`, built once, and never in `.venv`."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.servers.go_build import CACHE

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra" / "airflow"
DAGS = INFRA / "dags"
_REQUIREMENTS = INFRA / "requirements.txt"
_TIMEOUT_S = 1800
_UNREACHED = ("No matching distribution", "Could not find a version", "Connection", "Max retries", "timed out")


def version() -> str:
    found = re.search(r"^apache-airflow==(\S+)$", _REQUIREMENTS.read_text(), re.MULTILINE)
    assert found, f"{_REQUIREMENTS} pins no apache-airflow"
    return found[1]


def airflow() -> Path:
    """The `airflow` program; skips the test where it cannot be installed."""
    found = _installed()
    return found if isinstance(found, Path) else pytest.skip(found)


@cache
def _installed() -> Path | str:
    pins = hashlib.sha256(_REQUIREMENTS.read_bytes()).hexdigest()[:8]
    target = CACHE / f"airflow-{version()}"
    ready = target / f".ready-{pins}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / ".airflow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            shutil.rmtree(target, ignore_errors=True)
            why = _install(target)
            if why is not None:
                shutil.rmtree(target, ignore_errors=True)
                return why
            ready.touch()
    return target / "bin" / "airflow"


def _install(target: Path) -> str | None:
    """Makes the environment, or says why it cannot be had here; what is wrong with the pins fails the test."""
    subprocess.run([sys.executable, "-m", "venv", str(target)], check=True, capture_output=True)
    pip = [str(target / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    words = [*pip, "--quiet", "--only-binary", ":all:", "--no-deps", "-r", str(_REQUIREMENTS)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=_TIMEOUT_S)
    if done.returncode == 0:
        return None
    if any(word in done.stderr for word in _UNREACHED):
        return f"Airflow {version()} cannot be installed here: {done.stderr.strip().splitlines()[-1]}"
    return pytest.fail(f"{_REQUIREMENTS} cannot be installed: {done.stderr[-2000:]}")


def surroundings(home: Path, settings: Path | None, **more: str) -> dict[str, str]:
    """The environment of an Airflow with a database of its own in `home`, our DAGs, and nothing on the network."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))}
    return {
        **kept,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "http://127.0.0.1:9/execution/",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "PROVOICE_AIRFLOW_SETTINGS": str(settings or home / "none.json"),
        "PYTHONWARNINGS": "default",
        **more,
    }
