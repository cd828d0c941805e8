"""As much of Thrift's compact protocol as Parquet's headers need: a struct as field number to value."""

from __future__ import annotations

from typing import Any

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
_INTEGERS = (4, 5, 6)
_MAX_DEPTH = 32
_MAX_ITEMS = 10_000_000


class Reader:
    """Reads from `at` on. Raises ValueError for what is no Thrift."""

    def __init__(self, data: memoryview, at: int) -> None:
        self._data, self.at = data, at

    def struct(self, depth: int = 0) -> dict[int, Any]:
        if depth > _MAX_DEPTH:
            raise ValueError("nested too deeply")
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else _zigzag(self._varint())
            kind = head & 15
            fields[number] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in _INTEGERS:
            return _zigzag(self._varint())
        if kind == _BINARY:
            return self._bytes(self._varint())
        if kind in (_BYTE, _TRUE, _FALSE):
            return self._byte()
        if kind == _DOUBLE:
            return self._bytes(8)
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in (_LIST, _SET):
            return self._list(depth)
        if kind == _MAP:
            return self._map(depth)
        raise ValueError(f"type {kind}")

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        count = self._varint() if head >> 4 == 15 else head >> 4
        if count > _MAX_ITEMS:
            raise ValueError("a list of too many")
        return [self._value(head & 15, depth + 1) for _ in range(count)]

    def _map(self, depth: int) -> dict[Any, Any]:
        count = self._varint()
        kinds = self._byte() if count else 0
        if count > _MAX_ITEMS:
            raise ValueError("a map of too many")
        return {repr(self._value(kinds >> 4, depth + 1)): self._value(kinds & 15, depth + 1) for _ in range(count)}

    def _byte(self) -> int:
        if self.at >= len(self._data):
            raise ValueError("it breaks off")
        self.at += 1
        return self._data[self.at - 1]

    def _bytes(self, count: int) -> bytes:
        if count > len(self._data) - self.at:
            raise ValueError("it breaks off")
        self.at += count
        return bytes(self._data[self.at - count : self.at])

    def _varint(self) -> int:
        if self.at < len(self._data) and self._data[self.at] < 128:  # most are one byte
            self.at += 1
            return self._data[self.at - 1]
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 70:
                raise ValueError("a number without an end")


def _zigzag(value: int) -> int:
    return value >> 1 ^ -(value & 1)
