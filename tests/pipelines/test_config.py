"""The configuration: what is refused and how it is said, and which keys are recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.config import RECIPE_KEYS, SETTING_KEYS, Config, load_config, recipe_difference
from pipelines.stages import declared_columns, digest_of, load_own_stage, recipe
from schemas.errors import ConfigError

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_configuration_loads(path):
    assert isinstance(load_config(str(path)), Config)


def test_every_key_is_recipe_or_setting_and_not_both():
    assert set(RECIPE_KEYS) | set(SETTING_KEYS) == set(Config.model_fields)
    assert not set(RECIPE_KEYS) & set(SETTING_KEYS)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["cut.max_ss=20"], r"unknown key `cut\.max_ss` \(did you mean `max_s`\?\)"),
        (["vda.on=1"], r"unknown key `vda` \(did you mean `vad`\?\)"),
        (["cut.max_s=-1"], r"`cut\.max_s`.*got -1"),
        (["cut.max_s=long"], r"`cut\.max_s`.*got 'long'"),
        (["cut"], "expected key=value"),
        (["max_rejected_ratio.x=1"], "max_rejected_ratio"),
        (["cut.max_s=[1"], "is not a YAML value"),
    ],
)
def test_nonsense_is_refused_in_one_line_that_shows_what_it_got(overrides, said):
    with pytest.raises(ConfigError, match=said) as caught:
        load_config("configs/default.yaml", overrides)
    assert "\n" not in str(caught.value)


def test_a_missing_file_names_those_that_come_along():
    with pytest.raises(ConfigError, match=r"did you mean `configs/explore\.yaml`.*configs/default\.yaml"):
        load_config("configs/explor.yaml")


@pytest.mark.parametrize(("text", "said"), [("a: [", "is not YAML"), ("- 1", "expected keys and values")])
def test_a_file_that_is_no_configuration_is_named(tmp_path, text, said):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match=rf"mine\.yaml.*{said}"):
        load_config(str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize(
    "text",
    [
        "consent:\n  require_grants: true\nconsent:\n  min_extra_voice_s: 3\n",
        "consent: {require_grants: true, require_grants: false}",
    ],
)
def test_a_key_that_stands_there_twice_is_refused_with_its_line(text, tmp_path):
    """PyYAML alone takes the last, and everything below the first is gone without a word."""
    (tmp_path / "mine.yaml").write_text(text)
    twice = "consent` stands there twice.*line 3" if "\n" in text else "require_grants` stands there twice.*line 1"
    with pytest.raises(ConfigError, match=twice):
        load_config(str(tmp_path / "mine.yaml"))


def test_a_merged_key_may_be_overridden(tmp_path):
    (tmp_path / "mine.yaml").write_text("vad: {<<: {pad_s: 0.05, fill_gap_s: 0.2}, pad_s: 0.06}\n")
    vad = load_config(str(tmp_path / "mine.yaml")).vad
    assert (vad.pad_s, vad.fill_gap_s) == (0.06, 0.2)


def test_a_setting_leaves_the_recipe_as_it_is_and_a_recipe_key_does_not():
    plain, faster, shorter = (
        recipe(load_config("configs/explore.yaml", ["diarize.backend=single", *more]))
        for more in ([], ["workers=7", "limits.memory_bytes=900000000", "plan.unit_max_sources=3"], ["cut.max_s=3"])
    )
    assert digest_of(plain) == digest_of(faster)
    assert digest_of(plain) != digest_of(shorter)
    assert recipe_difference(plain, shorter) == ["cut.max_s"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nocolon", "is not `module:Class`"),
        ("no.such.module:Thing", "cannot make `no.such.module:Thing`"),
        ("json:JSONDecoder", "has no name, version, open"),
    ],
)
def test_a_stage_of_ones_own_that_is_none_is_named(name, said):
    with pytest.raises(ConfigError, match=said):
        load_own_stage(name)


def test_a_column_that_is_taken_or_of_an_unknown_type_is_refused():
    class Stage:
        name, version = "mine", 1

    for columns, said in (({"snr_db": "double"}, "is a column already"), ({"pace": "number"}, "a column is string")):
        Stage.columns = columns
        with pytest.raises(ConfigError, match=said):
            declared_columns([Stage()])
