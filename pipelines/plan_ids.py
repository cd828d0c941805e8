"""Ids of a whole column at once, the same as `schemas.ids` computes one by one."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from schemas.ids import unit_id

if TYPE_CHECKING:
    import pyarrow as pa

ID_BYTES = 16
_HEX = np.frombuffer(b"".join(b"%02x" % n for n in range(256)), np.uint16)
_NIBBLES = np.full(256, 255, np.uint8)
_NIBBLES[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)
_UNIT_DIGEST = 6


def digests(parts: list[pa.Array | str]) -> np.ndarray:
    """128-bit BLAKE2b over the parts of each row, each with its length before it, as (rows, 16) bytes.

    A part is a column, or a text that is the same in every row.
    """
    import pyarrow.compute as pc

    pieces: list[object] = []
    for part in parts:
        if isinstance(part, str):
            encoded = part.encode()
            pieces.append(len(encoded).to_bytes(8, "big") + encoded)
        else:
            pieces += [_lengths(part), part.cast("binary")]
    messages = pc.binary_join_element_wise(*pieces, b"").to_pylist()
    found = b"".join([blake2b(message, digest_size=ID_BYTES).digest() for message in messages])
    return np.frombuffer(found, np.uint8).reshape(-1, ID_BYTES)


def _lengths(column: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = pc.binary_length(column).to_numpy(zero_copy_only=False).astype(">u8")
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(8), len(column), [None, pa.py_buffer(lengths)]).cast("binary")


def recording_ids(root: str, paths: pa.Array, versions: pa.Array) -> np.ndarray:
    """`ids.recording_id` of each source, as (rows, 16) bytes."""
    return digests([root, paths, versions])


def as_hex(rows: np.ndarray) -> np.ndarray:
    """Bytes (rows, n) as hex digits (rows, 2 n), a byte each."""
    letters: np.ndarray = _HEX[rows].view(np.uint8)
    return letters


def as_texts(letters: np.ndarray) -> pa.Array:
    """(rows, n) letters as strings of n letters."""
    import pyarrow as pa

    rows, width = letters.shape
    offsets = np.arange(rows + 1, dtype=np.int32) * np.int32(width)
    data = pa.py_buffer(np.ascontiguousarray(letters))
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), data)


def from_hex(texts: pa.Array, size_bytes: int) -> tuple[np.ndarray, np.ndarray]:
    """The bytes (rows, size_bytes) that these hex digits mean, and which rows are such digits."""
    import pyarrow as pa
    import pyarrow.compute as pc

    fits = pc.fill_null(pc.equal(pc.binary_length(texts), 2 * size_bytes), False)
    blank = pa.scalar("0" * 2 * size_bytes)
    letters = pc.if_else(fits, texts, blank).cast(pa.binary()).cast(pa.binary(2 * size_bytes))
    nibbles = _NIBBLES[np.frombuffer(letters.buffers()[1], np.uint8)[: len(texts) * 2 * size_bytes]]
    nibbles = nibbles.reshape(-1, 2 * size_bytes)
    is_hex = fits.to_numpy(zero_copy_only=False) & (nibbles < 16).all(axis=1)
    return (nibbles[:, ::2] << 4) | (nibbles[:, 1::2] & 15), is_hex


class UnitIds:
    """Names of units whose recordings are rows `begin` to `end` of (rows, 16) bytes."""

    def __init__(self, recordings: np.ndarray) -> None:
        letters = as_hex(recordings)
        self.letters = letters
        length = np.frombuffer((2 * ID_BYTES).to_bytes(8, "big"), np.uint8)
        self._messages = np.concatenate([np.broadcast_to(length, (len(letters), 8)), letters], axis=1)

    def name(self, index: int, begin: int, end: int) -> str:
        """As `ids.unit_id` over the hex ids of those rows."""
        digest = blake2b(self._messages[begin:end].tobytes(), digest_size=_UNIT_DIGEST)
        return f"{unit_id(index, ()).partition('-')[0]}-{digest.hexdigest()}"
