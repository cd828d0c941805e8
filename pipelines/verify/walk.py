"""Looks through the bytes of one object, and of whatever is packed in it, with every detector."""

from __future__ import annotations

import tarfile
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pipelines.verify import bloom, raw_sound
from pipelines.verify.encodings import ENCODINGS
from pipelines.verify.magics import Finder, Magic, mp3_starts
from pipelines.verify.needles import Kind, Needles, Pattern
from pipelines.verify.openers import OPENERS, Opener, Unreadable, is_tar_header
from pipelines.verify.places import DELETED, FOLDER, NONCURRENT, UPLOAD
from pipelines.verify.report import Hit, NotOpened
from pipelines.verify.search import Searcher
from pipelines.verify.sound import SOUNDS, Blocks, Listener, SoundKind

_MAX_DEPTH = 8
_ALLOWED_BYTES = 64 << 30
"""What one object may unpack to; beyond, the scan says that it has not seen it all."""
_PARQUET = Magic(b"PAR1")

DETECTORS: tuple[str, ...] = (
    *(encoding.name for encoding in ENCODINGS),
    *(opener.name for opener in OPENERS),
    "parquet_bloom",
    *(kind.name for kind in SOUNDS),
    "raw_sound",
    "names",
    FOLDER,
    NONCURRENT,
    UPLOAD,
    DELETED,
)
"""Everything that can be switched off, one by one, to see that something is then missed."""


@dataclass
class Seen:
    """What has been found in one object so far."""

    hits: dict[tuple[str, str, str, str], Hit] = field(default_factory=dict)
    not_opened: list[tuple[str, str]] = field(default_factory=list)
    """(inside, reason)."""
    unpacked_bytes: int = 0
    sounds: int = 0
    sound_s: float = 0.0


class Walker:
    """Every detector but those of `without`, looking for some needles. Made once for many objects."""

    def __init__(self, needles: Needles, without: frozenset[str] = frozenset()) -> None:
        self._searcher = Searcher(needles, without)
        self._listener = Listener(needles)
        self._openers = {one.name: one for one in OPENERS if one.name not in without}
        self._sounds = {one.name: one for one in SOUNDS if one.name not in without and not self._listener.is_deaf}
        self._hears_raw = "raw_sound" not in without and not self._listener.is_deaf
        magics = [(name, magic) for name, one in self._openers.items() for magic in one.magics]
        magics += [(name, magic) for name, kind in self._sounds.items() for magic in kind.magics]
        self._values: list[tuple[Kind, str, int]] = []
        if "parquet_bloom" not in without and not needles.is_keyed:
            self._values = [(term.kind, term.label, bloom.xxh64(term.text.encode())) for term in needles.terms]
            magics += [("parquet_bloom", _PARQUET)] if self._values else []
        self._find = Finder(magics)

    def name(self, path: str) -> list[tuple[int, Pattern]]:
        """Needles in the name of an object."""
        return list(self._searcher.find(path.encode("utf-8", "surrogateescape")))

    def redacted(self, text: str) -> str:
        """`text` with every needle in it replaced by what it is called."""
        content = text.encode("utf-8", "surrogateescape")
        for at, pattern in sorted(self._searcher.find(content), key=lambda found: -found[0]):
            content = content[:at] + f"‹{pattern.label}›".encode() + content[at + pattern.length :]
        return content.decode("utf-8", "replace")

    def look(self, content: Any) -> Seen:
        """Everything that is found in an object's bytes."""
        seen, view = Seen(), memoryview(content)
        self._look(view, "", 0, seen)
        if self._hears_raw:
            for what, blocks in raw_sound.readings(view):
                self._listen("raw_sound", what, 0, blocks, seen, is_sure=False)
        return seen

    def words_only(self, content: Any) -> Seen:
        """As `look`, but nothing is unpacked or decoded: for an object on which a decoder died."""
        seen, view = Seen(), memoryview(content)
        self._words(view, "", Members(view), seen)
        return seen

    def _look(self, view: memoryview, inside: str, depth: int, seen: Seen) -> None:
        members = Members(view)
        self._words(view, inside, members, seen)
        if depth > _MAX_DEPTH:
            seen.not_opened.append((inside, f"it is packed more than {_MAX_DEPTH} times"))
            return
        for at, name in self._find(view):
            if name in self._openers:
                self._open(self._openers[name], view, at, inside, depth, seen)
            elif name in self._sounds:
                self._hear(self._sounds[name], view, at, _joined(inside, members(at)), seen)
            else:
                self._ask_filters(view, at, inside, seen)
        if "mp3" in self._sounds:
            for at in mp3_starts(view):
                self._hear(self._sounds["mp3"], view, at, _joined(inside, members(at)), seen)

    def _words(self, view: memoryview, inside: str, members: Members, seen: Seen) -> None:
        for at, pattern in self._searcher.find(view):
            _add(seen, _joined(inside, members(at)), at, pattern.kind, pattern.label, pattern.encoding)

    def _open(self, opener: Opener, view: memoryview, at: int, inside: str, depth: int, seen: Seen) -> None:
        way = f"{opener.name} at {at}"
        try:
            for name, child in opener.open(view, at, _ALLOWED_BYTES - seen.unpacked_bytes):
                seen.unpacked_bytes += len(child)
                named = f"{way} ({self.redacted(name)})" if name else way
                self._look(memoryview(child), _joined(inside, named), depth + 1, seen)
        except Unreadable as error:
            seen.not_opened.append((_joined(inside, way), str(error)))

    def _hear(self, kind: SoundKind, view: memoryview, at: int, inside: str, seen: Seen) -> None:
        if kind.begins(view, at):
            self._listen(kind.name, inside, at, kind.decode(view, at), seen, is_sure=kind.is_sure or at == 0)

    def _listen(self, name: str, inside: str, at: int, blocks: Blocks, seen: Seen, *, is_sure: bool) -> None:
        try:
            heard, seconds = self._listener.listen(blocks)
        except ValueError as error:
            if is_sure:
                seen.not_opened.append((_joined(inside, f"{name} at {at}"), " ".join(str(error).split())))
            return
        seen.sounds += 1
        seen.sound_s += seconds
        for one in heard:
            _add(seen, inside, at, Kind.VOICE, one.label, name, f"from {one.at_s} s, {one.agreeing} pairs agree")

    def _ask_filters(self, view: memoryview, at: int, inside: str, seen: Seen) -> None:
        for column, place, said in bloom.affirmed(view, at, [value for *_, value in self._values]):
            for n in said:
                kind, label, _ = self._values[n]
                _add(seen, _joined(inside, column), place, kind, label, "parquet_bloom", "a Bloom filter affirms it")


def _add(seen: Seen, inside: str, at: int, kind: Kind, label: str, encoding: str, detail: str = "") -> None:
    key = inside, str(kind), label, encoding
    held = seen.hits.get(key)
    if held is not None:
        seen.hits[key] = held.model_copy(update={"count": held.count + 1})
        return
    seen.hits[key] = Hit(
        object="", inside=inside, offset=at, kind=str(kind), label=label, encoding=encoding, detail=detail
    )


def _joined(*ways: str) -> str:
    return " › ".join(way for way in ways if way)


def not_opened(uri: str, seen: Seen) -> Iterator[NotOpened]:
    yield from (NotOpened(object=uri, inside=inside, reason=reason) for inside, reason in seen.not_opened)


class Members:
    """Says where in a tar an offset lies; nothing of what is no tar. Members go by number: their names are keys."""

    def __init__(self, view: memoryview) -> None:
        self._view = view

    def __call__(self, offset: int) -> str:
        begins, names = self._places
        return names[bisect_right(begins, offset) - 1] if len(begins) > 1 else ""

    @cached_property
    def _places(self) -> tuple[list[int], list[str]]:
        begins: list[int] = []
        names: list[str] = []
        at = 0
        while is_tar_header(header := bytes(self._view[at : at + tarfile.BLOCKSIZE])):
            try:
                size = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape").size
            except tarfile.HeaderError:
                break
            number = len(begins) // 3
            begins += [at, at + tarfile.BLOCKSIZE, at + tarfile.BLOCKSIZE + size]
            names += [f"header {number}", f"member {number}", f"padding of member {number}"]
            at += tarfile.BLOCKSIZE + -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        return [*begins, at], [*names, "after the last member"]
