"""Models that lie in a bucket or on the hub, brought into the cache: sound knows no store, so they are handed down.

Only what the configuration names is fetched, and kept only where its bytes are those that it states.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path, PurePosixPath

from lake.storage import Root
from schemas.errors import ConfigError, LakeError
from transforms.diarize import DiarizeConfig, PyannoteConfig
from transforms.models import sha256_of, verified

HUB = "hf://"


def fetch_models(diarize: DiarizeConfig) -> None:
    """Brings the files of a remote pyannote pipeline into the cache; nothing where no backend asks for them. Several
    processes may do so at once. Raises ConfigError where one cannot be had, or is not the one that is stated."""
    config = diarize.pyannote
    if diarize.backend != "pyannote" or not config.is_remote:
        return
    if not config.sha256:
        raise ConfigError(
            f"diarize.pyannote: state the SHA-256 of each file of {config.named()}; none is fetched without"
        )
    for name, digest in sorted(config.sha256.items()):
        path = config.folder() / name
        if path.is_file() and sha256_of(path) == digest:
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".fetching-", dir=path.parent) as folder:
                got = _fetched(config, name, Path(folder))
                verified(
                    got, digest, f"diarize.pyannote.sha256 states another {name} than {config.named()} holds"
                ).replace(path)
        except OSError as error:
            raise ConfigError(
                f"cannot write {path}: {error.strerror or error}; set PROVOICE_CACHE to a folder"
            ) from None


def _fetched(config: PyannoteConfig, name: str, folder: Path) -> Path:
    if config.named().startswith(HUB):
        return _from_hub(config, name, folder)
    local = folder / PurePosixPath(name).name
    try:
        with Root(config.named()).open(name) as remote, local.open("wb") as file:
            shutil.copyfileobj(remote, file, 1 << 22)
    except LakeError as error:
        raise ConfigError(f"cannot fetch {name} of diarize.pyannote: {error}") from None
    return local


def hub_place(config: PyannoteConfig, name: str) -> tuple[str, str, str | None]:
    """Repository, file and revision of a stated file. The pipeline 3.1 takes models from repositories of their own:
    `pyannote/segmentation-3.0/pytorch_model.bin` is one of its owner's, not a folder of the pipeline's."""
    repository = config.named().removeprefix(HUB).strip("/")
    parts = PurePosixPath(name).parts
    if len(parts) > 2 and parts[0] == repository.split("/")[0]:
        return "/".join(parts[:2]), "/".join(parts[2:]), None
    return repository, name, config.revision


def _from_hub(config: PyannoteConfig, name: str, folder: Path) -> Path:
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ImportError:
        raise ConfigError("diarize.pyannote.pipeline is on the hub; pip install 'provoice[diarization]'") from None
    repository, file, revision = hub_place(config, name)
    token = os.environ.get("HF_TOKEN")
    try:
        return Path(hf_hub_download(repository, file, revision=revision, token=token or False, local_dir=folder))
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        step = "" if token else "; set HF_TOKEN to a token of somebody who has accepted its conditions"
        raise ConfigError(f"cannot fetch {file} of {repository} from the hub: {said}{step}") from None
