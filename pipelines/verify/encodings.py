"""How a word may lie in bytes: each encoding is a detector of its own, and gives the bytes to look for."""

from __future__ import annotations

import base64
import html
import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

from pipelines.verify.needles import MIN_BYTES, SHORT_BYTES

_HEX = re.compile(r"[0-9a-fA-F]{16,}")


@dataclass(frozen=True, slots=True)
class Encoding:
    """`variants(word)` yields (bytes, width of a character) of every form; a width of 0: no words can be told apart."""

    name: str
    variants: Callable[[str], Iterator[tuple[bytes, int]]]


_AROUND = (('"', '"'), ("'", "'"), ("\n", "\n"), (",", ","), ("/", "/"), ("=", "/"), (" ", " "), ("\0", "\0"))


def _plain(word: str) -> Iterator[tuple[bytes, int]]:
    """UTF-8, composed as it is and the two ways that Unicode has. Very short words between quotes and the like, and as
    Parquet has them: after their length."""
    content = word.encode("utf-8", "surrogateescape")
    if len(content) < MIN_BYTES:
        for before, after in _AROUND:
            yield before.encode() + content + after.encode(), 0
        yield len(content).to_bytes(4, "little") + content, 0
        return
    for text in {word, unicodedata.normalize("NFC", word), unicodedata.normalize("NFD", word)}:
        yield text.encode("utf-8", "surrogateescape"), 1


def _json(word: str) -> Iterator[tuple[bytes, int]]:
    """Within a JSON string: quotes and control characters escaped; other scripts, and `/`, escaped or not."""
    for ascii_only in (True, False):
        text = json.dumps(word.encode("utf-8", "replace").decode(), ensure_ascii=ascii_only)[1:-1]
        yield text.encode(), 1
        yield text.replace("/", "\\/").encode(), 1


def _url(word: str) -> Iterator[tuple[bytes, int]]:
    for text in {
        quote(word, safe="", errors="replace"),
        quote(word, errors="replace"),
        quote_plus(word, errors="replace"),
    }:
        yield text.encode(), 1
        yield re.sub("%..", lambda found: found[0].lower(), text).encode(), 1


def _html(word: str) -> Iterator[tuple[bytes, int]]:
    yield html.escape(word).encode("utf-8", "surrogateescape"), 1
    yield html.escape(word).replace("&#x27;", "&#39;").encode("utf-8", "surrogateescape"), 1


def _utf16_le(word: str) -> Iterator[tuple[bytes, int]]:
    yield word.encode("utf-16-le", "surrogatepass"), 2


def _utf16_be(word: str) -> Iterator[tuple[bytes, int]]:
    yield word.encode("utf-16-be", "surrogatepass"), 2


def _hex_lower(word: str) -> Iterator[tuple[bytes, int]]:
    yield word.encode("utf-8", "surrogateescape").hex().encode(), 1


def _hex_upper(word: str) -> Iterator[tuple[bytes, int]]:
    yield word.encode("utf-8", "surrogateescape").hex().upper().encode(), 1


def _base64(word: str) -> Iterator[tuple[bytes, int]]:
    """The characters that do not depend on what stands around it, for each of three places in a group."""
    content = word.encode("utf-8", "surrogateescape")
    for before in range(3):
        text = base64.b64encode(bytes(before) + content + bytes(2))
        inner = text[-(-8 * before // 6) : 8 * (before + len(content)) // 6]
        yield inner, 0
        yield inner.translate(bytes.maketrans(b"+/", b"-_")), 0


def _unhexed(word: str) -> Iterator[tuple[bytes, int]]:
    """An id or a digest that is written in hex, as the bytes it stands for."""
    if _HEX.fullmatch(word) and len(word) % 2 == 0:
        yield bytes.fromhex(word), 0


def _upper(word: str) -> Iterator[tuple[bytes, int]]:
    """Hex ids and digests in capitals, as some tools write them."""
    if _HEX.fullmatch(word):
        yield word.upper().encode(), 1


ENCODINGS: tuple[Encoding, ...] = (
    Encoding("plain", _plain),
    Encoding("json_escaped", _json),
    Encoding("url_quoted", _url),
    Encoding("html_escaped", _html),
    Encoding("utf16_le", _utf16_le),
    Encoding("utf16_be", _utf16_be),
    Encoding("hex_lower", _hex_lower),
    Encoding("hex_upper", _hex_upper),
    Encoding("base64", _base64),
    Encoding("unhexed", _unhexed),
    Encoding("capitals", _upper),
)


def forms(word: str) -> Iterator[tuple[str, bytes, int]]:
    """(encoding, bytes, width of a character where only whole words count, else 0) of every form, each bytes once.

    The first encoding in the list that gives some bytes has them: a word of plain letters looks the same in several.
    """
    seen: set[bytes] = set()
    is_short = len(word.encode("utf-8", "surrogateescape")) < SHORT_BYTES
    for encoding in ENCODINGS:
        for content, width in encoding.variants(word):
            if content in seen or (encoding is not ENCODINGS[0] and is_short and len(content) < SHORT_BYTES):
                continue
            seen.add(content)
            yield encoding.name, content, width if is_short else 0
