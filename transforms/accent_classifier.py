"""Accents by a transformers audio classifier that somebody brings (`AutoModelForAudioClassification`'s layout).

torch and transformers are imported when the model is opened, and nothing is asked of a hub by them: the files are read
here, each checked against its SHA-256, and handed over as they are. No code of a model's repository is run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from schemas.errors import ConfigError
from schemas.model import Frozen
from schemas.sound import ANALYSIS_RATE_HZ, Samples
from transforms.accent_labels import LabelSet, folded
from transforms.accent_softmax import probabilities
from transforms.accent_told import Told
from transforms.pinned import checked_digests, pinned_folder, pinned_models, read_pinned

MODEL_FILE, FEATURES_FILE = "config.json", "preprocessor_config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")


class ClassifierConfig(Frozen):
    """Which classifier tells accents, the SHA-256 of each of its files, and what its labels mean."""

    key: ClassVar[str] = "accent.classifier"
    kind: ClassVar[str] = "accent_classifier"

    model: str | None = Field(
        default=None,
        description="folder with `config.json`, `preprocessor_config.json` and weights; `gs://…` or `s3://…`; or "
        "`hf://OWNER/NAME` for the hub",
    )
    revision: str | None = Field(
        default=None, description="revision of the model, for the hub and for `lineage.models`; null: none is named"
    )
    sha256: Mapping[str, str] = Field(
        default={}, description="SHA-256 of each file, by its path in the folder; a file without one is never opened"
    )
    labels: Mapping[str, str | None] = Field(
        default={},
        description="the model's label to one of the label set, or null for one that is no accent; a label that is "
        "left out here is looked for among the label set's own words",
    )
    min_score: float = Field(default=0.5, ge=0, le=1, description="no label is given below this score")
    temperature: float = Field(
        default=1.0, gt=0, le=100, description="the model's logits are divided by this before they become scores"
    )
    max_s: float = Field(default=20.0, ge=1, le=60, description="seconds from the start of an utterance that are heard")
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="`auto` takes a GPU where there is one; a GPU's last digits are its own"
    )

    _are_digests = field_validator("sha256")(checked_digests)

    def named(self) -> str:
        """The model, where one is; else ConfigError."""
        if not self.model:
            raise ConfigError("accent.method is `classifier`, and accent.classifier.model names none; docs/accent.md")
        return self.model


class ClassifierTagger:
    """One utterance at a time, on one thread where there is no GPU: padding would let neighbours change an answer."""

    def __init__(self, config: ClassifierConfig) -> None:
        self._config = config
        self._model: Any = None
        self._features: Any = None
        self._labels: tuple[str | None, ...] = ()
        self.models: Mapping[str, str] = {}

    def model_ids(self) -> Mapping[str, str]:
        return pinned_models(self._config)

    def open(self, label_set: LabelSet) -> None:
        """Loads the model. Raises ConfigError where a file is missing or not the one that is stated, or where a label
        means nothing in `label_set`."""
        said = _json(self._config, MODEL_FILE)
        self._labels = meanings(said, self._config, label_set)
        self._features = _features(self._config)
        self._model = _model(self._config, said)
        self.models = self.model_ids()

    def told(self, samples: Samples) -> Told:
        """Not sure, too, where the likeliest of the model's labels is no accent."""
        import torch

        heard = samples[: round(self._config.max_s * ANALYSIS_RATE_HZ)]
        inputs = self._features(heard, sampling_rate=ANALYSIS_RATE_HZ, return_tensors="pt")
        with torch.inference_mode():
            logits = self._model(**inputs.to(self._model.device)).logits[0].double().cpu().numpy()
        score = probabilities(logits, self._config.temperature)
        best = int(score.argmax())
        label = self._labels[best] if score[best] >= self._config.min_score else None
        return Told(label, round(float(score[best]), 3))


def meanings(said: Mapping[str, Any], config: ClassifierConfig, label_set: LabelSet) -> tuple[str | None, ...]:
    """What each of the model's labels means in `label_set`, in the model's order. Raises ConfigError with those that
    mean nothing there."""
    named = said.get("id2label")
    if not isinstance(named, dict) or not named:
        raise ConfigError(f"{pinned_folder(config) / MODEL_FILE} names no labels (`id2label`): it is no classifier")
    theirs = [str(named[number]) for number in sorted(named, key=int)]
    unknown = [label for label in config.labels if label not in theirs]
    if unknown:
        raise ConfigError(
            f"accent.classifier.labels: the model has no {', '.join(unknown)}; it has {', '.join(theirs)}"
        )
    found = {label: config.labels.get(label, label_set.label_of.get(folded(label))) for label in theirs}
    lost = [
        label for label, ours in found.items()
        if (ours is None and label not in config.labels) or (ours is not None and ours not in label_set.labels)
    ]  # fmt: skip
    if lost:
        raise ConfigError(
            f"accent.classifier: {', '.join(lost)} of the model's labels mean nothing in {label_set.name}; say what "
            "they mean in accent.classifier.labels, or null where that is no accent"
        )
    return tuple(found[label] for label in theirs)


def _json(config: ClassifierConfig, name: str) -> dict[str, Any]:
    try:
        value = json.load(read_pinned(config, name))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ConfigError(f"{pinned_folder(config) / name} is not the JSON of a transformers model")
    return value


def _features(config: ClassifierConfig) -> Any:
    """What turns samples into the model's input, by the class that its file names; one of transformers' own."""
    _transformers()
    from transformers.models.auto.feature_extraction_auto import feature_extractor_class_from_name

    said = _json(config, FEATURES_FILE)
    name = str(said.get("feature_extractor_type"))
    found = feature_extractor_class_from_name(name)
    where = pinned_folder(config) / FEATURES_FILE
    if found is None:
        raise ConfigError(f"{where}: transformers has no feature extractor `{name}`")
    if said.get("sampling_rate", ANALYSIS_RATE_HZ) != ANALYSIS_RATE_HZ:
        raise ConfigError(f"{where}: the model hears {said['sampling_rate']} Hz, and provoice gives {ANALYSIS_RATE_HZ}")
    return found.from_dict(said)


def _model(config: ClassifierConfig, said: dict[str, Any]) -> Any:
    """The model, in evaluation, on its device, of transformers' own class for its type."""
    torch = _transformers()
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING

    where, kind = pinned_folder(config), str(said.get("model_type"))
    values = CONFIG_MAPPING[kind].from_dict(said) if kind in CONFIG_MAPPING else None
    if values is None or type(values) not in MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING:
        raise ConfigError(f"{where / MODEL_FILE}: transformers has no audio classifier of type `{kind}`")
    chosen: Any = MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING[type(values)]
    weights = _weights(config)
    try:
        model, loaded = chosen.from_pretrained(None, config=values, state_dict=weights, output_loading_info=True)
    except (RuntimeError, ValueError, KeyError) as error:
        raise ConfigError(f"{where}: the weights do not fit {MODEL_FILE}: {one_line(error)}") from None
    absent = sorted({*loaded["missing_keys"], *(key for key, *_ in loaded["mismatched_keys"])})
    if absent:
        # transformers would fill them with random numbers, and say so in a log.
        raise ConfigError(f"{where}: the weights lack {', '.join(absent[:3])}: this is no trained classifier")
    device = _device(torch, config.device)
    if device == "cpu":
        # Sums must not depend on how many cores there are, and there is a worker on each.
        torch.set_num_threads(1)
    return model.eval().to(device)


def _weights(config: ClassifierConfig) -> Any:
    stated = [name for name in WEIGHTS if name in config.sha256]
    if not stated:
        raise ConfigError(
            f"accent.classifier.sha256 states no weights: {' or '.join(WEIGHTS)}, whole and not in parts, of "
            f"{config.named()}"
        )
    data = read_pinned(config, stated[0])
    try:
        if stated[0].endswith(".safetensors"):
            from safetensors.torch import load

            return load(data.getvalue())
        import torch

        return torch.load(data, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001  (each reader of weights has exceptions of its own)
        where = pinned_folder(config) / stated[0]
        raise ConfigError(f"{where} cannot be read as weights: {one_line(error)}") from None


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _device(torch: Any, wanted: str) -> str:
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError("accent.classifier.device is `cuda`, and torch finds no GPU here; say `auto` or `cpu`")
    return "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"


def _transformers() -> Any:
    """torch, once transformers is there and has been told to be quiet."""
    try:
        import torch
        import transformers
    except ImportError:
        raise ConfigError("accent.method `classifier` takes transformers: pip install 'provoice[accent]'") from None
    said: Any = transformers.utils.logging
    said.set_verbosity_error()
    said.disable_progress_bar()
    return torch
