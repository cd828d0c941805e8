"""From fitted weights to the file that ships: ONNX, checked to say what torch says, and its digest."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from training.fit import LEAST_SPREAD
from training.network import CONTEXT_AFTER, Block, Context, Network, Said
from transforms.acoustics import fed
from transforms.models import onnx_session
from transforms.spectrum import MELS

OPSET = 17
MOST_BYTES = 1_000_000
MOST_APART = 2e-3
"""Between torch and onnxruntime, in dB and in ln of seconds: far below what is rounded away."""


class Planar(nn.Module):
    """The same network for running only: time is the width of an image of one row, and what batches were normalised by
    is folded into the weights. onnxruntime has quicker kernels for images, by a quarter of the network's time."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.first = _plane(network.first, network.norm)
        blocks = cast("Sequence[Block]", network.blocks)
        self.over_time = nn.ModuleList(_plane(block.over_time, block.norm) for block in blocks)
        self.across = nn.ModuleList(_plane(block.across, block.after) for block in blocks)

    def forward(self, features: Tensor, floor: Tensor, power: Tensor) -> Said:
        network = self.network
        heard = torch.relu(self.first(features[:, :, None]) + network.of_floor(floor)[:, :, None, None])
        contexts = iter(cast("Sequence[Context]", network.contexts))
        for n, (over_time, across) in enumerate(zip(self.over_time, self.across, strict=True)):
            heard = torch.relu(heard + across(torch.relu(over_time(heard))))
            if n in CONTEXT_AFTER:
                heard = heard + next(contexts).told(heard)[:, :, None, None]
        return network.said(heard[:, :, 0], power)


def _plane(conv: nn.Module, norm: nn.Module) -> nn.Conv2d:
    """A convolution over time and the normalisation after it as one over the width of an image."""
    if not isinstance(conv, nn.Conv1d) or not isinstance(norm, nn.BatchNorm1d):
        raise TypeError(f"cannot fold {norm} into {conv}")
    both = nn.utils.fusion.fuse_conv_bn_eval(conv.eval(), norm.eval())
    made = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        (1, conv.kernel_size[0]),
        stride=(1, conv.stride[0]),
        padding=(0, int(conv.padding[0])),
        dilation=(1, conv.dilation[0]),
        groups=conv.groups,
    )
    made.load_state_dict({"weight": both.weight[:, :, None], "bias": both.bias})
    return made


class Shipped(nn.Module):
    """The network as it ships: per 40 ms the probability of speech and the SNR, and the six numbers, calibrated.

    `offset`, three numbers, corrects SNR, C50 and ln RT60 on what validates; `spread` makes the expected errors the
    ones that were seen, none of them under `LEAST_SPREAD`.
    """

    offset: Tensor
    least: Tensor

    def __init__(self, network: Network, offset: Sequence[float], spread: Sequence[float]) -> None:
        super().__init__()
        self.network = Planar(network)
        shift = [*offset, *np.log(np.asarray(spread))]
        self.register_buffer("offset", torch.tensor(shift, dtype=torch.float32))
        self.register_buffer("least", torch.log(torch.tensor(LEAST_SPREAD)))

    def forward(self, features: Tensor, floor: Tensor, power: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        speech, _, signal, noise, numbers = self.network(features, floor, power)
        frame_snr_db = 10 * torch.log10((signal + 1e-9) / (noise + 1e-9))
        said = torch.cat([numbers[:, :3], torch.maximum(numbers[:, 3:], self.least)], dim=1)
        return torch.sigmoid(speech), frame_snr_db, said + self.offset


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
