"""Accent of an utterance in the words of one versioned label set: what its owner declared, else, if asked for, what a
model tells from the sound."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from schemas.catalogue import CatalogueRow
from schemas.errors import Rejected
from schemas.model import Frozen
from transforms.accent_classifier import ClassifierConfig, ClassifierTagger
from transforms.accent_head import HeadTagger
from transforms.accent_labels import LabelSet, folded, read_label_set
from transforms.accent_told import Tagger
from transforms.items import Accent, Utterance
from transforms.models import cache_folder
from transforms.stage import each

UNMAPPED = "declared"
"""The label set of words that no label set knows, kept as they were declared."""
UNSURE = "accent_is_unsure"
"""The quality flag of an utterance whose accent a model was asked for, and would not tell."""


class AccentConfig(Frozen):
    """Where accent labels come from."""

    method: Literal["declared", "head", "classifier"] = Field(
        default="declared",
        description="declared: from the catalogue's `accent`; head, classifier: and where that says nothing, as a head "
        "that `provoice accent fit` made, or a transformers audio classifier, tells it",
    )
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
    head: str | None = Field(
        default=None, description="the head of method `head`: a file that every worker can read, `gs://…` or `s3://…`"
    )
    head_sha256: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{64}$",
        description="its SHA-256, as `provoice accent show` tells it; no other file is opened",
    )
    classifier: ClassifierConfig = Field(
        default=ClassifierConfig(), description="the model of method `classifier`, and what its labels mean"
    )

    @model_validator(mode="after")
    def _consistent(self) -> AccentConfig:
        if self.method == "head" and (self.head is None or self.head_sha256 is None):
            raise ValueError("method `head` takes `head` and `head_sha256`, as `provoice accent fit` prints them")
        # A key that is set and does nothing would be found out after the run.
        if "method" not in self.model_fields_set and self.head is not None:
            raise ValueError("`head` is set, so say `method: head`, or `method: declared` to leave it out")
        return self

    def head_path(self) -> Path:
        """Where the head lies on this machine: the file itself, or the cache, named by its digest."""
        if self.is_head_remote:
            return cache_folder() / "accent" / f"{self.head_sha256}.json"
        return Path(self.head or "")

    @property
    def is_head_remote(self) -> bool:
        return "://" in (self.head or "")


def tagger_of(config: AccentConfig) -> Tagger | None:
    """The model that is configured, not opened yet; None where labels are only declared."""
    if config.method == "head":
        return HeadTagger(config.head_path(), config.head or "", config.head_sha256 or "")
    return ClassifierTagger(config.classifier) if config.method == "classifier" else None


class TagAccent:
    """Sets `accent`: origin `declared`, without a score, or `predicted`, with one. A model is asked only where nothing
    is declared; where it is not sure, the accent stays null, and the quality flag says so."""

    name, version = "tag_accent", 2

    def __init__(self, config: AccentConfig) -> None:
        self.config = config
        self._tagger = tagger_of(config)

    @cached_property
    def label_set(self) -> LabelSet:
        return read_label_set(self.config.label_set)

    @property
    def model_ids(self) -> Mapping[str, str]:
        """Label set and models: they decide what is written, so they belong to the recipe."""
        digest = hashlib.sha256(self.label_set.model_dump_json().encode()).hexdigest()
        told = {} if self._tagger is None else self._tagger.model_ids()
        return {"accent_labels": f"{self.label_set.name} sha256:{digest}", **told}

    def open(self) -> None:
        """Loads the model; ConfigError where it is missing, or not the one that is stated."""
        label_set = self.label_set
        if self._tagger is not None:
            self._tagger.open(label_set)

    def __call__(self, batch: list[Utterance]) -> list[Utterance | Rejected]:
        return each(batch, self._tagged)

    def _tagged(self, utterance: Utterance) -> Utterance:
        row = utterance.catalogue
        if self._tagger is None or is_declared(row) or not speaks(row, self.label_set):
            declared = declared_accent(row, self.label_set, self.config.keep_unmapped)
            return replace(utterance, accent=declared)
        told = self._tagger.told(utterance.samples)
        heard = replace(utterance, models={**utterance.models, **self._tagger.models})
        if told.label is None:
            return replace(heard, accent=None, quality_flags=(*heard.quality_flags, UNSURE))
        return replace(heard, accent=Accent(told.label, self.label_set.name, "predicted", told.score))


def declared_accent(row: CatalogueRow, label_set: LabelSet, keep_unmapped: bool = False) -> Accent | None:
    """The accent that a catalogue row declares, in the words of `label_set`.

    None when the row declares none, when its language is another than the label set's, or when the set does not know
    the word and `keep_unmapped` is off. A recording of several speakers has one declared accent at most: it is taken
    as said of each of them.
    """
    if row.accent is None or not is_declared(row) or not speaks(row, label_set):
        return None
    label = label_set.label_of.get(folded(row.accent))
    if label is not None:
        return Accent(label, label_set.name, "declared")
    return Accent(row.accent.strip().lower(), UNMAPPED, "declared") if keep_unmapped else None


def is_declared(row: CatalogueRow) -> bool:
    """Whether its owner says something of the accent, known to the label set or not: a model does not overrule it."""
    return row.accent is not None and bool(folded(row.accent))


def speaks(row: CatalogueRow, label_set: LabelSet) -> bool:
    """Whether the row's language is the one that the labels are accents of; unknown languages are taken to be."""
    return row.language is None or row.language.replace("_", "-").split("-")[0].lower() == label_set.language
