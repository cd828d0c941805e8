"""Accents by a transformers classifier: a small real one that these tests make, in a folder as it is published."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipelines.model_files import fetch_accent
from schemas.errors import ConfigError
from tests.accents import said
from tests.transforms.utterances import utterance_of
from transforms.accent import UNSURE, AccentConfig, TagAccent
from transforms.accent_classifier import ClassifierConfig, ClassifierTagger, meanings
from transforms.accent_labels import read_label_set
from transforms.accent_softmax import probabilities
from transforms.items import Utterance

ENGLISH = read_label_set("english-1")
LABELS = ("us", "scotland", "noise")


def write_model(folder: Path, kind: str = "wav2vec2") -> None:
    """A classifier of random weights, large enough that its answers differ."""
    import torch
    import transformers

    torch.manual_seed(0)
    transformers.utils.logging.disable_progress_bar()
    names = {"id2label": dict(enumerate(LABELS)), "label2id": {name: n for n, name in enumerate(LABELS)}}
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, **names}
    if kind == "wav2vec2":
        config = transformers.Wav2Vec2Config(
            **small, conv_dim=(8, 8), conv_stride=(10, 8), conv_kernel=(10, 8), num_feat_extract_layers=2,
            num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2, classifier_proj_size=8,
        )  # fmt: skip
        model = transformers.Wav2Vec2ForSequenceClassification(config)
    else:
        config = transformers.HubertConfig(
            **small, conv_dim=(8, 8), conv_stride=(10, 8), conv_kernel=(10, 8), num_feat_extract_layers=2,
            num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2, classifier_proj_size=8,
        )  # fmt: skip
        model = transformers.HubertForSequenceClassification(config)
    with torch.no_grad():
        model.classifier.weight.mul_(400)
    model.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(return_attention_mask=False).save_pretrained(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / "accents"
    write_model(path)
    return path


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def config_of(folder: Path, **keys: object) -> ClassifierConfig:
    values = {"model": str(folder), "sha256": digests(folder), "labels": {"noise": None}, "device": "cpu", **keys}
    return ClassifierConfig.model_validate(values)


def opened(config: ClassifierConfig) -> ClassifierTagger:
    tagger = ClassifierTagger(config)
    tagger.open(ENGLISH)
    return tagger


def changed(folder: Path, to: Path, name: str, **values: object) -> Path:
    """The model in another folder, with some values of one of its JSON files changed."""
    to.mkdir()
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    told = json.loads((to / name).read_text())
    (to / name).write_text(json.dumps({**told, **values}))
    return to


@pytest.mark.parametrize("kind", ["wav2vec2", "hubert"])
def test_its_answers_are_those_of_transformers_own_loader(tmp_path, kind) -> None:
    import torch
    from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

    write_model(tmp_path / "m", kind)
    theirs = AutoModelForAudioClassification.from_pretrained(tmp_path / "m").eval()
    features = AutoFeatureExtractor.from_pretrained(tmp_path / "m")
    tagger = opened(config_of(tmp_path / "m", min_score=0.0))
    meaning = {"us": "american", "scotland": "scottish", "noise": None}
    seen = set()
    for person in range(4):
        sound = said("welsh", person, 0)
        with torch.inference_mode():
            inputs = features(sound, sampling_rate=16_000, return_tensors="pt")
            logits = theirs(**inputs).logits[0].double().numpy()
        score, best = probabilities(logits), LABELS[int(logits.argmax())]
        told = tagger.told(sound)
        assert told.label == meaning[best]
        assert told.score == pytest.approx(score.max(), abs=1.1e-3)
        seen.add(told.score)
    assert len(seen) > 1


def test_weights_under_their_old_names_and_in_the_old_format_are_read(folder, tmp_path) -> None:
    import torch
    from safetensors.torch import load_file

    state = load_file(folder / "model.safetensors")
    old = {
        name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): tensor
        for name, tensor in state.items()
    }
    assert set(old) != set(state)
    there = changed(folder, tmp_path / "old", "config.json")
    (there / "model.safetensors").unlink()
    torch.save(old, there / "pytorch_model.bin")
    one, two = opened(config_of(folder)), opened(config_of(there))
    assert one.told(said("welsh", 0, 0)) == two.told(said("welsh", 0, 0))


def test_the_stage_asks_it_where_nothing_is_declared(folder) -> None:
    config = AccentConfig(method="classifier", classifier=config_of(folder, min_score=0.0))
    stage = TagAccent(config)
    stage.open()
    clips = [utterance_of(said("welsh", person, 0, 1.0 + 0.4 * person)) for person in range(4)]
    together = stage(clips)
    assert together == [stage([clip])[0] for clip in clips]
    for answer in together:
        assert isinstance(answer, Utterance)
        assert answer.accent is None or (answer.accent.origin, answer.accent.label_set) == ("predicted", "english-1")
        assert (answer.accent is None) == (UNSURE in answer.quality_flags)
        assert answer.models["accent_classifier/accents/model.safetensors"].startswith("unnamed sha256:")
    assert set(stage.model_ids) == {"accent_labels", *(f"accent_classifier/accents/{name}" for name in digests(folder))}


def test_below_the_score_that_is_asked_for_it_is_not_sure(folder) -> None:
    assert opened(config_of(folder, min_score=1.0)).told(said("welsh", 0, 0)).label is None
    hot = opened(config_of(folder, temperature=100.0)).told(said("welsh", 0, 0))
    cold = opened(config_of(folder)).told(said("welsh", 0, 0))
    assert 1 / 3 <= hot.score < cold.score


def test_only_the_beginning_of_a_long_utterance_is_heard(folder) -> None:
    tagger = opened(config_of(folder, max_s=1.0))
    long = np.concatenate([said("welsh", 0, 0, 1.0), said("scottish", 1, 0, 2.0)])
    assert tagger.told(long) == tagger.told(long[:16_000])


# --- what its labels mean ---------------------------------------------------------------------------------------------


def test_labels_are_words_of_the_set_or_what_the_configuration_says() -> None:
    model = {"id2label": {"1": "Scots", "0": "US", "2": "x"}}
    config = ClassifierConfig(model="m", labels={"x": "indian"})
    assert meanings(model, config, ENGLISH) == ("american", "scottish", "indian")
    assert meanings(model, ClassifierConfig(model="m", labels={"x": None}), ENGLISH) == ("american", "scottish", None)


@pytest.mark.parametrize(
    ("labels", "said_"),
    [
        ({}, r"x of the model's labels mean nothing in english-1; say what they mean in accent\.classifier\.labels"),
        ({"x": "klingon"}, "x of the model's labels mean nothing"),
        ({"x": None, "y": "indian"}, "the model has no y; it has US, x"),
    ],
)
def test_labels_that_mean_nothing_are_refused(labels, said_) -> None:
    with pytest.raises(ConfigError, match=said_):
        meanings({"id2label": {"0": "US", "1": "x"}}, ClassifierConfig(model="m", labels=labels), ENGLISH)


# --- what is refused --------------------------------------------------------------------------------------------------


def test_files_without_their_sha256_or_with_another_are_not_opened(folder) -> None:
    stated = digests(folder)
    for name in stated:
        with pytest.raises(ConfigError, match=rf"{name} has sha256 .*expected 0000"):
            opened(config_of(folder, sha256={**stated, name: "0" * 64}))
    for name in ("config.json", "preprocessor_config.json"):
        left = {key: value for key, value in stated.items() if key != name}
        with pytest.raises(ConfigError, match=rf"{name} has no SHA-256 .*accent\.classifier\.sha256"):
            opened(config_of(folder, sha256=left))
    left = {key: value for key, value in stated.items() if key != "model.safetensors"}
    with pytest.raises(ConfigError, match="states no weights"):
        opened(config_of(folder, sha256=left))
    with pytest.raises(ConfigError, match="names none"):
        _ = ClassifierTagger(ClassifierConfig()).model_ids()
    with pytest.raises(ValueError, match="no path within"):
        ClassifierConfig(model="m", sha256={"../x": "0" * 64})


def test_what_is_no_classifier_is_refused_in_one_line(folder, tmp_path) -> None:
    from safetensors.torch import load_file, save_file

    cases = {
        "model_type": ("config.json", {"model_type": "bert"}, "no audio classifier of type `bert`"),
        "unknown": ("config.json", {"model_type": "made-up"}, "no audio classifier of type `made-up`"),
        "features": ("preprocessor_config.json", {"feature_extractor_type": "X"}, "no feature extractor `X`"),
        "rate": ("preprocessor_config.json", {"sampling_rate": 8000}, "hears 8000 Hz, and provoice gives 16000"),
        "labels": ("config.json", {"id2label": None}, "names no labels"),
        "shape": ("config.json", {"hidden_size": 32}, "weights"),
    }
    for name, (file, values, said_) in cases.items():
        there = changed(folder, tmp_path / name, file, **values)
        with pytest.raises(ConfigError, match=said_) as refused:
            opened(config_of(there))
        assert "\n" not in str(refused.value)
    torn = changed(folder, tmp_path / "torn", "config.json")
    (torn / "model.safetensors").write_bytes((torn / "model.safetensors").read_bytes()[:100])
    with pytest.raises(ConfigError, match="cannot be read as weights"):
        opened(config_of(torn))
    # transformers would make up the weights that are not there.
    headless = changed(folder, tmp_path / "headless", "config.json")
    state = {name: t for name, t in load_file(headless / "model.safetensors").items() if "classifier" not in name}
    save_file(state, headless / "model.safetensors")
    with pytest.raises(ConfigError, match=r"the weights lack classifier\.bias, classifier\.weight"):
        opened(config_of(headless))


def test_code_of_a_repository_is_not_run(folder, tmp_path) -> None:
    there = changed(
        folder, tmp_path / "code", "config.json", auto_map={"AutoModelForAudioClassification": "evil.Model"}
    )
    (there / "evil.py").write_text("raise SystemExit('run')\n")
    assert opened(config_of(there, min_score=0.0)).told(said("welsh", 0, 0)).score > 0


# --- where it comes from ----------------------------------------------------------------------------------------------


def test_a_bucket_is_copied_to_the_cache_and_checked(folder, tmp_path, monkeypatch) -> None:
    from lake.storage import Root

    monkeypatch.setenv("PROVOICE_CACHE", str(tmp_path))
    bucket = Root("memory://models/accent-classifier")
    for name in digests(folder):
        bucket.create(name, (folder / name).read_bytes())
    there = config_of(folder, model="memory://models/accent-classifier")
    fetch_accent(AccentConfig(method="classifier", classifier=there))
    assert opened(there).told(said("welsh", 0, 0)) == opened(config_of(folder)).told(said("welsh", 0, 0))
    wrong = there.model_copy(update={"sha256": {**there.sha256, "config.json": "0" * 64}})
    with pytest.raises(ConfigError, match=r"accent\.classifier\.sha256 states another config\.json"):
        fetch_accent(AccentConfig(method="classifier", classifier=wrong))


@pytest.fixture
def hub(folder, monkeypatch) -> list[tuple[object, ...]]:
    """What is asked of a hub that has the model's files."""
    asked: list[tuple[object, ...]] = []

    def download(repository, file, *, revision, token, local_dir):
        asked.append((repository, file, revision, token))
        (Path(local_dir) / file).write_bytes((folder / file).read_bytes())
        return str(Path(local_dir) / file)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    return asked


def test_a_hub_is_asked_only_where_the_configuration_says_so(folder, hub, monkeypatch) -> None:
    fetch_accent(None)
    fetch_accent(AccentConfig())
    fetch_accent(AccentConfig(method="classifier", classifier=config_of(folder)))
    assert hub == []

    def called(*_: object) -> None:
        raise AssertionError("nothing is asked for while a model is opened")

    monkeypatch.setattr("socket.socket.connect", called)
    monkeypatch.setattr("socket.getaddrinfo", called)
    opened(config_of(folder))
    with pytest.raises(ConfigError, match="state the SHA-256"):
        fetch_accent(AccentConfig(method="classifier", classifier=ClassifierConfig(model="hf://a/b")))


def test_a_hub_is_asked_with_the_token_and_the_revision(folder, hub, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PROVOICE_CACHE", str(tmp_path))
    there = config_of(folder, model="hf://owner/accents", revision="abc")
    for _ in range(2):  # the second time it is in the cache
        fetch_accent(AccentConfig(method="classifier", classifier=there))
    assert hub == [("owner/accents", name, "abc", "hf_secret") for name in sorted(digests(folder))]
    assert opened(there).models["accent_classifier/accents/config.json"].startswith("abc sha256:")


def test_a_head_in_a_bucket_is_copied_to_the_cache_and_checked(tmp_path, monkeypatch) -> None:
    from lake.storage import Root

    monkeypatch.setenv("PROVOICE_CACHE", str(tmp_path))
    data = b"a head"
    Root("memory://models/heads").create("ours.json", data)
    sha256 = hashlib.sha256(data).hexdigest()
    config = AccentConfig(method="head", head="memory://models/heads/ours.json", head_sha256=sha256)
    fetch_accent(config)
    assert config.head_path().read_bytes() == data
    assert config.head_path().is_relative_to(tmp_path)
    with pytest.raises(ConfigError, match=r"head_sha256 states another file than memory://models/heads/ours\.json is"):
        fetch_accent(config.model_copy(update={"head_sha256": "0" * 64}))
    with pytest.raises(ConfigError, match=r"cannot fetch gone\.json of accent\.head"):
        fetch_accent(config.model_copy(update={"head": "memory://models/gone.json", "head_sha256": "1" * 64}))


def test_nothing_heavy_is_imported_before_it_is_opened(folder) -> None:
    code = (
        "import sys\nfrom transforms.accent import AccentConfig, TagAccent\n"
        f"config = AccentConfig.model_validate({{'method': 'classifier', 'classifier': "
        f"{config_of(folder).model_dump(mode='json')!r}}})\n"
        "TagAccent(config).model_ids\n"
        "sys.stdout.write(','.join(m for m in ('torch', 'transformers', 'scipy') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_without_transformers_one_line_says_what_to_install(folder, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"pip install 'provoice\[accent\]'"):
        opened(config_of(folder))
