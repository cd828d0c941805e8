"""The stages of a run, in order, built from its configuration. The order is written here and nowhere else."""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.config import Config
from schemas.errors import ConfigError
from schemas.tables import COLUMN_TYPES, SCHEMA_VERSION, UTTERANCE_FIELDS
from transforms.accent import TagAccent
from transforms.colour import MeasureColour
from transforms.cut import CutTurns
from transforms.decode import Decode
from transforms.diarize import Diarize
from transforms.items import Recording, Utterance
from transforms.levels import MeasureLevels
from transforms.loudness import MeasureLoudness
from transforms.pitch import MeasurePitch
from transforms.restore import Restore
from transforms.reverberation import MeasureReverberation
from transforms.snr import MeasureSnr
from transforms.stage import Stage
from transforms.surroundings import MeasureSurroundings
from transforms.vad import DetectSpeech


@dataclass(frozen=True)
class Stages:
    """What a recording goes through, then what each of its utterances goes through."""

    recording: tuple[Stage[Recording], ...]
    cutter: CutTurns
    utterance: tuple[Stage[Utterance], ...]
    declared_columns: dict[str, str]
    restore: Restore | None = None
    """Derives repaired utterances from measured ones, which are measured again."""

    def open(self) -> None:
        """Load every model; once per worker process."""
        every: tuple[Stage[Any], ...] = (*self.recording, *self.utterance)
        for stage in every:
            stage.open()


def build_stages(config: Config, spool_dir: Path) -> Stages:
    """Decode, detect speech, diarize; cut; then measure, tag the accent, and the user's own stages."""
    own = tuple(load_own_stage(name) for name in config.stages)
    measure: list[Stage[Utterance]] = [MeasureLevels(config.levels)]
    if config.snr is not None:
        measure.append(MeasureSnr(config.snr))
    if config.reverberation is not None:
        measure.append(MeasureReverberation(config.reverberation))
    if config.loudness is not None:
        measure.append(MeasureLoudness(config.loudness))
    if config.pitch is not None:
        measure.append(MeasurePitch(config.pitch))
    if config.colour is not None:
        measure.append(MeasureColour(config.colour))
    if config.surroundings is not None:
        measure.append(MeasureSurroundings(config.surroundings))
    if config.accent is not None:
        measure.append(TagAccent(config.accent))
    return Stages(
        recording=(Decode(config.decode, spool_dir), DetectSpeech(config.vad), Diarize(config.diarize)),
        cutter=CutTurns(config.cut),
        utterance=(*measure, *own),
        declared_columns=declared_columns(own),
        restore=None if config.restore is None else Restore(config.restore),
    )


def recipe(config: Config) -> dict[str, Any]:
    """What changes bytes: the configuration's share of it, the stages with their versions, and the models in use."""
    stages = build_stages(config, Path())
    every: tuple[Stage[Any], ...] = (*stages.recording, *stages.utterance)
    versions = {stage.name: stage.version for stage in every} | {"cut_turns": stages.cutter.version}
    models = {name: model for stage in every for name, model in getattr(stage, "model_ids", {}).items()}
    if stages.restore is not None:
        versions[stages.restore.name] = stages.restore.version
        models |= stages.restore.model_ids
    # Parts of one recipe have one schema: readers rely on it, for they cannot look into every file.
    schema = {"version": SCHEMA_VERSION, "columns": stages.declared_columns}
    return {**config.recipe_values(), "versions": versions, "models": models, "schema": schema}


def digest_of(recipe_values: dict[str, Any]) -> str:
    """The name of a recipe."""
    return hashlib.sha256(json.dumps(recipe_values, sort_keys=True).encode()).hexdigest()


def load_own_stage(name: str) -> Stage[Utterance]:
    """The user's `module:Class`, made without arguments; found where they stand or on the Python path."""
    module_name, colon, class_name = name.partition(":")
    if not colon or not module_name or not class_name:
        raise ConfigError(f"stages: `{name}` is not `module:Class`")
    here = str(Path.cwd())
    if here not in sys.path:
        # Last, so that a folder of the user's can never stand in for one of ours.
        sys.path.append(here)
    try:
        stage = getattr(importlib.import_module(module_name), class_name)()
    except (ImportError, AttributeError, TypeError) as error:
        raise ConfigError(f"stages: cannot make `{name}`: {error}") from None
    missing = [part for part in ("name", "version", "open", "__call__") if not hasattr(stage, part)]
    if missing:
        raise ConfigError(f"stages: `{name}` has no {', '.join(missing)}; docs/your-own-stage.md shows a whole one")
    return stage  # type: ignore[no-any-return]


def declared_columns(own: Sequence[Stage[Utterance]]) -> dict[str, str]:
    """Columns that the user's stages declare, by name; refuses a name that is taken or a type that is not known."""
    taken = {field.name for field in UTTERANCE_FIELDS}
    declared: dict[str, str] = {}
    for stage in own:
        for column, kind in getattr(stage, "columns", {}).items():
            if column in taken:
                raise ConfigError(f"stages: {stage.name} declares `{column}`, which is a column already")
            if kind not in COLUMN_TYPES:
                raise ConfigError(f"stages: {stage.name}.{column} is `{kind}`; a column is {', '.join(COLUMN_TYPES)}")
            taken.add(column)
            declared[column] = kind
    return declared
