"""Pipelines of pyannote in a folder, in both layouts: `config.yaml` as its authors write it, and made models."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from transforms.diarize import PyannoteConfig

COMMUNITY_1 = """
dependencies:
  pyannote.audio: 4.0.0
pipeline:
  name: pyannote.audio.pipelines.SpeakerDiarization
  params:
    clustering: VBxClustering
    segmentation: $model/segmentation
    segmentation_batch_size: 32
    embedding: $model/embedding
    embedding_batch_size: 32
    embedding_exclude_overlap: true
    plda: $model/plda
params:
  clustering:
    threshold: 0.6
    Fa: 0.07
    Fb: 0.8
  segmentation:
    min_duration_off: 0.0
"""

LAYOUT_3_1 = """
version: 3.1.0
pipeline:
  name: pyannote.audio.pipelines.SpeakerDiarization
  params:
    clustering: AgglomerativeClustering
    embedding: pyannote/wespeaker-voxceleb-resnet34-LM
    embedding_batch_size: 32
    embedding_exclude_overlap: true
    segmentation: pyannote/segmentation-3.0
    segmentation_batch_size: 32
params:
  clustering:
    method: centroid
    min_cluster_size: 12
    threshold: 0.7045654963945799
  segmentation:
    min_duration_off: 0.0
"""


def segmentation(seconds=10.0, speakers=3, powerset=2, lstm=None, seed=0):
    """A PyanNet of random weights, whose classes stand far enough apart that it hears somebody here and there."""
    import torch
    from pyannote.audio.core.task import Problem, Resolution, Specifications
    from pyannote.audio.models.segmentation import PyanNet

    torch.manual_seed(seed)
    model = PyanNet(sincnet={"stride": 10}, lstm=lstm or {"hidden_size": 128, "num_layers": 4, "bidirectional": True})
    model.specifications = Specifications(
        problem=Problem.MONO_LABEL_CLASSIFICATION,
        resolution=Resolution.FRAME,
        duration=seconds,
        classes=[f"speaker#{n + 1}" for n in range(speakers)],
        powerset_max_classes=powerset,
        permutation_invariant=True,
    )
    model.build()
    with torch.no_grad():
        model.classifier.weight.mul_(40)
    return model.eval()


def embedding(seed=1):
    """A small WeSpeaker ResNet of random weights."""
    import torch
    from pyannote.audio.core.task import Problem, Resolution, Specifications

    from tests.transforms.pyannote_small import SmallResNet

    torch.manual_seed(seed)
    model = SmallResNet()
    model.specifications = Specifications(
        problem=Problem.REPRESENTATION, resolution=Resolution.CHUNK, duration=5.0, classes=None
    )
    return model.eval()


def save(model, path):
    """A checkpoint as pyannote's training leaves it."""
    import lightning
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoint = {
        "state_dict": model.state_dict(),
        "hyper_parameters": dict(model.hparams),
        "pytorch-lightning_version": lightning.__version__,
    }
    model.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, path)


def save_plda(folder, dimension=64, lda=32, seed=2):
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    mixing = np.linalg.qr(rng.standard_normal((dimension, dimension)))[0][:, :lda]
    np.savez(
        folder / "xvec_transform.npz",
        mean1=0.01 * rng.standard_normal(dimension),
        mean2=0.01 * rng.standard_normal(lda),
        lda=mixing,
    )
    turned = np.linalg.qr(rng.standard_normal((lda, lda)))[0]
    psi = np.sort(rng.uniform(0.1, 4, lda))[::-1]
    np.savez(folder / "plda.npz", mu=np.zeros(lda), tr=turned, psi=psi)


def config_of(folder: Path, **values) -> PyannoteConfig:
    """The configuration of a folder, with the digests of all that lies in it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    digests = {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
    return PyannoteConfig(**{"pipeline": str(folder), "sha256": digests, "device": "cpu", **values})


def community_1(folder: Path, heard=None) -> Path:
    """community-1's layout; `heard` is the checkpoint of a segmentation model, or one is made."""
    _placed(folder / "segmentation/pytorch_model.bin", heard)
    save(embedding(), folder / "embedding/pytorch_model.bin")
    save_plda(folder / "plda")
    (folder / "config.yaml").write_text(_tuned(COMMUNITY_1, heard))
    return folder


def layout_3_1(folder: Path, heard=None) -> Path:
    """3.1's layout: models lie in folders of their hub names; no PLDA."""
    _placed(folder / "pyannote/segmentation-3.0/pytorch_model.bin", heard)
    save(embedding(), folder / "wespeaker-voxceleb-resnet34-LM/pytorch_model.bin")
    (folder / "config.yaml").write_text(_tuned(LAYOUT_3_1, heard))
    return folder


def _tuned(text: str, heard: Path | None) -> str:
    """The small real checkpoint is not of the powerset kind, and so has a threshold."""
    return text if heard is None else text.replace("min_duration_off: 0.0", "min_duration_off: 0.0\n    threshold: 0.5")


def _placed(path: Path, heard: Path | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if heard is None:
        save(segmentation(lstm={"hidden_size": 16, "num_layers": 1, "bidirectional": True}), path)
    else:
        path.write_bytes(heard.read_bytes())
