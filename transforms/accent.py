"""Accent of an utterance: what its owner declared, in the words of one versioned label set."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from schemas.catalogue import CatalogueRow
from schemas.errors import ConfigError, Rejected
from schemas.model import Frozen, parse
from transforms.items import Accent, Utterance
from transforms.stage import each

_FOLDER = Path(__file__).resolve().parents[1] / "configs" / "accents"

UNMAPPED = "declared"
"""The label set of words that no label set knows, kept as they were declared."""


class AccentConfig(Frozen):
    """Where accent labels come from."""

    method: Literal["declared"] = Field(default="declared", description="declared: from the catalogue's `accent`")
    label_set: str = Field(
        default="english-1",
        min_length=1,
        description="name of a label set in configs/accents, or the path of your own YAML",
    )
    keep_unmapped: bool = Field(
        default=False,
        description="keep a declared accent that the label set does not know, lower-cased, under the label set "
        "`declared`; otherwise it is null",
    )


class AccentLabel(Frozen):
    """What else means this label: a BCP 47 tag, and words as people write them."""

    bcp47: str | None = None
    synonyms: tuple[str, ...] = ()


class LabelSet(Frozen):
    """A closed, versioned list of accents of one language. A changed list gets a new name."""

    name: str = Field(pattern=r"^[a-z0-9_]+-[0-9]+$")
    language: str = Field(min_length=2, description="BCP 47 primary language that the labels are accents of")
    labels: dict[str, AccentLabel] = Field(min_length=1)

    @model_validator(mode="after")
    def _unambiguous(self) -> LabelSet:
        claimed: dict[str, str] = {}
        for label, word in self._words():
            if claimed.setdefault(folded(word), label) != label:
                raise ValueError(f"`{word}` means both {claimed[folded(word)]} and {label}")
        return self

    @cached_property
    def label_of(self) -> dict[str, str]:
        """Folded word to label."""
        return {folded(word): label for label, word in self._words()}

    def _words(self) -> list[tuple[str, str]]:
        return [
            (label, word)
            for label, entry in self.labels.items()
            for word in (label, *([entry.bcp47] if entry.bcp47 else []), *entry.synonyms)
        ]


class TagAccent:
    """Sets `accent`, with origin `declared` and no score."""

    name, version = "tag_accent", 1

    def __init__(self, config: AccentConfig) -> None:
        self.config = config

    @cached_property
    def label_set(self) -> LabelSet:
        return read_label_set(self.config.label_set)

    @property
    def model_ids(self) -> dict[str, str]:
        """The label set's name and digest: it decides what is written, so it belongs to the recipe."""
        digest = hashlib.sha256(self.label_set.model_dump_json().encode()).hexdigest()
        return {"accent_labels": f"{self.label_set.name} sha256:{digest}"}

    def open(self) -> None:
        _ = self.label_set

    def __call__(self, batch: list[Utterance]) -> list[Utterance | Rejected]:
        return each(
            batch, lambda u: replace(u, accent=declared_accent(u.catalogue, self.label_set, self.config.keep_unmapped))
        )


def declared_accent(row: CatalogueRow, label_set: LabelSet, keep_unmapped: bool = False) -> Accent | None:
    """The accent that a catalogue row declares, in the words of `label_set`.

    None when the row declares none, when its language is another than the label set's, or when the set does not know
    the word and `keep_unmapped` is off. A recording of several speakers has one declared accent at most: it is taken
    as said of each of them.
    """
    if row.accent is None or not folded(row.accent):
        return None
    if row.language is not None and row.language.replace("_", "-").split("-")[0].lower() != label_set.language:
        return None
    label = label_set.label_of.get(folded(row.accent))
    if label is not None:
        return Accent(label, label_set.name, "declared")
    return Accent(row.accent.strip().lower(), UNMAPPED, "declared") if keep_unmapped else None


def read_label_set(name: str) -> LabelSet:
    """A label set by its name in configs/accents, or from a YAML of one's own. Raises ConfigError."""
    import yaml

    path = Path(name) if name.endswith((".yaml", ".yml")) else _FOLDER / f"{name}.yaml"
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError:
        known = ", ".join(sorted(found.stem for found in _FOLDER.glob("*.yaml")))
        raise ConfigError(f"accent.label_set: no label set `{name}`; there is {known}, or give a path") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"accent.label_set: {name} is not YAML: {' '.join(str(error).split())}") from None
    return parse(LabelSet, value, f"accent.label_set {name}")


def folded(word: str) -> str:
    """A word without case, spaces and punctuation: `Northern Irish` and `NorthernIrish` are one."""
    return "".join(letter for letter in word.casefold() if letter.isalnum())
