"""What tells an accent from sound, whatever its model: a label with its score, or that it is not sure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from schemas.sound import Samples
from transforms.accent_labels import LabelSet


@dataclass(frozen=True, slots=True)
class Told:
    """`label` None: not sure. `score` is the likeliest label's, 0…1, to three digits."""

    label: str | None
    score: float


class Tagger(Protocol):
    """One utterance at a time, so that no answer depends on its neighbours."""

    models: Mapping[str, str]
    """Each model as it stands in `lineage.models`, once opened."""

    def model_ids(self) -> Mapping[str, str]:
        """The models by what the configuration says of them, for the recipe. Raises ConfigError where it says too
        little."""

    def open(self, label_set: LabelSet) -> None:
        """Loads the models, and checks that what they tell are labels of the set. Raises ConfigError."""

    def told(self, samples: Samples) -> Told:
        """The accent of 16 kHz mono `samples`."""
