"""Object stores on this machine that keep the promise of a conditional put, for tests that skip where there are none.

go install github.com/fsouza/fake-gcs-server@latest
go install github.com/minio/minio@latest
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_BUCKET = "lake"


def _binary(name: str) -> str:
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), str(Path.home() / "go" / "bin")]))
    if found is None:
        pytest.skip(f"{name} is not installed (tests/lake/servers.py says how)")
    return found


def _client(name: str) -> None:
    # Looked for and not imported: gcsfs reads its environment once, when it is.
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")


def _free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


@contextmanager
def _running(command: list[str], alive: str, env: dict[str, str]) -> Iterator[None]:
    server = subprocess.Popen(
        command,
        env={**os.environ, **env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(alive, timeout=5).close()
                break
            except urllib.error.HTTPError:
                break  # it answers
            except OSError:
                time.sleep(0.1)
        else:
            pytest.fail(f"{command[0]} did not start")
        yield
    finally:
        server.terminate()
        server.wait(20)


@contextmanager
def gcs() -> Iterator[tuple[str, dict[str, str]]]:
    """(URI of an empty bucket, environment in which it opens)."""
    _client("gcsfs")
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        _binary("fake-gcs-server"), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory",
        "-public-host", f"127.0.0.1:{port}", "-external-url", url,
    ]  # fmt: skip
    with _running(command, f"{url}/storage/v1/b", {}):
        body = b'{"name": "%s"}' % _BUCKET.encode()
        asked = urllib.request.Request(f"{url}/storage/v1/b?project=test", body, {"Content-Type": "application/json"})
        urllib.request.urlopen(asked, timeout=10).close()
        # The last: without it gcsfs asks a service that an emulator does not have, and waits a minute for it.
        yield f"gs://{_BUCKET}", {
            "STORAGE_EMULATOR_HOST": url, "FSSPEC_GS_TOKEN": "anon", "FSSPEC_GCS_TOKEN": "anon",
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        }  # fmt: skip


@contextmanager
def s3(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """(URI of an empty bucket, environment in which it opens)."""
    _client("s3fs")
    (folder / _BUCKET).mkdir(parents=True)
    url, key = f"http://127.0.0.1:{_free_port()}", "minioadmin"
    command = [_binary("minio"), "server", str(folder), "--address", url.removeprefix("http://"), "--quiet"]
    with _running(command, f"{url}/minio/health/live", {"MINIO_ROOT_USER": key, "MINIO_ROOT_PASSWORD": key}):
        yield f"s3://{_BUCKET}", {
            "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": key,
            "AWS_DEFAULT_REGION": "us-east-1",
        }  # fmt: skip
