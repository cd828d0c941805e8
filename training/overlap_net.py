"""The overlap detector as a torch module, and as the ONNX model that ships: convolutions over time and nothing else."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from transforms.diarize.overlap import BANDS
from transforms.models import onnx_session

WIDTH = 64
DILATIONS = (1, 2, 4, 8, 16, 1)
"""Of blocks at 40 ms: an answer is made from 2.7 s to either side."""
MOST_APART = 1e-4
OUTPUTS = 2
"""Somebody speaks; two or more speak."""


class Block(nn.Module):
    """Each channel over time, then channels among themselves; added to what came in."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.depth = nn.Conv1d(WIDTH, WIDTH, 5, padding=2 * dilation, dilation=dilation, groups=WIDTH, bias=False)
        self.norm = nn.BatchNorm1d(WIDTH)
        self.point = nn.Conv1d(WIDTH, WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.point(torch.relu(self.norm(self.depth(x))))
        return x + added


class OverlapNet(nn.Module):
    """From `bands`, shape (batch, BANDS, frames of 20 ms), to logits, shape (batch, OUTPUTS, frames of 40 ms)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(BANDS, 48, 3, padding=1)
        self.second = nn.Conv1d(48, WIDTH, 5, stride=2, padding=2)
        self.blocks = nn.ModuleList(Block(dilation) for dilation in DILATIONS)
        self.norm = nn.BatchNorm1d(WIDTH)
        self.head = nn.Conv1d(WIDTH, OUTPUTS, 1)

    def forward(self, bands: Tensor) -> Tensor:
        x = torch.relu(self.second(torch.relu(self.first(bands))))
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(torch.relu(self.norm(x)))
        return logits


class Shipped(nn.Module):
    """Probabilities instead of logits."""

    def __init__(self, net: OverlapNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, bands: Tensor) -> Tensor:
        return torch.sigmoid(self.net(bands))


def exported(net: OverlapNet, path: Path) -> str:
    """Writes the ONNX file and returns its SHA-256. Raises ValueError where onnxruntime says otherwise than torch."""
    shipped = Shipped(net).eval()
    with warnings.catch_warnings():
        # The newer exporter wants a package that nothing else here needs.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            shipped,
            (torch.zeros(1, BANDS, 300),),
            str(path),
            opset_version=17,
            dynamo=False,
            input_names=["bands"],
            output_names=["probability"],
            dynamic_axes={"bands": {2: "time"}, "probability": {2: "frames"}},
        )
    heard = torch.from_numpy(np.random.default_rng(0).normal(-0.5, 0.3, (1, BANDS, 3300)).astype(np.float32))
    with torch.no_grad():
        apart = np.abs(shipped(heard).numpy() - onnx_session(path).run(None, {"bands": heard.numpy()})[0]).max()
    if apart > MOST_APART:
        raise ValueError(f"{path} differs from torch by {apart:.2g}")
    return hashlib.sha256(path.read_bytes()).hexdigest()
