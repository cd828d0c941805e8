"""The backend `pyannote`: its answers are the stock pipeline's, and nothing is opened that was not stated."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

from pipelines.model_files import fetch_models, hub_place
from schemas.catalogue import CatalogueRow
from schemas.errors import ConfigError
from tests.shared_audio import shared_audio
from tests.transforms.builders import noise, recording_of, track_of, voice
from tests.transforms.pyannote_made import community_1, config_of, layout_3_1
from transforms.diarize import Diarize, DiarizeConfig, PyannoteConfig
from transforms.diarize.pyannote import PyannoteVoices, load_pipeline
from transforms.diarize.pyannote_files import layout_of
from transforms.diarize.pyannote_shared import SharedWindows, as_file

os.environ["PYANNOTE_METRICS_ENABLED"] = "0"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("pyannote.audio")
    import torch

pytestmark = pytest.mark.filterwarnings("ignore")
LAYOUTS = {"community-1": community_1, "3.1": layout_3_1}
BOTH = pytest.mark.parametrize("layout", LAYOUTS)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {name: make(tmp_path_factory.mktemp(name)) for name, make in LAYOUTS.items()}


@pytest.fixture(scope="module")
def real_folders(tmp_path_factory):
    """With the small real segmentation model in the place of a made one."""
    heard = shared_audio("models/pyannote_simple_segmentation.ckpt")
    return {name: make(tmp_path_factory.mktemp(f"real-{name}"), heard) for name, make in LAYOUTS.items()}


def loaded(folder):
    config = config_of(folder, batch=8)
    return load_pipeline(config, layout_of(config))


def made(seconds=14.0):
    return np.concatenate([voice(seconds / 2, 110), voice(seconds / 2, 220, seed=5)]).astype(np.float32)


def in_a_meeting(seconds):
    import soundfile

    path = sorted(shared_audio("meetings").rglob("*.wav")) + sorted(shared_audio("meetings").rglob("*.flac"))
    samples, _ = soundfile.read(path[0], dtype="float32")
    return samples[: round(seconds * 16_000)]


def turns_of(said):
    annotation = getattr(said, "speaker_diarization", said)
    return [(segment.start, segment.end, who) for segment, _, who in annotation.itertracks(yield_label=True)]


def assert_same_as_stock(pipeline, samples):
    """Vectors within 1e-5 of the stock path's, and the very same turns."""
    file, shared = as_file(samples, "one"), SharedWindows(pipeline, 8)
    kept = {}
    told = turns_of(pipeline(file, hook=lambda step, value, **_: kept.update({step: value})))
    stock = kept["embeddings"]
    (ours,) = shared.embedded([file], shared.segmented([file]))
    assert ours.shape == stock.shape
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(stock))
    assert np.nanmax(np.abs(ours - stock)) < 1e-5
    assert turns_of(shared([file], [{}])[0]) == told
    return told


@BOTH
@pytest.mark.parametrize("seconds", [14.0, 3.0])
def test_made_sound_is_told_as_the_stock_pipeline_tells_it(folders, layout, seconds):
    assert assert_same_as_stock(loaded(folders[layout]), made(seconds))


@BOTH
def test_a_real_meeting_is_told_as_the_stock_pipeline_tells_it(real_folders, layout):
    assert assert_same_as_stock(loaded(real_folders[layout]), in_a_meeting(14))


@BOTH
def test_silence_is_told_as_the_stock_pipeline_tells_it(folders, layout):
    assert_same_as_stock(loaded(folders[layout]), np.zeros(12 * 16_000, np.float32))


def test_where_nobody_is_heard_there_are_no_turns(folders, tmp_path):
    backend = PyannoteVoices(config_of(folders["community-1"]))
    backend.open()
    classifier = backend._run.pipeline._segmentation.model.classifier
    with torch.no_grad():
        classifier.weight.zero_()
        classifier.bias.zero_()[0] = 10
    heard = backend.heard(recording_of(track_of(tmp_path, made(12))))
    assert (heard.turns, heard.voices, heard.extra_voice_s) == (((),), 0, 0.0)


@pytest.mark.parametrize("silent", [[1], [0, 2, 3], []])
def test_windows_without_a_voice_have_the_stock_vectors_though_they_are_not_heard(folders, silent):
    pipeline = loaded(folders["community-1"])
    file, shared = as_file(made(14), "one"), SharedWindows(pipeline, 8)
    (segmentations,) = shared.segmented([file])
    segmentations.data[silent] = 0
    heard = []
    frames = shared._model.forward_frames
    shared._model.forward_frames = lambda windows: (heard.append(len(windows)), frames(windows))[1]
    (ours,) = shared.embedded([file], [segmentations])
    stock = pipeline.get_embeddings(file, segmentations, exclude_overlap=True)
    assert np.abs(ours - stock).max() < 1e-5
    # One more is heard, for the shape of what is pooled, where there is a silent one.
    assert sum(heard) == len(ours) - len(silent) + bool(silent)


def test_windows_of_two_recordings_share_batches_and_change_nothing(folders):
    pipeline = loaded(folders["community-1"])
    files = [as_file(made(13), "a"), as_file(noise(4), "b"), as_file(voice(11.3, 180), "c")]
    shared = SharedWindows(pipeline, 5)
    together = shared(files, [{}] * 3)
    alone = [shared([file], [{}])[0] for file in files]
    assert [turns_of(said) for said in together] == [turns_of(said) for said in alone]
    for one, other in zip(shared.segmented(files), (shared.segmented([file])[0] for file in files), strict=True):
        assert one.data.shape == other.data.shape
        np.testing.assert_array_equal(one.data, other.data)


def test_the_stage_answers_the_same_alone_and_in_company_twice(folders, tmp_path):
    stage = Diarize(DiarizeConfig(backend="pyannote", pyannote=config_of(folders["3.1"])))
    stage.open()
    recordings = [recording_of(track_of(tmp_path, sound, 48_000)) for sound in (made(12), voice(4, 150), np.zeros(0))]
    together, again = stage(recordings), stage(recordings)
    alone = [stage([recording])[0] for recording in recordings]
    assert [said.turns for said in together] == [said.turns for said in again] == [said.turns for said in alone]
    assert together[0].turns[0]
    assert together[2].turns == ((),)
    assert together[0].turns[0][-1].region.end_sample <= recordings[0].decoded.tracks[0].n_samples
    assert set(together[0].models) == set(stage.model_ids)


def test_a_known_number_of_speakers_is_handed_on(folders, tmp_path):
    backend = PyannoteVoices(config_of(folders["3.1"]))
    backend.open()
    heard = backend.heard(recording_of(track_of(tmp_path, made(14)), catalogue=CatalogueRow(speakers=1)))
    assert heard.voices == 1


@BOTH
def test_a_file_of_other_bytes_is_refused_before_it_is_opened(folders, layout):
    right = config_of(folders[layout])
    for name in right.sha256:
        with pytest.raises(ConfigError, match="expected"):
            PyannoteVoices(right.model_copy(update={"sha256": {**right.sha256, name: "0" * 64}})).open()


def test_a_file_that_is_not_stated_is_never_unpickled(folders):
    right = config_of(folders["community-1"])
    for name in right.sha256:
        rest = {file: digest for file, digest in right.sha256.items() if file != name}
        with pytest.raises(ConfigError, match=r"SHA-256|no file is stated"):
            PyannoteVoices(right.model_copy(update={"sha256": rest})).open()


def test_another_class_in_the_configuration_is_refused(tmp_path):
    (tmp_path / "config.yaml").write_text("pipeline: {name: os.system}\n")
    with pytest.raises(ConfigError, match=r"os\.system"):
        PyannoteVoices(config_of(tmp_path)).open()
    (tmp_path / "config.yaml").write_text("- 1\n")
    with pytest.raises(ConfigError, match="not the configuration"):
        PyannoteVoices(config_of(tmp_path)).open()


def test_thresholds_that_are_missing_are_told_before_the_run(tmp_path):
    heard = shared_audio("models/pyannote_simple_segmentation.ckpt")
    folder = community_1(tmp_path, heard)
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace("    threshold: 0.5\n", ""))
    with pytest.raises(ConfigError, match="thresholds"):
        PyannoteVoices(config_of(folder)).open()


def test_a_damaged_checkpoint_is_a_wrong_request(folders, tmp_path):
    import shutil

    folder = tmp_path / "pipeline"
    shutil.copytree(folders["3.1"], folder)
    (folder / "pyannote/segmentation-3.0/pytorch_model.bin").write_bytes(b"not a checkpoint")
    with pytest.raises(ConfigError, match="no checkpoint"):
        PyannoteVoices(config_of(folder)).open()


def test_no_pipeline_or_no_gpu_is_a_wrong_request(folders):
    with pytest.raises(ConfigError, match="names none"):
        PyannoteVoices(PyannoteConfig()).open()
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(ConfigError, match="no GPU"):
        PyannoteVoices(config_of(folders["3.1"], device="cuda")).open()


def test_a_gpu_tells_the_same_turns(folders, tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("torch finds no GPU here")
    recordings = [recording_of(track_of(tmp_path, sound)) for sound in (made(14), voice(12, 150))]
    told = []
    for device in ("cpu", "cuda"):
        backend = PyannoteVoices(config_of(folders["3.1"], device=device))
        backend.open()
        told.append([heard.voices for heard in backend.heard_together(recordings)])
    assert told[0] == told[1]


def test_models_are_named_by_id_revision_and_digest(folders):
    config = config_of(folders["community-1"], revision="abc")
    names = PyannoteVoices(config).model_ids()
    assert all(said.startswith("abc sha256:") for said in names.values())
    assert {name.split("/", 2)[2] for name in names} == set(config.sha256)


def test_a_bucket_is_copied_to_the_cache_and_checked(folders, tmp_path, monkeypatch):
    from lake.storage import Root

    monkeypatch.setenv("PROVOICE_CACHE", str(tmp_path))
    here = config_of(folders["3.1"])
    bucket = Root("memory://models/pipeline")
    for name in here.sha256:
        bucket.create(name, (folders["3.1"] / name).read_bytes())
    there = here.model_copy(update={"pipeline": "memory://models/pipeline"})
    fetch_models(DiarizeConfig(backend="pyannote", pyannote=there))
    PyannoteVoices(there).open()
    wrong = there.model_copy(update={"sha256": {**here.sha256, "config.yaml": "0" * 64}})
    with pytest.raises(ConfigError, match=r"states another config\.yaml"):
        fetch_models(DiarizeConfig(backend="pyannote", pyannote=wrong))


def test_the_hub_is_asked_only_where_the_configuration_says_so(folders):
    fetch_models(DiarizeConfig())
    fetch_models(DiarizeConfig(backend="pyannote", pyannote=config_of(folders["3.1"])))
    with pytest.raises(ConfigError, match="state the SHA-256"):
        fetch_models(DiarizeConfig(backend="pyannote", pyannote=PyannoteConfig(pipeline="hf://a/b")))
    config = PyannoteConfig(pipeline="hf://pyannote/speaker-diarization-3.1", revision="r")
    other = "pyannote/segmentation-3.0/pytorch_model.bin"
    assert hub_place(config, "config.yaml") == ("pyannote/speaker-diarization-3.1", "config.yaml", "r")
    assert hub_place(config, other) == ("pyannote/segmentation-3.0", "pytorch_model.bin", None)


def test_nothing_is_reported_and_nothing_imported_before_it_is_needed(folders):
    config = config_of(folders["3.1"])
    script = (
        "import sys, os, warnings; warnings.simplefilter('ignore')\n"
        "from transforms.diarize import Diarize, DiarizeConfig, PyannoteConfig\n"
        f"stage = Diarize(DiarizeConfig(backend='pyannote', pyannote=PyannoteConfig(**{config.model_dump()!r})))\n"
        "stage.model_ids\n"
        "print(sorted({'torch', 'pyannote'} & set(sys.modules)))\n"
        "stage.open()\n"
        "from pyannote.audio.telemetry.metrics import is_metrics_enabled\n"
        "print(is_metrics_enabled())\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYANNOTE_METRICS_ENABLED"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["[]", "False"]


@pytest.mark.parametrize("wrong", [{"../x": "0" * 64}, {"a": "1"}, {"/a": "0" * 64}])
def test_a_wrong_digest_or_path_is_refused(wrong):
    with pytest.raises(ValueError, match=r"SHA-256|no path"):
        PyannoteConfig(pipeline="x", sha256=wrong)
