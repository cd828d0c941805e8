"""Parquet's Bloom filters, which can still say "perhaps" of a value that no row has any more.

A filter answers wrongly now and then, by design. So it is asked about every needle, and what it affirms counts only
when so many answers would hardly come by chance, given how full the filter is.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence

from pipelines.verify.parquet import files_in
from pipelines.verify.thrift import Reader

_MASK = (1 << 64) - 1
_PRIMES = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5)
_SALTS = (0x47B6137B, 0x44974D91, 0x8824AD5B, 0xA2B7289D, 0x705495C7, 0x2DF1424B, 0x9EFC4947, 0x5C6BFB31)
_BLOCK_BYTES = 32
_BY_CHANCE = 1e-6
_MAX_BYTES = 1 << 27


def affirmed(data: memoryview, at: int, hashes: Sequence[int]) -> Iterator[tuple[str, int, list[int]]]:
    """(column, offset of the filter, which of the hashes) of every filter in the Parquet file that begins at `at` that
    affirms more of them than chance explains."""
    for _, _, chunks in files_in(data, at):
        for chunk in chunks:
            if chunk.bloom is None or (bits := _bits(data, chunk.bloom)) is None:
                continue
            said = [n for n, value in enumerate(hashes) if _may_hold(bits, value)]
            if said and _chance(len(hashes), len(said), _false_rate(bits)) < _BY_CHANCE:
                yield f"column {chunk.path}, row group {chunk.group}", chunk.bloom, said


def _bits(data: memoryview, at: int) -> memoryview | None:
    try:
        reader = Reader(data, at)
        header = reader.struct()
        size = header[1]
    except (ValueError, KeyError):
        return None
    is_ours = 1 in header.get(2, {}) and 1 in header.get(3, {}) and 1 in header.get(4, {})
    if not is_ours or size % _BLOCK_BYTES or not 0 < size <= min(_MAX_BYTES, len(data) - reader.at):
        return None
    return data[reader.at : reader.at + size]


def _may_hold(bits: memoryview, value: int) -> bool:
    block = ((value >> 32) * (len(bits) // _BLOCK_BYTES)) >> 32
    words = struct.unpack_from("<8I", bits, block * _BLOCK_BYTES)
    return all(word >> ((value * salt & 0xFFFFFFFF) >> 27) & 1 for word, salt in zip(words, _SALTS, strict=True))


def _false_rate(bits: memoryview) -> float:
    """How often it affirms what it has never seen: over its blocks, the product of how full their words are."""
    total, blocks = 0.0, len(bits) // _BLOCK_BYTES
    for block in range(blocks):
        words = struct.unpack_from("<8I", bits, block * _BLOCK_BYTES)
        total += math.prod(word.bit_count() / 32 for word in words)
    return total / blocks


def _chance(asked: int, affirmed_count: int, rate: float) -> float:
    """That at least so many are affirmed by chance: the Chernoff bound of the binomial's tail."""
    share = affirmed_count / asked
    if rate <= 0.0:
        return 0.0
    if share <= rate:
        return 1.0
    far = share * math.log(share / rate)
    near = 0.0 if share >= 1.0 else (1 - share) * math.log((1 - share) / (1 - rate))
    return math.exp(-asked * (far + near))


def xxh64(content: bytes) -> int:
    """XXH64 with seed 0, which Parquet's filters hash plain values with.

    >>> hex(xxh64(b""))
    '0xef46db3751d8e999'
    """
    one, two, three, four, five = _PRIMES
    at = 0
    if len(content) >= 32:
        lanes = [(one + two) & _MASK, two, 0, -one & _MASK]
        while at + 32 <= len(content):
            words = struct.unpack_from("<4Q", content, at)
            lanes = [_round(lane, word) for lane, word in zip(lanes, words, strict=True)]
            at += 32
        value = sum(_turned(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18), strict=True)) & _MASK
        for lane in lanes:
            value = ((value ^ _round(0, lane)) * one + four) & _MASK
    else:
        value = five
    value = (value + len(content)) & _MASK
    while at + 8 <= len(content):
        value = (_turned(value ^ _round(0, struct.unpack_from("<Q", content, at)[0]), 27) * one + four) & _MASK
        at += 8
    if at + 4 <= len(content):
        value ^= struct.unpack_from("<I", content, at)[0] * one & _MASK
        value = (_turned(value, 23) * two + three) & _MASK
        at += 4
    for byte in content[at:]:
        value = _turned(value ^ (byte * five & _MASK), 11) * one & _MASK
    value = (value ^ value >> 33) * two & _MASK
    value = (value ^ value >> 29) * three & _MASK
    return value ^ value >> 32


def _round(lane: int, word: int) -> int:
    return _turned((lane + word * _PRIMES[1]) & _MASK, 31) * _PRIMES[0] & _MASK


def _turned(value: int, by: int) -> int:
    return (value << by | value >> (64 - by)) & _MASK
