"""What Parquet hides from a search for bytes: packed pages, words cut up by their encoding, and Bloom filters.

Footers, statistics, key-value metadata and page indexes lie plain; pages packed by zstd or gzip are opened wherever
such a stream begins, referenced or not. That leaves packings without first bytes of their own, and some encodings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipelines.verify.thrift import Reader

_MAGIC = b"PAR1"
_CODECS = {1: "snappy", 4: "brotli", 5: "lz4_hadoop", 7: "lz4_raw"}
"""Those without first bytes of their own, by their number in Parquet's format."""
_CUTTING = {6, 7, 9}
"""Encodings DELTA_LENGTH_BYTE_ARRAY (words run together), DELTA_BYTE_ARRAY (only what differs from the word before) and
BYTE_STREAM_SPLIT."""
_MAX_PARTS = 64


@dataclass(frozen=True, slots=True)
class Chunk:
    """A column of a row group, as the footer has it."""

    group: int
    path: str
    codec: int
    encodings: frozenset[int]
    first: int
    size: int
    bloom: int | None


_held: list[tuple[memoryview, int, tuple[tuple[int, int, list[Chunk]], ...]]] = []
"""The footer read last: three detectors ask about the same file one after the other."""


def files_in(data: memoryview, at: int) -> tuple[tuple[int, int, list[Chunk]], ...]:
    """(begin, end, columns) of the Parquet file that begins at `at`, if one does."""
    for held, place, found in _held:
        if held is data and place == at:
            return found
    found = tuple(_files(data, at))
    _held[:] = [(data, at, found)]
    return found


def _files(data: memoryview, at: int) -> Iterator[tuple[int, int, list[Chunk]]]:
    if at >= 8 and _footer_at(data, at + 4) is not None:
        return  # these four bytes are the end of a file
    end = at + 4
    for _ in range(_MAX_PARTS):
        end = _find(data, end) + 4
        if end < 4:
            return
        footer = _footer_at(data, end)
        if footer is None or footer < at + 4:
            continue
        try:
            yield at, end, list(_chunks(Reader(data, footer).struct(), at))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        return


def _find(data: memoryview, begin: int) -> int:
    step = 1 << 22
    for start in range(begin, len(data), step):
        found = bytes(data[start : start + step + 3]).find(_MAGIC)
        if found >= 0:
            return start + found
    return -8


def _footer_at(data: memoryview, end: int) -> int | None:
    """Where the footer begins of a file that ends there."""
    length = int.from_bytes(data[end - 8 : end - 4], "little")
    begin = end - 8 - length
    return begin if length > 8 and begin >= 4 and data[begin] in (0x15, 0x25, 0x19) else None


def _chunks(footer: dict[int, Any], begin: int) -> Iterator[Chunk]:
    for number, group in enumerate(footer[4]):
        for column in group[1]:
            meta = column[3]
            first = min(place for place in (meta.get(9), meta.get(11)) if place)
            bloom = meta.get(14)
            yield Chunk(
                number, ".".join(part.decode("utf-8", "replace") for part in meta[3]), meta[4], frozenset(meta[2]),
                begin + first, meta[7], None if bloom is None else begin + bloom,
            )  # fmt: skip


def packed_pages(data: memoryview, at: int, allowed: int) -> Iterator[tuple[str, bytes]]:
    """Every page, dictionaries too, of columns whose packing has no first bytes by which it would be found anywhere."""
    for begin, end, chunks in files_in(data, at):
        for chunk in chunks:
            if chunk.codec in _CODECS:
                yield from _pages(data[begin:end], chunk, begin, allowed)


def _pages(file: memoryview, chunk: Chunk, begin: int, allowed: int) -> Iterator[tuple[str, bytes]]:
    import pyarrow as pa

    place, last = chunk.first - begin, chunk.first - begin + chunk.size
    codec = pa.Codec(_CODECS[chunk.codec]) if chunk.codec != 5 else pa.Codec("lz4_raw")
    while place < min(last, len(file)):
        try:
            reader = Reader(file, place)
            header = reader.struct()
            size, packed = header[2], header[3]
        except (ValueError, KeyError):
            return
        body, place = file[reader.at : reader.at + packed], reader.at + packed
        levels = sum(header[8].get(n, 0) for n in (5, 6)) if 8 in header else 0
        if size > allowed or (8 in header and header[8].get(7) is False):
            continue
        try:
            content = codec.decompress(pa.py_buffer(body[levels:]), size - levels, asbytes=True)
        except (OSError, pa.ArrowException):
            continue
        yield f"column {chunk.path}, row group {chunk.group}", content


def cut_values(data: memoryview, at: int, _allowed: int) -> Iterator[tuple[str, bytes]]:
    """The values, one a line, of columns whose encoding cuts words up or runs them together."""
    for begin, end, chunks in files_in(data, at):
        cutting = [chunk for chunk in chunks if chunk.encodings & _CUTTING]
        if cutting:
            yield from _values(data[begin:end], cutting)


def _values(file: memoryview, chunks: list[Chunk]) -> Iterator[tuple[str, bytes]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        opened = pq.ParquetFile(pa.BufferReader(pa.py_buffer(file)))
        for chunk in chunks:
            rows = max(64, min(8192, opened.metadata.row_group(chunk.group).num_rows))
            batches = opened.iter_batches(rows, row_groups=[chunk.group], columns=[chunk.path], use_threads=False)
            for batch in batches:
                for column in batch.columns:
                    for words in _leaves(column):
                        yield f"column {chunk.path}, row group {chunk.group}", words
    except (OSError, pa.ArrowException):
        return


def _leaves(column: Any) -> Iterator[bytes]:
    """The words of each leaf of a column, joined by line breaks."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        yield from _leaves(column.dictionary)
    elif pa.types.is_struct(kind):
        for leaf in column.flatten():
            yield from _leaves(leaf)
    elif pa.types.is_map(kind):
        yield from _leaves(column.keys)
        yield from _leaves(column.items)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        yield from _leaves(column.flatten())
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        yield "\n".join(word for word in column.to_pylist() if word is not None).encode("utf-8", "surrogateescape")
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        yield b"\n".join(word for word in column.to_pylist() if word is not None)


def zstd_frame_end(data: memoryview, at: int) -> int | None:
    """One past the last byte of the zstd frame there (RFC 8878); where it breaks off, the end of the data; None where
    there is no frame."""
    if at + 6 > len(data):
        return None
    described = data[at + 4]
    if described & 8:
        return None  # a reserved bit
    is_single, has_sum = described >> 5 & 1, described >> 2 & 1
    size_bytes = (1 if is_single else 0, 2, 4, 8)[described >> 6]
    place = at + 5 + (0 if is_single else 1) + (0, 1, 2, 4)[described & 3] + size_bytes
    while place + 3 <= len(data):
        head = int.from_bytes(data[place : place + 3], "little")
        kind, size = head >> 1 & 3, head >> 3
        if kind == 3 or size > 1 << 17:
            return None
        place += 3 + (1 if kind == 1 else size)
        if head & 1:
            return min(len(data), place + 4 * has_sum)
    return len(data)
