"""Just enough of the ONNX file format to read a model's weights and to write a small graph of one's own.

The `onnx` package would do both, at the price of one more compiled dependency in every worker. The field numbers are
those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto); the wire format is protobuf's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

_VARINT, _BYTES = 0, 2
_FIXED_SIZE = {1: 8, 5: 4}
_FLOAT, _INT8, _INT64 = 1, 3, 7
_DTYPES: dict[int, str] = {_FLOAT: "<f4", _INT8: "i1", _INT64: "<i8"}


@dataclass(frozen=True, slots=True)
class Node:
    """One operation; `attributes` are whole numbers. `domain` is empty for ONNX's own operations."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, int] = field(default_factory=dict)
    domain: str = ""


@dataclass(frozen=True, slots=True)
class Graph:
    """Operations in order and the weights they name."""

    nodes: tuple[Node, ...]
    weights: Mapping[str, NDArray[Any]]


def read_graph(model: bytes) -> Graph:
    """Nodes (without attributes) and float, int8 or int64 weights of a serialised model. Raises ValueError on anything
    else than an ONNX file."""
    try:
        graph = _only(model, 7)
        nodes = tuple(
            Node(
                bytes(_only(node, 4)).decode(),
                tuple(bytes(v).decode() for v in _all(node, 1)),
                tuple(bytes(v).decode() for v in _all(node, 2)),
            )
            for node in _all(graph, 1)
        )
        weights = {bytes(_only(tensor, 8)).decode(): _tensor(tensor) for tensor in _all(graph, 5)}
    except (IndexError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"not an ONNX model with plain weights: {error!r}") from None
    return Graph(nodes, weights)


def write_model(
    graph: Graph, inputs: Mapping[str, Sequence[int | str]], outputs: Mapping[str, Sequence[int | str]], opset: int = 17
) -> bytes:
    """A serialised model. `inputs` and `outputs` map float tensors to their shapes; a dimension is a size or a name."""
    body = b"".join(_message(1, _node(node)) for node in graph.nodes)
    body += _message(2, b"graph")
    body += b"".join(_message(5, _weight(name, weight)) for name, weight in graph.weights.items())
    body += b"".join(_message(11, _value(name, shape)) for name, shape in inputs.items())
    body += b"".join(_message(12, _value(name, shape)) for name, shape in outputs.items())
    # IR version 8 came with opset 17; every onnxruntime since 1.12 reads it.
    opsets = {"": opset} | {node.domain: 1 for node in graph.nodes if node.domain}
    imports = b"".join(_message(8, _message(1, name.encode()) + _number(2, n)) for name, n in opsets.items())
    return _number(1, 8) + imports + _message(7, body)


def _fields(message: bytes | memoryview) -> Iterator[tuple[int, Any]]:
    view, at = memoryview(message), 0
    while at < len(view):
        tag, at = _read_varint(view, at)
        wire = tag & 7
        if wire == _VARINT:
            value, at = _read_varint(view, at)
            yield tag >> 3, value
            continue
        size, at = _read_varint(view, at) if wire == _BYTES else (_FIXED_SIZE[wire], at)
        if at + size > len(view):
            raise IndexError("a field runs past the end")
        yield tag >> 3, view[at : at + size]
        at += size


def _read_varint(view: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = view[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _all(message: bytes | memoryview, number: int) -> list[Any]:
    return [value for found, value in _fields(message) if found == number]


def _only(message: bytes | memoryview, number: int) -> Any:
    return _all(message, number)[0]


def _tensor(tensor: memoryview) -> NDArray[Any]:
    shape: list[int] = []
    for value in _all(tensor, 1):
        if isinstance(value, int):
            shape.append(value)
            continue
        at = 0
        while at < len(value):
            size, at = _read_varint(value, at)
            shape.append(size)
    return np.frombuffer(bytes(_only(tensor, 9)), _DTYPES[_only(tensor, 2)]).reshape(shape)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(value)


def _message(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def _node(node: Node) -> bytes:
    body = b"".join(_message(1, name.encode()) for name in node.inputs)
    body += b"".join(_message(2, name.encode()) for name in node.outputs)
    body += _message(4, node.op.encode())
    body += _message(7, node.domain.encode()) if node.domain else b""
    attributes = (
        _message(1, name.encode()) + _number(3, value) + _number(20, 2) for name, value in node.attributes.items()
    )
    return body + b"".join(_message(5, attribute) for attribute in attributes)


def _weight(name: str, weight: NDArray[Any]) -> bytes:
    kind = _FLOAT if weight.dtype.kind != "i" else _INT8 if weight.dtype.itemsize == 1 else _INT64
    sizes = b"".join(_number(1, size) for size in weight.shape)
    raw = np.ascontiguousarray(weight, dtype=_DTYPES[kind]).tobytes()
    return sizes + _number(2, kind) + _message(8, name.encode()) + _message(9, raw)


def _value(name: str, shape: Sequence[int | str]) -> bytes:
    sizes = b"".join(
        _message(1, _number(1, size) if isinstance(size, int) else _message(2, size.encode())) for size in shape
    )
    tensor = _number(1, _FLOAT) + _message(2, sizes)
    return _message(1, name.encode()) + _message(2, _message(1, tensor))
