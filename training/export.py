"""From fitted weights to the file that ships: ONNX, checked to say what torch says, and its digest."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from training.network import Network
from transforms.acoustics import fed
from transforms.models import onnx_session
from transforms.spectrum import MELS

OPSET = 17
MOST_BYTES = 1_000_000
MOST_APART = 2e-3
"""Between torch and onnxruntime, in dB and in ln of seconds: far below what is rounded away."""


class Shipped(nn.Module):
    """The network as it ships: per 40 ms the probability of speech and the SNR, and the six numbers, calibrated.

    `offset`, three numbers, corrects SNR, C50 and ln RT60 on what validates; `spread` makes the expected errors the
    ones that were seen.
    """

    offset: Tensor

    def __init__(self, network: Network, offset: Sequence[float], spread: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        shift = [*offset, *np.log(np.asarray(spread))]
        self.register_buffer("offset", torch.tensor(shift, dtype=torch.float32))

    def forward(self, features: Tensor, floor: Tensor, power: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        speech, _, signal, noise, numbers = self.network(features, floor, power)
        frame_snr_db = 10 * torch.log10((signal + 1e-9) / (noise + 1e-9))
        return torch.sigmoid(speech), frame_snr_db, numbers + self.offset


def exported(shipped: Shipped, path: Path) -> str:
    """Writes the ONNX file and returns its SHA-256. Raises ValueError where it is too large or says otherwise than
    torch does."""
    shipped = shipped.eval()
    with warnings.catch_warnings():
        # The newer exporter wants a package that nothing else here needs.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            shipped,
            _example(150),
            str(path),
            opset_version=OPSET,
            dynamo=False,
            input_names=["features", "floor", "power"],
            output_names=["speech", "frame_snr_db", "numbers"],
            dynamic_axes={
                "features": {2: "frames"},
                "power": {1: "steps"},
                "speech": {1: "steps"},
                "frame_snr_db": {1: "steps"},
            },
        )
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{path} has {path.stat().st_size} bytes, more than {MOST_BYTES}")
    apart = disagreement(shipped, onnx_session(path))
    if apart > MOST_APART:
        raise ValueError(f"{path} differs from torch by {apart:.2g}")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def disagreement(shipped: Shipped, session: Any) -> float:
    """Largest difference between torch and onnxruntime over a few lengths."""
    worst = 0.0
    for frames in (20, 150, 778, 1500):
        given = _example(frames)
        with torch.no_grad():
            said = shipped(*given)
        names = ("features", "floor", "power")
        ran = session.run(None, {name: part.numpy() for name, part in zip(names, given, strict=True)})
        worst = max(worst, *(float(np.abs(a.numpy() - b).max()) for a, b in zip(said, ran, strict=True)))
    return worst


def _example(frames: int) -> tuple[Tensor, ...]:
    """Something like an utterance, the same each time."""
    rng = np.random.default_rng(frames)
    mels = (10 ** rng.normal(-3, 1, (frames, MELS))).astype(np.float32)
    return tuple(torch.from_numpy(part[None]) for part in fed(mels))
