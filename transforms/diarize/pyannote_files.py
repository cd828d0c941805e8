"""The files of a pyannote pipeline: which there are, where they lie on this machine, and that they are the right ones.

Nothing here imports torch or pyannote: what a recipe names must be known without them.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from schemas.errors import ConfigError
from schemas.model import Frozen
from transforms.pinned import checked_digests, is_remote, pinned_folder, pinned_models, read_pinned

CONFIG_FILE = "config.yaml"
WEIGHTS = "pytorch_model.bin"
PLDA_FILES = ("xvec_transform.npz", "plda.npz")
_PIPELINES = ("pyannote.audio.pipelines.SpeakerDiarization", "SpeakerDiarization")


class PyannoteConfig(Frozen):
    """Which pipeline the backend `pyannote` runs, and the SHA-256 of each of its files."""

    key: ClassVar[str] = "diarize.pyannote"
    kind: ClassVar[str] = "pyannote"

    pipeline: str | None = Field(
        default=None,
        description="folder with `config.yaml` and weights; `gs://…` or `s3://…`; or `hf://OWNER/NAME` for the hub",
    )
    revision: str | None = Field(
        default=None, description="revision of the pipeline, for the hub and for `lineage.models`; null: none is named"
    )
    sha256: Mapping[str, str] = Field(
        default={}, description="SHA-256 of each file, by its path in the folder; a file without one is never opened"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="`auto` takes a GPU where there is one; a GPU's last digits are its own"
    )
    batch: int = Field(default=32, ge=1, le=1024, description="windows that the models hear at once")

    _are_digests = field_validator("sha256")(checked_digests)

    def named(self) -> str:
        """The pipeline, where one is; else ConfigError."""
        if not self.pipeline:
            raise ConfigError(
                "diarize.backend is `pyannote`, and diarize.pyannote.pipeline names none; docs/diarization.md"
            )
        return self.pipeline

    @property
    def is_remote(self) -> bool:
        return is_remote(self)

    def folder(self) -> Path:
        """Where the files lie on this machine."""
        return pinned_folder(self)

    def models(self) -> dict[str, str]:
        """Each file as it stands in `lineage.models`, by `pyannote/PIPELINE/FILE`."""
        return pinned_models(self)

    def read(self, name: str) -> io.BytesIO:
        """The bytes of one file, which are those that the configuration states. Raises ConfigError."""
        return read_pinned(self, name)


@dataclass(frozen=True, slots=True)
class Layout:
    """What a pipeline's `config.yaml` says, with the places of its files in the folder."""

    params: dict[str, Any]
    """For the pipeline's constructor, without its models."""
    tuned: dict[str, Any]
    """Hyper-parameters: thresholds of clustering, the shortest pause."""
    segmentation: str
    embedding: str
    plda: str | None
    """The folder of the PLDA; None where the clustering uses none."""


def layout_of(config: PyannoteConfig) -> Layout:
    """The layout of community-1 (`$model/…` folders, a PLDA) or of 3.1 (models by their hub names). Raises ConfigError
    for anything else: a configuration may name classes, and only this pipeline's is run."""
    import yaml

    where = config.folder() / CONFIG_FILE
    try:
        said = yaml.safe_load(config.read(CONFIG_FILE))
        pipeline, params = said["pipeline"], dict(said["pipeline"].get("params") or {})
        tuned = dict(said.get("params") or {})
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError):
        raise ConfigError(f"{where} is not the configuration of a pyannote pipeline") from None
    if pipeline.get("name") not in _PIPELINES:
        raise ConfigError(f"{where}: the pipeline is `{pipeline.get('name')}`; provoice runs {_PIPELINES[0]}")
    if said.get("preprocessors") or said.get("freeze"):
        raise ConfigError(f"{where} has preprocessors or frozen parameters, which provoice does not run")
    needs_plda = params.get("clustering", "VBxClustering") == "VBxClustering"
    segmentation, embedding = (
        _weights(config, params.pop(role, f"$model/{role}"), role) for role in ("segmentation", "embedding")
    )
    plda = str(params.pop("plda", "$model/plda")).removeprefix("$model/").split("@")[0]
    return Layout(params, tuned, segmentation, embedding, plda if needs_plda else None)


def _weights(config: PyannoteConfig, said: object, role: str) -> str:
    """The stated file that `said` (`$model/segmentation`, a path in the folder, or a hub name) stands for."""
    if isinstance(said, dict):
        said = said.get("subfolder") or said.get("checkpoint")
    name = str(said).removeprefix("$model/").split("@")[0].removeprefix("./")
    for place in (name, name.rsplit("/", 1)[-1], role):
        for file in (place, f"{place}/{WEIGHTS}"):
            if file in config.sha256:
                return file
    raise ConfigError(
        f"diarize.pyannote: {CONFIG_FILE} asks for `{said}`, and no file is stated for it: "
        f"put it at {name}/{WEIGHTS} in the folder, and its digest into diarize.pyannote.sha256"
    )
