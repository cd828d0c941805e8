"""A head: one small JSON file that tells accents from an utterance's vector, with the data sheet of what it can do."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from schemas.errors import ConfigError
from schemas.model import Frozen
from schemas.sound import Samples
from transforms.accent_fit import Account, Calibrated
from transforms.accent_labels import LabelSet
from transforms.accent_softmax import Linear, probabilities
from transforms.accent_told import Told
from transforms.accent_voice import DIMENSIONS, VECTOR, VOICE, accent_vector
from transforms.diarize.encoder import CONVERTED, encoder_models, open_encoder

_DIGITS = 6


class LabelCount(Frozen):
    """What a label was learnt from."""

    speakers: int
    utterances: int


class DataSheet(Frozen):
    """What a head was trained on, and how well it does with people it has not heard: folds by speaker.

    Accuracy, coverage and calibration error count every label the same and within it every speaker.
    """

    release: str
    release_version: int
    release_sha256: str
    ledger_position: int
    """Where the ledger stood when the release was decided: what has been withdrawn since is after it."""
    owner: str
    """Who answers for the head."""
    labels: Mapping[str, LabelCount]
    people: int
    """Speakers in all: somebody may be in two labels."""
    left_out: int
    """Utterances of the release that were not used: beyond what is taken of one speaker, or too short to tell."""
    hears: str
    """Which part of the vectors it goes by: what did better with people who did not train it."""
    strength: float
    wanted_coverage: float
    confusion: tuple[tuple[int, ...], ...]
    """Utterances: a row per declared label, a column per predicted one, and last those it was not sure of."""
    accuracy: float
    accuracy_interval: tuple[float, float]
    chance: float
    majority: float
    """Share of the commonest label among the utterances, beside `utterance_accuracy`."""
    utterance_accuracy: float
    coverage: float
    accuracy_covered: float
    calibration_error: float
    calibration_error_uncalibrated: float
    curve: tuple[tuple[float, float], ...]


class AccentHead(Frozen):
    """A linear head over `transforms.accent_voice.accent_vector`, with its temperature and threshold."""

    format: Literal["provoice-accent-head-1"] = "provoice-accent-head-1"
    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    version: str = Field(min_length=1)
    label_set: str
    vector: str
    """What makes the vectors that it was trained on."""
    labels: tuple[str, ...] = Field(min_length=2)
    temperature: float = Field(gt=0)
    threshold: float = Field(ge=0, le=1)
    """No label is given below this score."""
    sheet: DataSheet
    bias: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]

    @model_validator(mode="after")
    def _shaped(self) -> AccentHead:
        if len(self.bias) != len(self.labels) or [len(row) for row in self.weights] != [DIMENSIONS] * len(self.labels):
            raise ValueError(f"a head of {len(self.labels)} labels has as many rows of {DIMENSIONS} weights")
        return self

    @property
    def linear(self) -> Linear:
        return Linear(np.array(self.weights, np.float64), np.array(self.bias, np.float64))

    def to_bytes(self) -> bytes:
        """The file: the same head is the same bytes."""
        values = self.model_dump(mode="json").items()
        lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in values)
        return f"{{\n{lines}\n}}\n".encode()


def made_head(
    name: str, version: str, label_set: str, labels: tuple[str, ...], found: Calibrated, sheet: DataSheet
) -> AccentHead:  # fmt: skip
    """A head as it is stored: weights to six digits, the threshold never above what was chosen."""
    return AccentHead(
        id=name,
        version=version,
        label_set=label_set,
        vector=VECTOR,
        labels=labels,
        temperature=round(found.temperature, _DIGITS),
        threshold=math.floor(found.threshold * 10**_DIGITS) / 10**_DIGITS,
        sheet=sheet,
        bias=tuple(np.round(found.linear.bias, _DIGITS).tolist()),
        weights=tuple(tuple(row) for row in np.round(found.linear.weights, _DIGITS).tolist()),
    )


def figures(found: Calibrated, account: Account, counts: Mapping[str, LabelCount]) -> dict[str, object]:
    """The part of a data sheet that a fit tells, to three digits."""
    utterances = [count.utterances for count in counts.values()]
    return {
        "hears": "voice" if found.columns == VOICE else "voice and cepstral lags",
        "strength": found.strength,
        "confusion": account.confusion,
        "accuracy": round(account.accuracy, 3),
        "accuracy_interval": (round(account.accuracy_from, 3), round(account.accuracy_to, 3)),
        "chance": round(1 / len(counts), 3),
        "majority": round(max(utterances) / sum(utterances), 3),
        "utterance_accuracy": round(account.utterance_accuracy, 3),
        "coverage": round(account.coverage, 3),
        "accuracy_covered": round(account.accuracy_covered, 3),
        "calibration_error": round(account.calibration_error, 3),
        "calibration_error_uncalibrated": round(account.calibration_error_uncalibrated, 3),
        "curve": tuple((one, round(accuracy, 3)) for one, accuracy in account.curve),
    }


def read_head(data: bytes, where: str, sha256: str | None = None) -> AccentHead:
    """A head from its bytes. Raises ConfigError where they are not those of `sha256`, are no head, or one whose
    vectors this provoice does not make."""
    got = hashlib.sha256(data).hexdigest()
    if sha256 is not None and got != sha256:
        raise ConfigError(
            f"{where} has sha256 {got}, accent.head_sha256 is {sha256}; bring the right head, or state this one"
        )
    try:
        head = AccentHead.model_validate(json.loads(data))
    except (ValueError, ValidationError, RecursionError):
        raise ConfigError(f"{where} is not a head that `provoice accent fit` made") from None
    if head.vector != VECTOR:
        raise ConfigError(
            f"{where} was trained on vectors of `{head.vector}`, and this provoice makes `{VECTOR}`; fit it again"
        )
    return head


class HeadTagger:
    """Tells accents by a head, named by its file and SHA-256."""

    def __init__(self, path: Path, where: str, sha256: str) -> None:
        self._path = path
        self._where = where
        self._sha256 = sha256
        self._session: Any = None
        self._head: AccentHead | None = None
        self._linear = Linear(np.zeros((0, DIMENSIONS)), np.zeros(0))
        self.models: Mapping[str, str] = {}

    def model_ids(self) -> Mapping[str, str]:
        return {"accent_head": f"sha256:{self._sha256}", **encoder_models()}

    def open(self, label_set: LabelSet) -> None:
        """Loads head and encoder. Raises ConfigError where the head is not the one that is stated, or tells labels of
        another set."""
        try:
            data = self._path.read_bytes()
        except OSError as error:
            raise ConfigError(f"cannot read accent.head {self._where}: {error.strerror or error}") from None
        head = read_head(data, self._where, self._sha256)
        unknown = [label for label in head.labels if label not in label_set.labels]
        if head.label_set != label_set.name or unknown:
            raise ConfigError(
                f"{self._where} tells labels of {head.label_set}, and accent.label_set is {label_set.name}"
                + (f", which has no {', '.join(unknown)}" if unknown else "")
            )
        self._head, self._linear, self._session = head, head.linear, open_encoder()
        self.models = {f"accent_head/{head.id}": f"{head.version} sha256:{self._sha256}", CONVERTED.id: str(CONVERTED)}

    def told(self, samples: Samples) -> Told:
        if self._head is None:
            raise RuntimeError("a head is opened before it is asked")
        vector = accent_vector(samples, self._session)
        return Told(None, 0.0) if vector is None else tell(self._head, self._linear, vector)


def tell(head: AccentHead, linear: Linear, vector: NDArray[np.float32]) -> Told:
    """The likeliest label and its score, to three digits; no label where the head is not sure."""
    score = probabilities(linear.logits(vector), head.temperature)
    best = int(score.argmax())
    return Told(head.labels[best] if score[best] >= head.threshold else None, round(float(score[best]), 3))
