"""Ray itself: one of our own on this machine, or a named cluster; what is sent to it; and its errors in one line."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.engines.contract import Settings
from pipelines.engines.ray_config import RayConfig
from pipelines.work_dir import WorkDir
from schemas.errors import ConfigError

PACKAGES = ("schemas", "transforms", "lake", "pipelines", "provoice", "configs")
_HOME = Path(__file__).resolve().parents[2]
"""The folder that holds our packages."""

TOKEN = secrets.token_hex(32)
"""Of every Ray that this process starts: Ray's own code reads it once. Nobody else has it, and no file."""
_AUTHENTICATION = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")

_PRIVATE = {"RAY_USAGE_STATS_ENABLED": "0"}
QUIET = {
    # Ray prints on the driver's stdout that a worker died, whatever `log_to_driver` says; we say it in words of ours.
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
    # It warns of what actors without a GPU will see in later versions of it.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}

_OBJECT_STORE_BYTES = 80 << 20
_LONGEST_TEMP = 16
"""Ray puts sockets deep below its folder, and a socket's path has room for 107 bytes."""
_PROBE_S = 10.0
_HTTP2_SETTINGS = b"\x04"
_HTTP2_OPENING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0" + _HTTP2_SETTINGS + b"\0\0\0\0\0"


@contextlib.contextmanager
def connected(settings: Settings) -> Iterator[Any]:
    """The module `ray`, connected as the settings say. What was there before stays; what we started ends.

    Raises ConfigError where there is no such package, no such cluster, or one of another version.
    """
    ray = _imported(settings.ray)
    if ray.is_initialized():
        # Whoever connected this process decides what the workers get, and when it ends.
        yield ray
        return
    _refuse_shadows()
    with contextlib.ExitStack() as stack:
        try:
            if settings.ray.address is None:
                _start(ray, settings, stack)
            else:
                _join(ray, settings, stack)
        except (OSError, RuntimeError, ValueError, TypeError, ray.exceptions.RayError) as error:
            raise ConfigError(_complaint(settings.ray, error)) from error
        _end_when_told(stack)
        yield ray


def one_line(error: object, most: int = 400) -> str:
    """What an error of Ray's says, without its line breaks and stack."""
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= most else f"{words[:most]} ..."


def _imported(config: RayConfig) -> Any:
    for name, value in (_PRIVATE | ({} if config.logs else QUIET)).items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise ConfigError(f"engine ray: {error}; install it: pip install 'provoice[ray]'") from None
    return ray


def _start(ray: Any, settings: Settings, stack: contextlib.ExitStack) -> None:
    """A Ray that ends with this process, in a folder that goes with it."""
    if not set(_AUTHENTICATION) & set(os.environ):
        # Ray would make a token of its own, and write it into the home folder.
        os.environ.update(RAY_AUTH_TOKEN=TOKEN)
        stack.callback(lambda: [os.environ.pop(name, None) for name in _AUTHENTICATION])
    parent = tempfile.gettempdir()
    folder = WorkDir(parent if len(parent) <= _LONGEST_TEMP else "/tmp")
    stack.callback(folder.close)
    stack.callback(ray.shutdown)
    ray.init(
        address="local",
        num_cpus=settings.processes,
        object_store_memory=_OBJECT_STORE_BYTES,
        include_dashboard=False,
        _temp_dir=str(folder.path),
        **_words(settings),
    )


def _join(ray: Any, settings: Settings, stack: contextlib.ExitStack) -> None:
    _probe(str(settings.ray.address))
    stack.callback(ray.shutdown)
    ray.init(address=settings.ray.address, runtime_env=runtime_env(settings.ray), **_words(settings))


def _end_when_told(stack: contextlib.ExitStack) -> None:
    """SIGTERM ends the run as Ctrl-C does, its workers with it. Ray's own handler prints a stack and aborts."""
    if threading.current_thread() is not threading.main_thread():
        return

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    stack.callback(signal.signal, signal.SIGTERM, before or signal.SIG_DFL)


def _words(settings: Settings) -> dict[str, Any]:
    chatty = settings.ray.logs
    level = logging.INFO if chatty else logging.ERROR
    return {"namespace": settings.name, "log_to_driver": chatty, "logging_level": level}


def runtime_env(config: RayConfig) -> dict[str, Any]:
    """What a named cluster gets from here: our packages unless its image has them, the user's modules, and the rest."""
    env = dict(config.runtime_env)
    if config.image_uri is not None:
        return {**env, "image_uri": config.image_uri}
    ours = [str(_HOME / name) for name in PACKAGES] if config.packages == "send" else []
    modules = [*env.pop("py_modules", ()), *ours, *(_module(place) for place in config.py_modules)]
    if modules:
        env["py_modules"] = modules
        env["excludes"] = [*env.get("excludes", ()), "__pycache__/"]
    return env


def _module(place: str) -> str:
    if "://" in place:
        return place
    path = Path(place).expanduser().resolve()
    if not path.exists():
        raise ConfigError(f"ray.py_modules: there is no {place}")
    return str(path)


def _probe(address: str) -> None:
    """A wrong address is found in a moment: Ray's own client asks for minutes, and may end the process.

    Both of Ray's ports speak gRPC, whose server answers the opening of HTTP/2 with its settings.
    """
    host, colon, port = address.rpartition("://")[2].partition("/")[0].rpartition(":")
    if not colon or not port.isdigit():
        return  # `auto`, say
    with socket.create_connection((host.strip("[]"), int(port)), timeout=_PROBE_S) as there:
        if os.getenv("RAY_USE_TLS", "0") not in ("0", ""):
            return
        there.sendall(_HTTP2_OPENING)
        answer = there.recv(9)
    if answer[3:4] != _HTTP2_SETTINGS:
        raise ConnectionError(
            "what answers there is not Ray; its port is 6379 unless told, or 10001 as ray://HOST:10001"
        )


def _refuse_shadows() -> None:
    """Ray puts the folder in which a driver was started before all others on its workers' path."""
    here = Path.cwd().resolve()
    for name in PACKAGES if here != _HOME else ():
        if (here / name).is_dir() or (here / f"{name}.py").is_file():
            raise ConfigError(
                f"engine ray: {here / name} would hide provoice's own package `{name}` from Ray's workers; "
                "start provoice from another folder"
            )


def _complaint(config: RayConfig, error: Exception) -> str:
    if config.address is None:
        return f"engine ray: Ray did not start on this machine: {one_line(error)}"
    return f"engine ray: cannot work on the cluster `ray.address` {config.address}: {one_line(error)}"
