"""Resemblyzer's GE2E speaker encoder as an ONNX model: run once, in a process of its own, for it imports torch.

`python -m transforms.diarize.convert FILE` reads the checkpoint inside the installed package and writes FILE. The
graph is written out here, so the same checkpoint makes the same bytes whatever the versions of torch and its exporters.

Two of the three LSTM layers are stored in int8 and run so (onnxruntime's DynamicQuantizeLSTM): 1.5 times as fast, and
no measured change of the diarization error. The first layer stays in float: its input is a power spectrum, whose range
does not fit 8 bits. Weights have 7 bits and a scale per gate unit, so that products never saturate on CPUs without
VNNI.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.errors import ConfigError
from transforms.models import ModelRef, package_file, verified
from transforms.onnx_file import Graph, Node, write_model

CHECKPOINT = ModelRef("resemblyzer_ge2e", "0.1.4", "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e")
INSTALL = "`pip install --no-deps resemblyzer==0.1.4`"

MELS = 40
EMBEDDING = 256
_UNITS, _LAYERS = 256, 3
_FLOAT_LAYERS = 1
_HIGHEST = 63
"""The largest 7-bit weight."""

Weights = Mapping[str, NDArray[np.float32]]


def checkpoint_path() -> Path:
    """The checkpoint inside the installed package, which is not imported: its audio module wants webrtcvad."""
    return package_file("resemblyzer", "pretrained.pt", f"diarize.backend `embedded` needs it: {INSTALL}")


def read_checkpoint(path: Path) -> dict[str, NDArray[np.float32]]:
    """The encoder's weights by name. Checks the file's SHA-256, and reads without unpickling objects."""
    import torch

    verified(path, CHECKPOINT.sha256, f"install the right one: {INSTALL}")
    state = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
    return {name: np.ascontiguousarray(tensor.numpy(), dtype=np.float32) for name, tensor in state.items()}


def encoder_model(weights: Weights, quantised: bool = True) -> bytes:
    """A serialised model from mel power `frames`, shape (time, windows, 40), to `embedding`, shape (windows, 256),
    of unit norm and without negative values: three LSTM layers, the last hidden state, linear, ReLU, norm."""
    nodes: list[Node] = []
    stored: dict[str, NDArray[Any]] = {"direction": np.array([1]), "state": np.array([0])}
    for n in range(_LAYERS):
        in_8_bits = quantised and n >= _FLOAT_LAYERS
        stored |= _layer_in_8_bits(weights, n) if in_8_bits else _layer(weights, n)
        nodes.append(_lstm(n, in_8_bits))
        if n + 1 < _LAYERS:
            nodes.append(Node("Squeeze", (f"y{n}", "direction"), (f"x{n + 1}",)))
    stored |= {"linear": weights["linear.weight"], "bias": weights["linear.bias"]}
    nodes += [
        Node("Squeeze", ("h", "state"), ("last",)),
        Node("Gemm", ("last", "linear", "bias"), ("sum",), {"transB": 1}),
        Node("Relu", ("sum",), ("rectified",)),
        Node("LpNormalization", ("rectified",), ("embedding",), {"axis": 1, "p": 2}),
    ]
    return write_model(
        Graph(tuple(nodes), stored),
        inputs={"frames": ["time", "windows", MELS]},
        outputs={"embedding": ["windows", EMBEDDING]},
    )


def _lstm(n: int, in_8_bits: bool) -> Node:
    inputs: tuple[str, ...] = (f"x{n}" if n else "frames", f"w{n}", f"r{n}", f"b{n}")
    outputs = (f"y{n}",) if n + 1 < _LAYERS else ("", "h")
    if not in_8_bits:
        return Node("LSTM", inputs, outputs, {"hidden_size": _UNITS})
    # Empty: sequence lengths, initial states and peepholes, which it has none of.
    inputs += ("", "", "", "", f"w{n}_scale", f"w{n}_zero", f"r{n}_scale", f"r{n}_zero")
    return Node("DynamicQuantizeLSTM", inputs, outputs, {"hidden_size": _UNITS}, "com.microsoft")


def _layer(weights: Weights, n: int) -> dict[str, NDArray[Any]]:
    biases = [_gates(weights[f"lstm.bias_{kind}_l{n}"]) for kind in ("ih", "hh")]
    return {
        f"w{n}": _gates(weights[f"lstm.weight_ih_l{n}"])[None],
        f"r{n}": _gates(weights[f"lstm.weight_hh_l{n}"])[None],
        f"b{n}": np.concatenate(biases)[None],
    }


def _layer_in_8_bits(weights: Weights, n: int) -> dict[str, NDArray[Any]]:
    layer = _layer(weights, n)
    for name in (f"w{n}", f"r{n}"):
        matrix = layer[name][0].T
        scale = (np.abs(matrix).max(0) / np.float32(_HIGHEST)).astype(np.float32)
        layer[name] = np.rint(matrix / scale).astype(np.int8)[None]
        layer |= {f"{name}_scale": scale[None], f"{name}_zero": np.zeros((1, len(scale)), np.int8)}
    return layer


def _gates(stacked: NDArray[np.float32]) -> NDArray[np.float32]:
    """torch stacks the gates as input, forget, cell, output; ONNX as input, output, forget, cell."""
    into, forget, cell, out = np.split(stacked, 4)
    return np.concatenate([into, out, forget, cell])


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m transforms.diarize.convert FILE\n")
        return 2
    try:
        Path(arguments[0]).write_bytes(encoder_model(read_checkpoint(checkpoint_path())))
    except (ConfigError, ImportError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
