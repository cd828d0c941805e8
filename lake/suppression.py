"""The suppression list: what was erased must not come in again, and the list itself must not say what that was.

Each entry is an HMAC-SHA256, under a key that lies outside the ledger, of a source's place or of its bytes' SHA-256.
Whoever has the list and not the key cannot try names against it. Files of entries are only ever added.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from pydantic import Field

from lake.storage import Missing, Root
from schemas.errors import AlreadyExists, ConfigError, ConsentError, LakeError
from schemas.model import Frozen, parse
from schemas.records import FORMAT_VERSION

FOLDER = "suppression"
"""Within the ledger's root."""
_LEAST_KEY_BYTES = 16
_CHECK = b"which key"
HOW = "set PROVOICE_SUPPRESSION_KEY, or PROVOICE_SUPPRESSION_KEY_URI to the file that holds it"


class SuppressionFile(Frozen):
    """`suppression/<name>.json`: entries of one erasure."""

    format_version: int = FORMAT_VERSION
    key_check: str
    """Tells whether a key is the one that the entries were made with, and nothing else about it."""
    paths: tuple[str, ...] = Field(default=())
    contents: tuple[str, ...] = Field(default=())


class Key:
    """The key, and what it makes of a place or of bytes."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self.check = self._hash(_CHECK)

    def of_path(self, root: str, path: str) -> str:
        """Of a source's place: root name and path within it."""
        return self._hash(b"path", root.encode(), path.encode("utf-8", "surrogateescape"))

    def of_content(self, sha256: str) -> str:
        """Of a source's bytes, by their SHA-256 in hex."""
        return self._hash(b"content", bytes.fromhex(sha256))

    def _hash(self, *words: bytes) -> str:
        text = b"".join(len(word).to_bytes(4, "big") + word for word in words)
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest()


def key_from_environment() -> Key | None:
    """The key that the environment holds or names; None where it says nothing. Raises ConfigError for one that cannot
    be read or is too short."""
    said, uri = os.environ.get("PROVOICE_SUPPRESSION_KEY"), os.environ.get("PROVOICE_SUPPRESSION_KEY_URI")
    if not said and not uri:
        return None
    secret = said.encode() if said else _secret_at(str(uri))
    if len(secret) < _LEAST_KEY_BYTES:
        raise ConfigError(f"the suppression key has {len(secret)} bytes; {_LEAST_KEY_BYTES} are the least")
    return Key(secret)


def _secret_at(uri: str) -> bytes:
    folder, _, name = uri.rpartition("/")
    try:
        return Root(folder or ".").read(name).strip()
    except Missing:
        raise ConfigError(f"PROVOICE_SUPPRESSION_KEY_URI names {uri}, which does not exist") from None
    except LakeError as error:
        raise ConfigError(f"PROVOICE_SUPPRESSION_KEY_URI: {error}") from None


@dataclass
class Suppression:
    """The list of one ledger, as it was last read."""

    ledger: Root
    _paths: set[str] = field(default_factory=set)
    _contents: set[str] = field(default_factory=set)
    _read: set[str] = field(default_factory=set)
    _key: Key | None = None

    def __bool__(self) -> bool:
        return bool(self._paths or self._contents)

    def refresh(self) -> bool:
        """Reads what was added; True where there was something. Raises ConsentError where there are entries, and no key
        that they were made with: nobody could tell what is on the list."""
        new = sorted(self._listed() - self._read)
        for path in new:
            found = _parsed(self.ledger, path)
            self._key = self._key or _needed_key(self.ledger)
            if found.key_check != self._key.check:
                raise ConsentError(f"{self.ledger.uri_of(path)} was made with another key than the one given; {HOW}")
            self._paths.update(found.paths)
            self._contents.update(found.contents)
            self._read.add(path)
        return bool(new)

    def has_path(self, root: str, path: str) -> bool:
        """Whether what lay there was erased."""
        return bool(self._paths) and self._key is not None and self._key.of_path(root, path) in self._paths

    def has_content(self, sha256: str | None) -> bool:
        """Whether these bytes were erased, under whatever name."""
        if not self._contents or self._key is None or sha256 is None:
            return False
        return self._key.of_content(sha256) in self._contents

    def _listed(self) -> set[str]:
        try:
            return {info.path for info in self.ledger.list(FOLDER) if info.path.endswith(".json")}
        except LakeError as error:
            raise ConsentError(f"the suppression list cannot be read: {error}") from None


def add(ledger: Root, name: str, key: Key, places: Iterable[tuple[str, str]], contents: Iterable[str]) -> None:
    """Adds entries for places (root name, path) and SHA-256 of bytes, as one file called `name`; where there is nothing
    to add, or it was added before, nothing happens."""
    paths = tuple(sorted({key.of_path(root, path) for root, path in places}))
    hashes = tuple(sorted({key.of_content(sha256) for sha256 in contents}))
    if not paths and not hashes:
        return
    made = SuppressionFile(key_check=key.check, paths=paths, contents=hashes)
    with suppress(AlreadyExists):
        ledger.create(f"{FOLDER}/{name}.json", made.model_dump_json().encode())


def _needed_key(ledger: Root) -> Key:
    key = key_from_environment()
    if key is None:
        raise ConsentError(f"{ledger.uri} has a suppression list, and its key is missing; {HOW}")
    return key


def _parsed(ledger: Root, path: str) -> SuppressionFile:
    try:
        return parse(SuppressionFile, json.loads(ledger.read(path)), ledger.uri_of(path))
    except (ValueError, ConfigError, LakeError) as error:
        raise ConsentError(f"the suppression list cannot be read: {ledger.uri_of(path)}: {error}") from None
