"""Declared accents in the words of a label set."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from schemas.catalogue import CatalogueRow
from schemas.errors import ConfigError
from tests.shared_audio import shared_audio
from tests.transforms.builders import tone
from tests.transforms.utterances import utterance_of
from transforms import accent_labels as accents
from transforms.accent import AccentConfig, TagAccent, declared_accent
from transforms.accent_labels import folded, read_label_set
from transforms.items import Accent, Utterance

ENGLISH = read_label_set("english-1")


@pytest.mark.parametrize(
    ("declared", "label"),
    [
        ("English", "english"),
        ("Scottish", "scottish"),
        ("NorthernIrish", "northern_irish"),
        ("northern irish", "northern_irish"),
        ("NewZealand", "new_zealand"),
        ("USA/neutral", "american"),
        ("DEU/German", "german_l1"),
        ("en-IN", "indian"),
        ("en_gb", "british"),
    ],
)
def test_what_people_write_is_mapped(declared: str, label: str) -> None:
    row = CatalogueRow(accent=declared, language="en")
    assert declared_accent(row, ENGLISH) == Accent(label, "english-1", "declared", None)


def test_null_when_nothing_applies() -> None:
    assert declared_accent(CatalogueRow(), ENGLISH) is None
    assert declared_accent(CatalogueRow(accent=" – "), ENGLISH) is None
    assert declared_accent(CatalogueRow(accent="Klingon"), ENGLISH) is None
    # "Canadian" said of French is not an accent of English.
    assert declared_accent(CatalogueRow(accent="Canadian", language="fr-CA"), ENGLISH) is None
    assert declared_accent(CatalogueRow(accent="Canadian", language="en-CA"), ENGLISH) is not None
    assert declared_accent(CatalogueRow(accent="Canadian"), ENGLISH) is not None


def test_unknown_words_are_kept_only_when_asked() -> None:
    row = CatalogueRow(accent=" Klingon ")
    assert declared_accent(row, ENGLISH, keep_unmapped=True) == Accent("klingon", "declared", "declared")
    assert declared_accent(CatalogueRow(accent="Scots"), ENGLISH, keep_unmapped=True) == Accent(
        "scottish", "english-1", "declared"
    )


def test_every_shipped_label_set_loads_and_bears_its_file_name() -> None:
    files = sorted(accents._FOLDER.glob("*.yaml"))
    assert [file.stem for file in files] == [read_label_set(file.stem).name for file in files]
    assert "english-1" in [file.stem for file in files]
    assert all(label == label.lower() and " " not in label for label in ENGLISH.labels)


def test_a_label_set_of_ones_own(tmp_path: Path) -> None:
    own = tmp_path / "welsh.yaml"
    own.write_text("name: welsh-2\nlanguage: cy\nlabels: {gog: {synonyms: [North Wales]}, hwntw: {}}\n")
    (answer,) = TagAccent(AccentConfig(label_set=str(own)))(
        [utterance_of(tone(1.0), catalogue=CatalogueRow(accent="north wales", language="cy"))]
    )
    assert isinstance(answer, Utterance)
    assert answer.accent == Accent("gog", "welsh-2", "declared")


def test_bad_label_sets_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no label set `english-9`; there is english-1"):
        TagAccent(AccentConfig(label_set="english-9")).open()
    own = tmp_path / "own.yaml"
    own.write_text("name: own-1\nlanguage: en\nlabels: {north: {synonyms: [Up]}, south: {synonyms: [up]}}\n")
    with pytest.raises(ConfigError, match="`up` means both north and south"):
        read_label_set(str(own))
    own.write_text("name: own-1\nlanguage: en\nlabels: {north: {synonym: [Up]}}\n")
    with pytest.raises(ConfigError, match=r"unknown key `labels\.north\.synonym`"):
        read_label_set(str(own))
    own.write_text("name: [\n")
    with pytest.raises(ConfigError, match="is not YAML"):
        read_label_set(str(own))


def test_the_label_set_is_part_of_the_recipe(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("name: own-1\nlanguage: en\nlabels: {north: {}}\n")
    before = TagAccent(AccentConfig(label_set=str(own))).model_ids
    own.write_text("name: own-1\nlanguage: en\nlabels: {north: {synonyms: [up]}}\n")
    assert TagAccent(AccentConfig(label_set=str(own))).model_ids != before


def test_folding_ignores_case_space_and_punctuation() -> None:
    assert folded("Northern-Irish (Belfast)") == "northernirishbelfast"


def test_every_accent_of_the_real_speakers_is_known() -> None:
    with shared_audio("vctk_speakers.csv").open() as lines:
        declared = {row["accents"].strip() for row in csv.DictReader(lines)} - {"", "Unknown"}
    with shared_audio("speakers.csv").open() as lines:
        declared |= {row["accent"] for row in csv.DictReader(lines)} - {""}
    unknown = {word for word in declared if declared_accent(CatalogueRow(accent=word), ENGLISH) is None}
    assert len(declared) > 8
    assert not unknown
