"""Accents that a head tells: its vector, its file, and what the stage makes of its answers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from schemas.catalogue import CatalogueRow
from schemas.errors import ConfigError
from schemas.model import parse
from tests.accents import LABELS, said
from tests.transforms.builders import tone
from tests.transforms.utterances import utterance_of
from transforms.accent import UNSURE, AccentConfig, TagAccent
from transforms.accent_fit import Examples, fit, indexed
from transforms.accent_head import AccentHead, DataSheet, LabelCount, figures, made_head, read_head
from transforms.accent_voice import DIMENSIONS, VECTOR, VOICE, accent_vector, cepstral_lags
from transforms.diarize.encoder import CONVERTED, open_encoder
from transforms.items import Accent, Utterance


@pytest.fixture(scope="module")
def session():
    return open_encoder()


@pytest.fixture(scope="module")
def head(session) -> AccentHead:
    """Trained on four made people of each label, one clip each."""
    everybody = [(label, person) for label in LABELS for person in range(4)]
    labels, target = indexed([label for label, _ in everybody])
    vectors = np.stack([accent_vector(said(label, person, 0), session) for label, person in everybody])
    examples = Examples(
        vectors, target, tuple(f"{label}-{person}" for label, person in everybody), labels, (VOICE, slice(None))
    )
    found, account = fit(examples, 0.9)
    counts = {label: LabelCount(speakers=4, utterances=4) for label in labels}
    sheet = DataSheet.model_validate(
        {
            "release": "made", "release_version": 1, "release_sha256": "0" * 64, "ledger_position": 3, "owner": "us",
            "labels": counts, "people": 8, "left_out": 0, "wanted_coverage": 0.9, **figures(found, account, counts),
        }
    )  # fmt: skip
    return made_head("made", "made@1", "english-1", labels, found, sheet)


def stage_of(folder: Path, head: AccentHead, **keys: object) -> TagAccent:
    path = folder / "head.json"
    path.write_bytes(head.to_bytes())
    sha256 = hashlib.sha256(head.to_bytes()).hexdigest()
    config = {"method": "head", "head": str(path), "head_sha256": sha256, **keys}
    stage = TagAccent(AccentConfig.model_validate(config))
    stage.open()
    return stage


def tagged(stage: TagAccent, *utterances: Utterance) -> list[Utterance]:
    answers = stage(list(utterances))
    assert all(isinstance(answer, Utterance) for answer in answers)
    return [answer for answer in answers if isinstance(answer, Utterance)]


# --- the vector -------------------------------------------------------------------------------------------------------


def test_the_vector_is_the_one_that_heads_were_trained_on(session) -> None:
    # A change here makes other vectors of the same sound: every head tells nonsense, unless VECTOR gets a new number.
    vector = accent_vector(said("welsh", 1, 0), session)
    assert vector is not None
    assert VECTOR.startswith("ge2e-mean-cepstral-lags-1 ")
    assert vector.shape == (DIMENSIONS,) == (763,)
    assert [np.linalg.norm(vector[VOICE]), np.linalg.norm(vector[256:])] == pytest.approx([1.0, 1.0], abs=1e-6)
    known = {36: 0.2164, 190: 0.2132, 232: 0.2073, 62: 0.2068, 158: 0.2045, 61: 0.1879}
    known |= {256: 0.5896, 425: 0.2420, 427: -0.2301, 258: -0.2263}
    assert {place: float(vector[place]) for place in known} == pytest.approx(known, abs=0.005)


def test_silence_and_less_than_a_second_have_no_vector(session) -> None:
    assert accent_vector(np.zeros(32_000, np.float32), session) is None
    assert accent_vector(said("welsh", 0, 0)[:15_000], session) is None
    assert accent_vector(said("welsh", 0, 0)[:16_000], session) is not None


def test_loudness_and_pauses_do_not_matter(session) -> None:
    clip = said("welsh", 0, 0, 2.4)
    alone = accent_vector(clip, session)
    assert accent_vector(clip * 0.1, session) == pytest.approx(alone, abs=0.01)
    # Windows of the pause, 1.2 s each, are left out; those of the clip are the same.
    padded = np.concatenate([clip, np.full(38_400, 1e-6, np.float32)])
    assert accent_vector(padded, session) == pytest.approx(alone, abs=0.01)


def test_cepstral_lags_run_forward_in_time_and_hear_little_of_a_microphone() -> None:
    sound = said("welsh", 0, 0)
    lags = cepstral_lags(sound).reshape(3, 13, 13)
    backward = cepstral_lags(np.ascontiguousarray(sound[::-1])).reshape(3, 13, 13)
    scale = float(np.linalg.norm(lags))
    assert np.linalg.norm(backward - lags.transpose(0, 2, 1)) < 0.05 * scale
    assert np.linalg.norm(backward - lags) > 0.2 * scale
    # Through a microphone of another colour: 7 dB less at the high end.
    coloured = sound.copy()
    coloured[1:] += np.float32(0.4) * sound[:-1]
    assert np.linalg.norm(cepstral_lags(coloured).reshape(3, 13, 13) - lags) < 0.2 * scale
    assert cepstral_lags(sound * 0.1) == pytest.approx(cepstral_lags(sound), abs=0.01 * scale)


# --- the file ---------------------------------------------------------------------------------------------------------


def test_a_head_is_read_as_it_was_written(head) -> None:
    data = head.to_bytes()
    assert read_head(data, "it", hashlib.sha256(data).hexdigest()) == head
    assert read_head(data, "it").to_bytes() == data
    assert len(data) < 60_000
    assert json.loads(data)["format"] == "provoice-accent-head-1"


def test_another_file_is_refused_by_name(head) -> None:
    with pytest.raises(ConfigError, match=r"heads/x\.json has sha256 .* accent\.head_sha256 is 0000"):
        read_head(head.to_bytes(), "heads/x.json", "0" * 64)
    for data in (b"", b"\x80", b"[1]", b'{"format": "another"}', head.to_bytes().replace(b"weights", b"weight")):
        with pytest.raises(ConfigError, match="is not a head that `provoice accent fit` made"):
            read_head(data, "x")
    with pytest.raises(ConfigError, match=r"trained on vectors of `older`.*fit it again"):
        read_head(head.model_copy(update={"vector": "older"}).to_bytes(), "x")
    short = json.loads(head.to_bytes()) | {"bias": [0.0]}
    with pytest.raises(ConfigError, match="is not a head"):
        read_head(json.dumps(short).encode(), "x")


def test_a_head_opens_only_with_its_label_set(head, tmp_path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("name: celtic-1\nlanguage: en\nlabels: {scottish: {}}\n")
    with pytest.raises(
        ConfigError, match=r"labels of english-1, and accent\.label_set is celtic-1, which has no welsh"
    ):
        stage_of(tmp_path, head, label_set=str(own))
    with pytest.raises(ConfigError, match=r"accent\.head_sha256 is ffff"):
        stage_of(tmp_path, head, head_sha256="f" * 64)
    with pytest.raises(ConfigError, match=r"cannot read accent\.head .*nowhere"):
        TagAccent(AccentConfig(method="head", head=str(tmp_path / "nowhere"), head_sha256="0" * 64)).open()


# --- the stage --------------------------------------------------------------------------------------------------------


def test_what_nobody_declares_is_told_with_a_score_and_its_model(head, tmp_path) -> None:
    stage = stage_of(tmp_path, head.model_copy(update={"threshold": 0.5}))
    for label in LABELS:
        (answer,) = tagged(stage, utterance_of(said(label, 4, 1)))
        assert answer.accent is not None
        assert (answer.accent.label, answer.accent.label_set, answer.accent.origin) == (label, "english-1", "predicted")
        assert 0.5 <= (answer.accent.score or 0) <= 1
        assert answer.accent.score == round(answer.accent.score or 0, 3)
        assert answer.quality_flags == ()
        assert answer.models["accent_head/made"].startswith("made@1 sha256:")
        assert CONVERTED.id in answer.models


def test_what_is_declared_is_never_replaced(head, tmp_path) -> None:
    stage = stage_of(tmp_path, head)
    sound = said("welsh", 0, 0)
    known, unknown, kept, other = tagged(
        stage,
        utterance_of(sound, catalogue=CatalogueRow(accent="Irish")),
        utterance_of(sound, catalogue=CatalogueRow(accent="Klingon")),
        utterance_of(sound, catalogue=CatalogueRow(accent="Scots", language="en-GB")),
        utterance_of(sound, catalogue=CatalogueRow(language="cy")),
    )
    assert known.accent == Accent("irish", "english-1", "declared")
    assert unknown.accent is None, "its owner called it something, though the label set does not know the word"
    assert kept.accent == Accent("scottish", "english-1", "declared")
    assert other.accent is None, "an accent of English says nothing of Welsh"
    assert all(answer.models == {} and answer.quality_flags == () for answer in (known, unknown, kept, other))


def test_where_it_is_not_sure_there_is_no_label_but_a_flag(head, tmp_path) -> None:
    stage = stage_of(tmp_path, head.model_copy(update={"threshold": 0.9999}))
    unsure, short, silent = tagged(
        stage,
        utterance_of(said("welsh", 4, 1), quality_flags=("snr_is_lower_bound",)),
        utterance_of(said("welsh", 4, 1)[:8000]),
        utterance_of(np.zeros(32_000, np.float32)),
    )
    assert unsure.accent is None
    assert unsure.quality_flags == ("snr_is_lower_bound", UNSURE)
    assert "accent_head/made" in unsure.models
    assert (short.accent, short.quality_flags) == (None, (UNSURE,))
    assert (silent.accent, silent.quality_flags) == (None, (UNSURE,))


def test_answers_do_not_depend_on_neighbours(head, tmp_path) -> None:
    stage = stage_of(tmp_path, head)
    batch = [utterance_of(said(label, person, 1, 1.5 + 0.3 * person)) for label in LABELS for person in range(4)]
    together = tagged(stage, *batch)
    alone = [tagged(stage, one)[0] for one in batch]
    assert [one.accent for one in together] == [one.accent for one in alone]
    assert len({one.accent.score for one in together if one.accent}) > 3


def test_only_the_vector_is_asked_for_and_not_kept(head, tmp_path) -> None:
    (answer,) = tagged(stage_of(tmp_path, head), utterance_of(said("welsh", 4, 1)))
    assert answer.columns == {}


def test_head_and_encoder_are_part_of_the_recipe(head, tmp_path) -> None:
    stage = stage_of(tmp_path, head)
    sha256 = hashlib.sha256(head.to_bytes()).hexdigest()
    assert stage.model_ids["accent_head"] == f"sha256:{sha256}"
    assert CONVERTED.id in stage.model_ids
    assert set(TagAccent(AccentConfig()).model_ids) == {"accent_labels"}


# --- the configuration ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "said_"),
    [
        ({"method": "head"}, "takes `head` and `head_sha256`"),
        ({"method": "head", "head": "x"}, "takes `head` and `head_sha256`"),
        ({"head": "x", "head_sha256": "0" * 64}, "`head` is set, so say `method: head`"),
        ({"method": "head", "head": "x", "head_sha256": "abc"}, "head_sha256"),
        ({"method": "hed"}, "method"),
        ({"classifier": {"modle": "x"}}, r"unknown key `classifier\.modle` \(did you mean `model`\?\)"),
    ],
)
def test_what_cannot_be_meant_is_refused(keys, said_) -> None:
    with pytest.raises(ConfigError, match=said_):
        parse(AccentConfig, keys, "accent")


def test_it_is_switched_off_by_the_method_alone() -> None:
    stage = TagAccent(AccentConfig(method="declared", head="gone.json", head_sha256="0" * 64))
    stage.open()
    (answer,) = tagged(stage, utterance_of(tone(1.0)))
    assert answer.accent is None
    assert answer.quality_flags == ()
