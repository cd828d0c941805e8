"""Files of a model that somebody brings: each is opened only where the configuration states its SHA-256, and they lie
in a folder, or are brought into the cache from a bucket or the hub (`pipelines.model_files` does that)."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import ClassVar, Protocol

from schemas.errors import ConfigError
from transforms.models import ModelRef, cache_folder


class PinnedFiles(Protocol):
    """What a configuration says of such a model."""

    key: ClassVar[str]
    """Where it stands in the configuration, such as `diarize.pyannote`."""
    kind: ClassVar[str]
    """The first part of its name in `lineage.models`, and its folder in the cache."""

    @property
    def sha256(self) -> Mapping[str, str]: ...

    @property
    def revision(self) -> str | None: ...

    def named(self) -> str:
        """The folder, bucket or hub name; ConfigError where there is none."""


def checked_digests(value: Mapping[str, str]) -> Mapping[str, str]:
    """`value`, where it maps paths within a folder to digests; else ValueError."""
    for name, digest in value.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or str(path) != name:
            raise ValueError(f"{name} is no path within the model's folder")
        if not re.fullmatch("[0-9a-f]{64}", digest):
            raise ValueError(f"the SHA-256 of {name} is 64 digits of 0-9a-f")
    return value


def is_remote(files: PinnedFiles) -> bool:
    return "://" in files.named()


def pinned_folder(files: PinnedFiles) -> Path:
    """Where the files lie on this machine: the folder itself, or the cache, named by what all files hash to."""
    if not is_remote(files):
        return Path(files.named())
    every = "\n".join(f"{digest}  {name}" for name, digest in sorted(files.sha256.items()))
    return cache_folder() / files.kind / hashlib.sha256(every.encode()).hexdigest()[:24]


def pinned_models(files: PinnedFiles) -> dict[str, str]:
    """Each file as it stands in `lineage.models`, by `KIND/NAME/FILE`."""
    base = files.named().rstrip("/").rsplit("/", 1)[-1]
    refs = [
        ModelRef(f"{files.kind}/{base}/{name}", files.revision or "unnamed", digest)
        for name, digest in sorted(files.sha256.items())
    ]
    return {ref.id: str(ref) for ref in refs}


def read_pinned(files: PinnedFiles, name: str) -> io.BytesIO:
    """The bytes of one file, which are those that the configuration states: read once, so that what was checked is
    what is opened. Raises ConfigError."""
    path = pinned_folder(files) / name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path} of {files.key}: {error.strerror or error}") from None
    got, expected = hashlib.sha256(data).hexdigest(), files.sha256.get(name)
    if expected is None:
        raise ConfigError(
            f"{path} has no SHA-256 in the configuration, and is not opened; if it is what you mean, state "
            f"{files.key}.sha256: {{{name}: {got}}}"
        )
    if got != expected:
        raise ConfigError(f"{path} has sha256 {got}, expected {expected}; bring the right file, or state this one")
    return io.BytesIO(data)
