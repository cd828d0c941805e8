"""Detectors that look into what is packed: each knows a container by its first bytes, and unpacks what lies in it.

What is merely stored (members of tars, of zips without compression) is found where it lies, without any of these.
"""

from __future__ import annotations

import base64
import bz2
import lzma
import mmap
import re
import struct
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

from pipelines.verify import parquet
from pipelines.verify.magics import Magic

Children = Iterator[tuple[str, Any]]
"""Name within, and what gives its bytes."""
_PIECE, _OUT = 1 << 20, 1 << 22
_IN_MEMORY_BYTES = 64 << 20
_MAX_BASE64_BYTES = 256 << 20


class Unreadable(Exception):
    """It is this kind of container, and what lies in it cannot be read: the reason in a few words."""


@dataclass(frozen=True, slots=True)
class Opener:
    """`open(data, at)` yields (name within, bytes) of what is packed there, and raises Unreadable where it cannot; what
    is no such container at all yields nothing."""

    name: str
    magics: tuple[Magic, ...]
    open: Callable[[memoryview, int, int], Children]
    """The last argument: how many bytes may be unpacked."""


class Unpacked:
    """Bytes as they come out of something packed: in memory while they are few, on this machine's disk beyond."""

    def __init__(self, allowed: int) -> None:
        self._allowed = allowed
        self._held = bytearray()
        self._file: IO[bytes] | None = None
        self.size = 0

    def add(self, piece: bytes) -> None:
        """Raises Unreadable beyond what is allowed."""
        self.size += len(piece)
        if self.size > self._allowed:
            self.content()
            raise Unreadable(f"it unpacks to more than {self._allowed} bytes")
        self._held += piece
        if len(self._held) > _IN_MEMORY_BYTES:
            self._file = self._file or tempfile.TemporaryFile(prefix="provoice-scan-")  # noqa: SIM115
            self._file.write(self._held)
            self._held.clear()

    def content(self) -> Any:
        """All of it, as bytes or as a memory map; nothing can be added afterwards."""
        if self._file is None:
            return bytes(self._held)
        with self._file:
            self._file.write(self._held)
            self._file.flush()
            return mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)


def _inflated(make: Callable[[], Any]) -> Callable[[memoryview, int, int], Children]:
    """Formats whose reader stops at the end of the packed stream; of what breaks off, what came before."""

    def unpack(data: memoryview, at: int, allowed: int) -> Children:
        reader, out = make(), Unpacked(allowed)
        with suppress(zlib.error, OSError, lzma.LZMAError, EOFError, ValueError):
            for piece in _unpacked(reader, data, at):
                out.add(piece)
        if out.size:
            yield "", out.content()

    return unpack


def _unpacked(reader: Any, data: memoryview, at: int) -> Iterator[bytes]:
    """What comes out, a bounded piece at a time, however well it was packed."""
    is_deflate = hasattr(reader, "unconsumed_tail")
    for begin in range(at, len(data), _PIECE):
        piece = reader.decompress(bytes(data[begin : begin + _PIECE]), _OUT)
        yield piece
        while not reader.eof and (reader.unconsumed_tail if is_deflate else not reader.needs_input):
            yield reader.decompress(reader.unconsumed_tail if is_deflate else b"", _OUT)
        if reader.eof:
            return


def _zstd(data: memoryview, at: int, allowed: int) -> Children:
    end = parquet.zstd_frame_end(data, at)
    if end is not None:
        yield from _streamed(data, at, end, "zstd", allowed)


def _lz4(data: memoryview, at: int, allowed: int) -> Children:
    yield from _streamed(data, at, len(data), "lz4", allowed)


def _streamed(data: memoryview, at: int, end: int, codec: str, allowed: int) -> Children:
    import pyarrow as pa

    # Where it breaks off, what was unpacked of the piece in hand is lost: so once more, in small pieces.
    for piece in (_PIECE, 256):
        out, is_whole = Unpacked(allowed), True
        try:
            with pa.CompressedInputStream(pa.BufferReader(pa.py_buffer(data[at:end])), codec) as stream:
                while content := stream.read(piece):
                    out.add(content)
        except (OSError, pa.ArrowException):
            is_whole = False
        if is_whole or out.size >= _PIECE:
            break
    if out.size:
        yield "", out.content()


_DEFLATED, _STORED = 8, 0


def _zip(data: memoryview, at: int, allowed: int) -> Children:
    """One member by its local header, so that a zip is read that has lost its directory."""
    if at + 30 > len(data):
        return
    _, flags, method, _, _, _, packed, _, name_length, extra_length = struct.unpack_from("<HHHHHIIIHH", data, at + 4)
    begin = at + 30 + name_length + extra_length
    name = bytes(data[at + 30 : at + 30 + name_length]).decode("utf-8", "replace")
    if method == _STORED or begin > len(data) or name.endswith("/"):
        return  # stored bytes lie as they are, and are found where they lie
    if flags & 1:
        raise Unreadable("a member of a zip is encrypted")
    if method == _DEFLATED:
        yield from ((name, content) for _, content in _inflated(lambda: zlib.decompressobj(-15))(data, begin, allowed))
    elif 0 < packed <= len(data) - begin:
        raise Unreadable(f"a member of a zip is packed by method {method}")


def _png(data: memoryview, at: int, _allowed: int) -> Children:
    """The compressed texts of a picture; plain ones lie as they are."""
    place = at + 8
    while place + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        if length > len(data) - place - 12 or kind == b"IEND":
            return
        body = bytes(data[place + 8 : place + 8 + length])
        name, _, rest = body.partition(b"\0")
        if kind == b"zTXt":
            packed: bytes | None = rest[1:]
        elif kind == b"iTXt" and rest[:1] == b"\x01":
            packed = rest[2:].split(b"\0", 2)[-1]
        else:
            packed = None
        if packed:
            reader = zlib.decompressobj()
            with suppress(zlib.error):
                yield name.decode("latin-1"), reader.decompress(packed, _PIECE)
        place += 12 + length


def _tar_names(data: memoryview, at: int, _allowed: int) -> Children:
    """The name of a member that tar has cut in two: `prefix`, and what comes after its last slash."""
    header = bytes(data[at : at + tarfile.BLOCKSIZE])
    prefix, name = header[345:500].split(b"\0")[0], header[:100].split(b"\0")[0]
    if prefix and is_tar_header(header):
        yield "name", prefix + b"/" + name


def is_tar_header(header: bytes) -> bool:
    """512 bytes whose checksum is right."""
    try:
        said = int(header[148:156].split(b"\0")[0].strip() or b"x", 8)
    except ValueError:
        return False
    return len(header) == tarfile.BLOCKSIZE and sum(header[:148]) + sum(header[156:]) + 8 * 32 == said


_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{4}|[\r\n]+){4,}(?:[A-Za-z0-9+/]{2,3}={0,2})?")
_PACKED_INSIDE = (
    b"fLaC", b"RIFF", b"OggS", b"ID3\x04", b"ID3\x03", b"\xff\xfb", b"\x89PNG\r\n", b"\x1f\x8b\x08", b"PK\x03\x04",
    b"\x28\xb5\x2f\xfd", b"PAR1", b"BZh", b"\xfd7zXZ",
)  # fmt: skip


def _base64(data: memoryview, at: int, allowed: int) -> Children:
    """A run of base64 whose content begins as something that another detector opens. Words in it are found without."""
    found = _BASE64.match(data, at)
    if found is None:
        return
    if found.end() - at > min(allowed, _MAX_BASE64_BYTES):
        raise Unreadable("a run of base64 is too long to be taken apart")
    text = re.sub(rb"[\r\n]", b"", found[0])
    content = base64.b64decode(text[: len(text) // 4 * 4])
    if content.startswith(_PACKED_INSIDE):
        yield "", content


def _base64_magics() -> tuple[Magic, ...]:
    return tuple(Magic(window) for window in sorted({base64.b64encode(inside)[:4] for inside in _PACKED_INSIDE}))


_GZIP_FLAGS = range(32)

OPENERS: tuple[Opener, ...] = (
    Opener(
        "gzip",
        tuple(Magic(b"\x1f\x8b\x08" + bytes([f])) for f in _GZIP_FLAGS),
        _inflated(lambda: zlib.decompressobj(31)),
    ),
    Opener("zstd", (Magic(b"\x28\xb5\x2f\xfd"),), _zstd),
    Opener("bzip2", (Magic(b"1AY&", 4),), _inflated(bz2.BZ2Decompressor)),
    Opener("xz", (Magic(b"\xfd7zX"),), _inflated(lzma.LZMADecompressor)),
    Opener("lz4", (Magic(b"\x04\x22\x4d\x18"),), _lz4),
    Opener("zip", (Magic(b"PK\x03\x04"),), _zip),
    Opener("png", (Magic(b"\x89PNG"),), _png),
    Opener("base64_runs", _base64_magics(), _base64),
    Opener("tar_names", (Magic(b"usta", 257),), _tar_names),
    Opener("parquet_pages", (Magic(b"PAR1"),), parquet.packed_pages),
    Opener("parquet_values", (Magic(b"PAR1"),), parquet.cut_values),
)
