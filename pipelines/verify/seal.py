"""The seal as a file: needles at rest, outside the lake, and its end.

A plain seal is as private as the lake. A keyed one holds digests (HMAC-SHA-256, 16 bytes of it) of every form of every
word, of every landmark, and, under a stream cipher from the same key, the 32 bits of each that make a search quick.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lake.storage import Missing, Root
from pipelines.verify.needles import Kind, Needles, Pattern, Sealed, Term, Voices
from pipelines.verify.search import patterns_of
from schemas.errors import ConfigError

KEY_VARIABLE = "PROVOICE_AUDIT_KEY"
_FORMAT = 1
_MIN_KEY_BYTES = 16


def key_from_environment() -> bytes | None:
    """The key of keyed seals: `$PROVOICE_AUDIT_KEY`; None where it is not set. Raises ConfigError where it is short."""
    text = os.environ.get("PROVOICE_AUDIT_KEY", "")
    if text and len(text.encode()) < _MIN_KEY_BYTES:
        raise ConfigError(f"${KEY_VARIABLE} has fewer than {_MIN_KEY_BYTES} bytes; `openssl rand -hex 32` makes a key")
    return text.encode() or None


def write_seal(path: Path, needles: Needles) -> None:
    """Writes a seal that only its owner may read, whole or not at all. Raises ConfigError where the file is there."""
    text = json.dumps(_as_object(needles), separators=(",", ":")).encode()
    if path.exists():
        raise ConfigError(f"{path} is there already; a seal is never written over another")
    begun = _begun(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        begun.unlink(missing_ok=True)  # of a writer that died
        with os.fdopen(os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        begun.rename(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None


def _begun(path: Path) -> Path:
    return path.with_name(f".{path.name}.unfinished")


def read_seal(uri: str, key: bytes | None = None) -> Needles:
    """The needles of a seal; a keyed one needs its key. Raises ConfigError where that is wrong or it is no seal."""
    folder, _, name = (uri if "://" in uri else os.path.abspath(uri)).rpartition("/")
    try:
        value = json.loads(Root(folder or "/").read(name))
        if value["format"] != _FORMAT:
            raise ConfigError(f"{uri}: a seal of format {value['format']}; this provoice reads {_FORMAT}")
        return _keyed(value, key, uri) if value["is_keyed"] else _plain(value)
    except Missing:
        raise ConfigError(f"{uri}: there is no such seal; `provoice audit seal` makes one") from None
    except (ValueError, KeyError, TypeError, zlib.error):
        raise ConfigError(f"{uri} is not a seal") from None


def keyed(needles: Needles, key: bytes) -> Needles:
    """The same needles as digests, from which nobody reads them."""
    voices = replace(needles.voices, hashes=keyed_hashes(key, needles.voices.hashes)).sorted()
    patterns = tuple(patterns_of(needles.terms, key))
    return Needles((), voices, patterns, key, dict(needles.not_searched))


def keyed_hashes(key: bytes, hashes: NDArray[Any]) -> NDArray[np.uint64]:
    """Each landmark's digest, 64 bits; equal ones stay equal."""
    different, back = np.unique(hashes, return_inverse=True)
    own = hashlib.sha256(b"landmarks" + key).digest()
    digests = b"".join(
        hashlib.blake2b(int(one).to_bytes(8, "little"), key=own, digest_size=8).digest() for one in different
    )
    return np.frombuffer(digests, "<u8").astype(np.uint64)[back]


def destroy(path: Path) -> None:
    """Overwrites the file, and what a writer that died left of it, and removes them. On disks that write elsewhere the
    old blocks may live on until reused."""
    for one in (_begun(path), path):
        if one.exists():
            with one.open("r+b") as file:
                file.write(bytes(one.stat().st_size))
                file.flush()
                os.fsync(file.fileno())
            one.unlink()


# --- as JSON ----------------------------------------------------------------------------------------------------------


def _as_object(needles: Needles) -> dict[str, Any]:
    voices = needles.voices
    value: dict[str, Any] = {
        "format": _FORMAT,
        "is_keyed": needles.is_keyed,
        "not_searched": needles.not_searched,
        "voices": {
            "labels": list(voices.labels), "hashes": _packed(voices.hashes), "frames": _packed(voices.frames),
            "sounds": _packed(voices.sounds),
        },
    }  # fmt: skip
    if needles.key is None:
        value["terms"] = [asdict(term) for term in needles.terms]
        if needles.sealed is not None:
            value["sealed"] = {"lake": needles.sealed.lake, "at": needles.sealed.at.isoformat()}
        return value
    patterns = needles.patterns
    tags = np.array([pattern.tag for pattern in patterns], np.uint32)
    value["key_check"] = _key_check(needles.key)
    value["tags"] = _packed(_ciphered(tags, needles.key))
    value["patterns"] = [
        [
            pattern.kind, pattern.label, pattern.encoding, pattern.length, pattern.anchor, pattern.width, pattern.apart,
            base64.b64encode(pattern.content).decode(),
        ]
        for pattern in patterns
    ]  # fmt: skip
    return value


def _plain(value: Mapping[str, Any]) -> Needles:
    terms = tuple(Term(Kind(one["kind"]), one["label"], one["text"]) for one in value["terms"])
    said = value.get("sealed")
    sealed = None if said is None else Sealed(said["lake"], datetime.fromisoformat(said["at"]))
    return Needles(terms, _voices(value), not_searched=dict(value["not_searched"]), sealed=sealed)


def _keyed(value: Mapping[str, Any], key: bytes | None, uri: str) -> Needles:
    if key is None:
        raise ConfigError(f"{uri} is a keyed seal; set ${KEY_VARIABLE} to its key")
    if _key_check(key) != value["key_check"]:
        raise ConfigError(f"{uri} was made with another key than ${KEY_VARIABLE}")
    tags = _ciphered(_unpacked(value["tags"], np.dtype("<u4")), key)
    patterns = tuple(
        Pattern(Kind(kind), label, encoding, length, anchor, width, int(tag), base64.b64decode(digest), apart)
        for tag, (kind, label, encoding, length, anchor, width, apart, digest) in zip(
            tags, value["patterns"], strict=True
        )
    )
    return Needles((), _voices(value), patterns, key, dict(value["not_searched"]))


def _voices(value: Mapping[str, Any]) -> Voices:
    found = value["voices"]
    return Voices(
        tuple(found["labels"]),
        _unpacked(found["hashes"], np.dtype("<u8")),
        _unpacked(found["frames"], np.dtype("<i4")),
        _unpacked(found["sounds"], np.dtype("<i4")),
    )


def _packed(array: NDArray[Any]) -> str:
    little = array.astype(array.dtype.newbyteorder("<"))
    return base64.b64encode(zlib.compress(little.tobytes())).decode()


def _unpacked(text: str, kind: np.dtype[Any]) -> NDArray[Any]:
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), kind).astype(kind.newbyteorder("="))


def _key_check(key: bytes) -> str:
    return hashlib.blake2b(b"which key", key=hashlib.sha256(key).digest(), digest_size=8).hexdigest()


def _ciphered(tags: NDArray[np.uint32], key: bytes) -> NDArray[np.uint32]:
    """XOR with a stream from the key; twice is nothing. Bare, these bits of some known words would give others away."""
    own = hashlib.sha256(b"tags" + key).digest()
    blocks = -(-4 * len(tags) // 64)
    stream = b"".join(hashlib.blake2b(n.to_bytes(8, "little"), key=own).digest() for n in range(blocks))
    ciphered: NDArray[np.uint32] = tags ^ np.frombuffer(stream, np.dtype("<u4"), len(tags))
    return ciphered
