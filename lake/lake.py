"""A lake: its root, its head, and the ledger that its head names."""

from __future__ import annotations

import json
from dataclasses import dataclass

from lake import layout
from lake.ledger import Ledger
from lake.storage import Missing, Root
from schemas.errors import AlreadyExists, ConfigError, LakeError
from schemas.model import parse
from schemas.records import FORMAT_VERSION, LakeHead


@dataclass(frozen=True)
class Lake:
    """An opened lake."""

    root: Root
    head: LakeHead

    @staticmethod
    def exists(uri: str) -> bool:
        return Root(uri).exists(layout.HEAD)

    @classmethod
    def open(cls, uri: str) -> Lake:
        """The lake at `uri`. Raises ConfigError where there is none, LakeError where it cannot be read."""
        root = Root(uri)
        try:
            text = root.read(layout.HEAD)
        except Missing:
            raise ConfigError(
                f"{root.uri} is not a lake (it has no {layout.HEAD}); `provoice run CONFIG --source … --lake {uri}` makes one"
            ) from None
        return cls(root, _head(root, text))

    @classmethod
    def create_or_open(cls, uri: str, ledger: str | None = None) -> Lake:
        """The lake at `uri`, made by whoever comes first. A `ledger` other than the recorded one is a ConfigError."""
        root = Root(uri)
        wanted = LakeHead(ledger=Root(ledger).uri if ledger else LakeHead().ledger)
        if not root.exists(layout.HEAD):
            try:
                root.create(layout.HEAD, wanted.model_dump_json().encode())
            except AlreadyExists:
                pass  # another first writer; what it recorded holds
            except LakeError as error:
                raise ConfigError(f"{root.uri} cannot be made a lake: {error}") from None
        lake = cls.open(uri)
        if ledger is not None and lake.head.ledger != wanted.ledger:
            raise ConfigError(f"{root.uri} keeps its consent ledger at {lake.head.ledger}, not at {wanted.ledger}")
        lake.ledger().ensure()
        return lake

    def ledger(self) -> Ledger:
        """The consent ledger; reading it fails loudly when it cannot be reached."""
        where = self.head.ledger
        is_inside = "://" not in where and not where.startswith("/")
        return Ledger(Root(self.root.uri_of(where) if is_inside else where))


def _head(root: Root, text: bytes) -> LakeHead:
    try:
        head = parse(LakeHead, json.loads(text), root.uri_of(layout.HEAD))
    except ValueError as error:
        raise LakeError(f"{root.uri_of(layout.HEAD)} is not JSON: {error}") from None
    if head.format_version > FORMAT_VERSION:
        raise ConfigError(f"{root.uri} has format {head.format_version}; this provoice reads up to {FORMAT_VERSION}")
    return head
