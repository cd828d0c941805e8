"""Models that lie in a bucket or on the hub, brought into the cache: sound knows no store, so they are handed down.

Only what the configuration names is fetched, and kept only where its bytes are those that it states.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from lake.storage import Root
from schemas.errors import ConfigError, LakeError
from transforms.accent import AccentConfig
from transforms.diarize import DiarizeConfig
from transforms.models import sha256_of, verified
from transforms.pinned import PinnedFiles, is_remote, pinned_folder

HUB = "hf://"


def fetch_models(diarize: DiarizeConfig) -> None:
    """Brings the files of a remote pyannote pipeline into the cache; nothing where no backend asks for them. Several
    processes may do so at once. Raises ConfigError where one cannot be had, or is not the one that is stated."""
    if diarize.backend == "pyannote":
        _fetch(diarize.pyannote)


def fetch_accent(accent: AccentConfig | None) -> None:
    """The same for what tells accents: a head, or a classifier."""
    if accent is not None and accent.method == "classifier":
        _fetch(accent.classifier)
    if accent is None or accent.method != "head" or not accent.is_head_remote:
        return
    place, _, name = str(accent.head).rpartition("/")
    _bring(
        accent.head_path(), str(accent.head_sha256), f"accent.head_sha256 states another file than {accent.head} is",
        lambda folder: _copied(place, name, folder, "accent.head"),
    )  # fmt: skip


def _fetch(files: PinnedFiles) -> None:
    if not is_remote(files):
        return
    if not files.sha256:
        raise ConfigError(f"{files.key}: state the SHA-256 of each file of {files.named()}; none is fetched without")
    for name, digest in sorted(files.sha256.items()):
        _bring(
            pinned_folder(files) / name, digest, f"{files.key}.sha256 states another {name} than {files.named()} holds",
            lambda folder, name=name: _fetched(files, name, folder),  # type: ignore[misc]
        )  # fmt: skip


def _bring(path: Path, sha256: str, else_said: str, fetch: Callable[[Path], Path]) -> None:
    """The file at `path` of the cache, with these bytes; fetched where it is absent or another."""
    if path.is_file() and sha256_of(path) == sha256:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=path.parent) as folder:
            verified(fetch(Path(folder)), sha256, else_said).replace(path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror or error}; set PROVOICE_CACHE to a folder") from None


def _fetched(files: PinnedFiles, name: str, folder: Path) -> Path:
    if files.named().startswith(HUB):
        return _from_hub(files, name, folder)
    return _copied(files.named(), name, folder, files.key)


def _copied(place: str, name: str, folder: Path, key: str) -> Path:
    local = folder / PurePosixPath(name).name
    try:
        with Root(place).open(name) as remote, local.open("wb") as file:
            shutil.copyfileobj(remote, file, 1 << 22)
    except LakeError as error:
        raise ConfigError(f"cannot fetch {name} of {key}: {error}") from None
    return local


def hub_place(files: PinnedFiles, name: str) -> tuple[str, str, str | None]:
    """Repository, file and revision of a stated file. The pipeline 3.1 takes models from repositories of their own:
    `pyannote/segmentation-3.0/pytorch_model.bin` is one of its owner's, not a folder of the pipeline's."""
    repository = files.named().removeprefix(HUB).strip("/")
    parts = PurePosixPath(name).parts
    if len(parts) > 2 and parts[0] == repository.split("/")[0]:
        return "/".join(parts[:2]), "/".join(parts[2:]), None
    return repository, name, files.revision


def _from_hub(files: PinnedFiles, name: str, folder: Path) -> Path:
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ImportError:
        raise ConfigError(f"{files.key} is on the hub; pip install huggingface-hub") from None
    repository, file, revision = hub_place(files, name)
    token = os.environ.get("HF_TOKEN")
    try:
        return Path(hf_hub_download(repository, file, revision=revision, token=token or False, local_dir=folder))
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        step = "" if token else "; set HF_TOKEN to a token of somebody who has accepted its conditions"
        raise ConfigError(f"cannot fetch {file} of {repository} from the hub: {said}{step}") from None
