"""Silero's voice activity model: its sequence form, with its convolutions rewritten as matrix products.

The package's own graph convolves four positions per frame, one frame after the other, and computes a fifth that it
throws away. The same sums as matrix products over a whole block run 3.7 times as fast on one thread, and equal the
package's probabilities within 1e-5. The recurrent state is carried from block to block, so a file of any length is
heard in one pass.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from schemas.errors import ConfigError
from schemas.sound import Samples
from transforms.onnx_file import Graph, Node, read_graph, write_model

MODEL = "silero_vad"
FRAME = 512
"""Analysis samples per probability: 32 ms."""
BLOCK = 256 * FRAME
"""Analysis samples per call of the model: 8.2 s, whose intermediate results fit a core's cache."""

_CONTEXT, _WINDOW, _HOP, _POSITIONS = 64, 256, 128, 4
_UNITS = 128
_SHAPES = [(258, 1, 256), (128, 129, 3), (64, 128, 3), (64, 64, 3), (128, 64, 3), (1, 128, 1)]


@cache
def model_path() -> Path:
    """The sequence model inside the installed package, which is not imported: that would import torch."""
    found = importlib.util.find_spec("silero_vad")
    folders = list(found.submodule_search_locations or ()) if found else []
    if not folders:
        raise ConfigError("vad: the package silero-vad is not installed; `pip install silero-vad`")
    path = Path(folders[0]) / "data" / "silero_vad_16k_sequence.onnx"
    if not path.is_file():
        raise ConfigError("vad: this silero-vad has no sequence model; `pip install 'silero-vad>=6.2.3'`")
    return path


@cache
def model_sha256() -> str:
    """Digest of the installed model file."""
    return hashlib.sha256(model_path().read_bytes()).hexdigest()


def model_id() -> str:
    """`version sha256:…` of the installed model, as it stands in `lineage.models`."""
    return f"{version('silero-vad')} sha256:{model_sha256()}"


def open_session(model: bytes | None = None) -> Any:
    """An onnxruntime session of `model` (the package's sequence model, serialised) as `speech_probability` wants it.

    Raises ConfigError where the model is not of the shape that is known here.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # One thread: workers are one per core, and sums must not depend on how many cores there are.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    serialised = _as_matrix_products(model or model_path().read_bytes())
    return onnxruntime.InferenceSession(serialised, options, providers=["CPUExecutionProvider"])


def speech_probability(samples: Samples, session: Any) -> NDArray[np.float32]:
    """Probability of speech per frame of 512 samples of 16 kHz mono; shape (ceil(n / 512),), the last frame padded
    with zeros."""
    blocks = (samples[start : start + BLOCK] for start in range(0, len(samples), BLOCK))
    return streamed_probability(blocks, session)


def streamed_probability(blocks: Iterable[Samples], session: Any, gain: float = 1.0) -> NDArray[np.float32]:
    """As `speech_probability`, over consecutive blocks of `BLOCK` samples (the last may be shorter), each times
    `gain`. Holds one block at a time."""
    hidden = cell = np.zeros((1, 1, _UNITS), np.float32)
    found: list[NDArray[np.float32]] = []
    for windows in _windows(blocks, np.float32(gain)):
        probability, hidden, cell = session.run(None, {"windows": windows, "h": hidden, "c": cell})
        found.append(probability[:, 0])
    return np.concatenate(found) if found else np.zeros(0, np.float32)


def _windows(blocks: Iterable[Samples], gain: np.float32) -> Iterator[NDArray[np.float32]]:
    """Analysis windows, shape (frames, 4, 256): each frame follows 64 samples of the one before it and is continued
    by 64 mirrored samples of its own."""
    before = np.zeros(_CONTEXT, np.float32)
    for block in blocks:
        frames = -(-len(block) // FRAME)
        sound = np.zeros(_CONTEXT + frames * FRAME, np.float32)
        sound[:_CONTEXT] = before
        np.multiply(block, gain, out=sound[_CONTEXT : _CONTEXT + len(block)])
        before = sound[-_CONTEXT:].copy()
        size = sound.itemsize
        windows = np.empty((frames, _POSITIONS, _WINDOW), np.float32)
        windows[:, :3] = as_strided(sound, (frames, 3, _WINDOW), (FRAME * size, _HOP * size, size))
        whole = as_strided(sound, (frames, _CONTEXT + FRAME), (FRAME * size, size))
        windows[:, 3, : _WINDOW - _CONTEXT] = whole[:, 3 * _HOP :]
        windows[:, 3, _WINDOW - _CONTEXT :] = whole[:, -2 : -2 - _CONTEXT : -1]
        yield windows


def _as_matrix_products(model: bytes) -> bytes:
    """The sequence model with every convolution as one matrix product per block."""
    stft, *encoder, output, recurrent = _weights(model)
    weights: dict[str, NDArray[Any]] = {
        "cosines": stft[0][:129, 0].T,
        "sines": stft[0][129:, 0].T,
        "flat": np.array([-1, _WINDOW]),
        "beside": np.array([-1, _POSITIONS * 129]),
        "unit": np.array([1]),
        "units": np.array([-1, _UNITS]),
        "input": recurrent[0],
        "recurrence": recurrent[1],
        "gates": recurrent[2],
        "output": output[0][:, :, 0].T,
        "output_bias": output[1],
    }
    nodes = [
        Node("Reshape", ("windows", "flat"), ("window",)),
        Node("MatMul", ("window", "cosines"), ("re",)),
        Node("MatMul", ("window", "sines"), ("im",)),
        Node("Mul", ("re", "re"), ("re2",)),
        Node("Mul", ("im", "im"), ("im2",)),
        Node("Add", ("re2", "im2"), ("power",)),
        Node("Sqrt", ("power",), ("magnitude",)),
        Node("Reshape", ("magnitude", "beside"), ("layer0",)),
    ]
    positions = _POSITIONS
    for n, ((kernel, bias), stride) in enumerate(zip(encoder, (1, 2, 2, 1), strict=True)):
        matrix = _unrolled(kernel, positions, stride)
        positions = matrix.shape[1] // len(bias)
        weights |= {f"kernel{n}": matrix, f"bias{n}": np.tile(bias, positions)}
        nodes.append(Node("Gemm", (f"layer{n}", f"kernel{n}", f"bias{n}"), (f"sum{n}",)))
        nodes.append(Node("Relu", (f"sum{n}",), (f"layer{n + 1}",)))
    nodes += [
        Node("Unsqueeze", ("layer4", "unit"), ("steps",)),
        Node(
            "LSTM", ("steps", "input", "recurrence", "gates", "", "h", "c"), ("y", "hn", "cn"), {"hidden_size": _UNITS}
        ),
        Node("Reshape", ("y", "units"), ("heard",)),
        Node("Relu", ("heard",), ("rectified",)),
        Node("Gemm", ("rectified", "output", "output_bias"), ("logit",)),
        Node("Sigmoid", ("logit",), ("speech",)),
    ]
    state: list[int | str] = [1, 1, _UNITS]
    return write_model(
        Graph(tuple(nodes), weights),
        inputs={"windows": ["frames", _POSITIONS, _WINDOW], "h": state, "c": state},
        outputs={"speech": ["frames", 1], "hn": state, "cn": state},
    )


def _unrolled(kernel: NDArray[Any], positions: int, stride: int) -> NDArray[np.float32]:
    """A convolution of width 3 and padding 1 over `positions` as one matrix: (positions · in, made · out)."""
    out_channels, in_channels, width = kernel.shape
    made = (positions - 1) // stride + 1
    matrix = np.zeros((positions, in_channels, made, out_channels), np.float32)
    for to in range(made):
        for tap in range(width):
            at = to * stride + tap - 1
            if 0 <= at < positions:
                matrix[at, :, to] = kernel[:, :, tap].T
    return matrix.reshape(positions * in_channels, made * out_channels)


def _weights(model: bytes) -> list[tuple[NDArray[Any], ...]]:
    """Weights of the six convolutions in order, then of the LSTM."""
    try:
        graph = read_graph(model)
        taken = {
            op: [
                tuple(graph.weights[name] for name in node.inputs if name in graph.weights)
                for node in graph.nodes
                if node.op == op
            ]
            for op in ("Conv", "LSTM")
        }
        found = [*taken["Conv"], *taken["LSTM"]]
        shapes = [weights[0].shape for weights in found]
    except (ValueError, IndexError) as error:
        raise ConfigError(f"vad: cannot read the model of silero-vad: {error}") from None
    if shapes != [*_SHAPES, (1, 4 * _UNITS, _UNITS)]:
        raise ConfigError(f"vad: the model of this silero-vad has a shape that is not known here: {shapes}")
    return found
