"""Models: named by id, version and SHA-256, found in installed packages or in a cache folder, opened on one thread."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ModelRef:
    """One file of weights. `str()` is how it stands in `lineage.models`, beside its id."""

    id: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.version} sha256:{self.sha256}"


def cache_folder() -> Path:
    """Where converted models lie: `PROVOICE_CACHE`, else `provoice` in the user's cache folder."""
    if own := os.environ.get("PROVOICE_CACHE"):
        return Path(own)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "provoice"
    except RuntimeError:
        raise ConfigError("this user has no home for the model cache; set PROVOICE_CACHE to a folder") from None


def package_file(package: str, name: str, next_step: str) -> Path:
    """`name` inside an installed package, found without importing it: an import may need what is not there.

    Raises ConfigError, which ends with `next_step`, where there is no such package or file.
    """
    found = importlib.util.find_spec(package)
    for folder in (found.submodule_search_locations or ()) if found else ():
        if (path := Path(folder) / name).is_file():
            return path
    raise ConfigError(f"{package} is not installed, or has no {name}; {next_step}")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, hex; 1 MiB is held at a time."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verified(path: Path, sha256: str, next_step: str) -> Path:
    """`path`, if its bytes have this SHA-256; else ConfigError with both digests and what to do."""
    try:
        got = sha256_of(path)
    except OSError as error:
        raise ConfigError(f"cannot read the model {path}: {error.strerror or error}; {next_step}") from None
    if got != sha256:
        raise ConfigError(f"the model {path} has sha256 {got}, expected {sha256}; {next_step}")
    return path


def cached(name: str, sha256: str, make: Callable[[Path], None]) -> Path:
    """The file `name` of the cache, with these bytes; made by `make(path)` where it is absent or damaged.

    Several processes may do so at once: each makes its own file and renames it, and all of them are equal. Raises
    ConfigError where the cache cannot be written, or what was made has another digest.
    """
    path = cache_folder() / name
    if path.is_file() and sha256_of(path) == sha256:
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".making-", dir=path.parent) as folder:
            made = Path(folder) / path.name
            make(made)
            verified(made, sha256, "what made it has changed; report it with the versions of numpy and provoice")
            with made.open("rb+") as file:
                os.fsync(file.fileno())
            made.replace(path)
    except OSError as error:
        raise ConfigError(
            f"cannot write the model cache {path.parent}: {error.strerror or error}; set PROVOICE_CACHE to a folder"
        ) from None
    return path


def onnx_session(model: Path | bytes) -> Any:
    """An onnxruntime session on one thread, one operation after the other; ConfigError where it cannot be loaded.

    Workers are one per core, and sums must not depend on how many cores there are.
    """
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as failures

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    serialised = model if isinstance(model, bytes) else str(model)
    try:
        return onnxruntime.InferenceSession(serialised, options, providers=["CPUExecutionProvider"])
    except (
        failures.Fail,
        failures.InvalidArgument,
        failures.InvalidGraph,
        failures.InvalidProtobuf,
        failures.NoSuchFile,
        failures.NotImplemented,
        failures.RuntimeException,
    ) as error:
        name = "an ONNX model" if isinstance(model, bytes) else model
        raise ConfigError(f"onnxruntime cannot load {name}: {' '.join(str(error).split())}") from None
