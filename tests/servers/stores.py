"""Object stores on this machine that keep the promise of a conditional put: fake-gcs-server for gs://, MinIO for s3://.

    with proven("gs", folder) as (uri, environment):     # or "s3"
        Root(f"{uri}/lake")...
        subprocess.run(..., env={**os.environ, **environment})

Built by `go_build`, and skipped where they cannot be. gcp-storage-emulator would not do: its second create overwrites.
"""

from __future__ import annotations

import importlib.util
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers.go_build import FAKE_GCS, MINIO, go_binary
from tests.servers.processes import free_port, running

_BUCKET = "lake"
_KEY = "minioadmin"


def environment_of(scheme: str, url: str) -> dict[str, str]:
    """What a process needs in its environment to find the store `scheme` ("gs" or "s3") at `url`."""
    if scheme == "gs":
        # The last: without it gcsfs asks a service that an emulator does not have, and waits a minute for it.
        return {
            "STORAGE_EMULATOR_HOST": url, "FSSPEC_GS_TOKEN": "anon", "FSSPEC_GCS_TOKEN": "anon",
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        }  # fmt: skip
    return {
        "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": _KEY, "AWS_SECRET_ACCESS_KEY": _KEY,
        "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip


@contextmanager
def proven(scheme: str, folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """(URI, environment) of a store that opens in this process too, and that was seen to refuse a second create."""
    with (
        gcs() if scheme == "gs" else s3(folder) as (uri, environment),
        opened_in_this_process(environment),
    ):
        refuses_a_second_create(uri)
        yield uri, environment


def refuses_a_second_create(uri: str) -> None:
    """Fails the test where the store overwrites, for then nothing that is tested on it means anything.

    By the client alone, without a line of ours between.
    """
    import fsspec

    filesystem, path = fsspec.core.url_to_fs(f"{uri}/proof/{uuid.uuid4()}")
    with filesystem.open(path, "xb") as file:
        file.write(b"first")
    try:
        with filesystem.open(path, "xb") as file:
            file.write(b"second")
    except OSError:
        refused = filesystem.cat_file(path) == b"first"
    else:
        refused = False
    filesystem.rm_file(path)
    if not refused:
        pytest.fail(f"{uri}: the server does not refuse a second exclusive create")


@contextmanager
def gcs() -> Iterator[tuple[str, dict[str, str]]]:
    """(URI of an empty bucket, environment in which it opens)."""
    _client("gcsfs")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        str(go_binary(FAKE_GCS, "fake-gcs-server")), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port),
        "-backend", "memory", "-public-host", f"127.0.0.1:{port}", "-external-url", url,
    ]  # fmt: skip
    with running(command, f"{url}/storage/v1/b"):
        body = b'{"name": "%s"}' % _BUCKET.encode()
        asked = urllib.request.Request(f"{url}/storage/v1/b?project=test", body, {"Content-Type": "application/json"})
        urllib.request.urlopen(asked, timeout=10).close()
        yield f"gs://{_BUCKET}", environment_of("gs", url)


@contextmanager
def s3(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """(URI of an empty bucket, environment in which it opens); the server keeps its objects in `folder`."""
    _client("s3fs")
    (folder / _BUCKET).mkdir(parents=True)
    url = f"http://127.0.0.1:{free_port()}"
    command = [
        str(go_binary(MINIO, "minio")), "server", str(folder), "--address", url.removeprefix("http://"), "--quiet",
    ]  # fmt: skip
    environment = {"MINIO_ROOT_USER": _KEY, "MINIO_ROOT_PASSWORD": _KEY, "MINIO_BROWSER": "off"}
    with running(command, f"{url}/minio/health/live", environment):
        yield f"s3://{_BUCKET}", environment_of("s3", url)


@contextmanager
def opened_in_this_process(environment: Mapping[str, str]) -> Iterator[None]:
    """The environment, and no client or option that was read from another one."""
    import fsspec

    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(fsspec.config, "conf", {})
        fsspec.config.set_conf_env(fsspec.config.conf)
        for scheme in ("gs", "s3"):
            fsspec.get_filesystem_class(scheme).clear_instance_cache()
        yield


def _client(name: str) -> None:
    # Looked for and not imported: gcsfs reads its environment once, when it is.
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
