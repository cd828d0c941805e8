"""Reading weights from an ONNX file and writing a graph that onnxruntime runs."""

from __future__ import annotations

import numpy as np
import pytest

from transforms import silero
from transforms.onnx_file import Graph, Node, read_graph, write_model


def _affine() -> tuple[bytes, np.ndarray, np.ndarray]:
    matrix = np.arange(12, dtype=np.float32).reshape(3, 4)
    bias = np.linspace(-1, 1, 4, dtype=np.float32)
    graph = Graph(
        (
            Node("Gemm", ("x", "matrix", "bias"), ("sum",)),
            Node("Reshape", ("sum", "shape"), ("beside",)),
            Node("Softmax", ("beside",), ("y",), {"axis": 0}),
        ),
        {"matrix": matrix, "bias": bias, "shape": np.array([-1, 2])},
    )
    return write_model(graph, {"x": ["rows", 3]}, {"y": ["places", 2]}), matrix, bias


def test_what_is_written_runs_and_computes() -> None:
    import onnxruntime

    model, matrix, bias = _affine()
    x = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    (y,) = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"x": x})
    beside = (x @ matrix + bias).reshape(-1, 2)
    grown = np.exp(beside - beside.max(0))
    np.testing.assert_allclose(y, grown / grown.sum(0), atol=1e-5)


def test_what_is_written_reads_back() -> None:
    model, matrix, _ = _affine()
    graph = read_graph(model)
    assert [node.op for node in graph.nodes] == ["Gemm", "Reshape", "Softmax"]
    assert graph.nodes[0].inputs == ("x", "matrix", "bias")
    np.testing.assert_array_equal(graph.weights["matrix"], matrix)
    assert graph.weights["shape"].tolist() == [-1, 2]


def test_it_agrees_with_the_onnx_package() -> None:
    onnx = pytest.importorskip("onnx")
    onnx.checker.check_model(onnx.load_model_from_string(_affine()[0]))
    theirs = onnx.load(silero.model_path()).graph
    ours = read_graph(silero.model_path().read_bytes())
    assert [(n.op, n.inputs, n.outputs) for n in ours.nodes] == [
        (n.op_type, tuple(n.input), tuple(n.output)) for n in theirs.node
    ]
    assert ours.weights.keys() == {tensor.name for tensor in theirs.initializer}
    for tensor in theirs.initializer:
        np.testing.assert_array_equal(ours.weights[tensor.name], onnx.numpy_helper.to_array(tensor))


@pytest.mark.parametrize("damaged", [b"", b"not a model", bytes(100), b"\xff" * 64])
def test_anything_else_is_refused(damaged: bytes) -> None:
    with pytest.raises(ValueError, match="not an ONNX model"):
        read_graph(damaged)


def test_a_model_that_was_cut_short_is_refused() -> None:
    whole = silero.model_path().read_bytes()
    with pytest.raises(ValueError, match="not an ONNX model"):
        read_graph(whole[: len(whole) // 2])
