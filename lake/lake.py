"""A lake: its root, its head, and the ledger that its head names."""

from __future__ import annotations

import json
from dataclasses import dataclass

from lake import layout
from lake.ledger import Ledger
from lake.storage import Missing, Root
from schemas.errors import AlreadyExists, ConfigError, ConsentError, LakeError
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
        """The lake at `uri`. Raises ConfigError where there is none or it may not be read, LakeError where the store
        fails."""
        root = Root(uri)
        try:
            text = root.read(layout.HEAD)
        except Missing:
            raise ConfigError(
                f"{root.uri} is not a lake (it has no {layout.HEAD}); "
                f"`provoice run CONFIG --source … --lake {uri}` makes one"
            ) from None
        except LakeError as error:
            if isinstance(error.__cause__, PermissionError):
                raise ConfigError(f"{root.uri} may not be read: {error}") from None
            raise
        return cls(root, _head(root, text))

    @classmethod
    def create_or_open(cls, uri: str, ledger: str | None = None) -> Lake:
        """The lake at `uri`, made by whoever comes first. A `ledger` other than the recorded one is a ConfigError."""
        root = Root(uri)
        wanted = _recorded_as(root, ledger)
        try:
            if not root.exists(layout.HEAD):
                # The ledger first, and only here: a lake that is there already and whose ledger has gone must fail when
                # it reads it, and must not get an empty one.
                _ledger(root, wanted).ensure()
                root.create(layout.HEAD, wanted.model_dump_json().encode())
        except AlreadyExists:
            pass  # another first writer; what it recorded holds
        except (LakeError, ConsentError) as error:
            raise ConfigError(f"{root.uri} cannot be made a lake: {error}") from None
        lake = cls.open(uri)
        if ledger is not None and lake.head.ledger != wanted.ledger:
            raise ConfigError(f"{root.uri} keeps its consent ledger at {lake.head.ledger}, not at {wanted.ledger}")
        return lake

    def ledger(self) -> Ledger:
        """The consent ledger; reading it fails loudly when it cannot be reached."""
        return _ledger(self.root, self.head)


def _recorded_as(root: Root, ledger: str | None) -> LakeHead:
    """The head that names `ledger`: by its path within the lake where it lies there, so that the lake can be moved."""
    if ledger is None:
        return LakeHead()
    return LakeHead(ledger=Root(ledger).uri.removeprefix(root.uri_of("")))


def _ledger(root: Root, head: LakeHead) -> Ledger:
    is_inside = "://" not in head.ledger and not head.ledger.startswith("/")
    return Ledger(Root(root.uri_of(head.ledger) if is_inside else head.ledger))


def _head(root: Root, text: bytes) -> LakeHead:
    where = root.uri_of(layout.HEAD)
    try:
        value = json.loads(text)
    except ValueError as error:
        raise LakeError(f"{where} is not JSON: {error}") from None
    version = value.get("format_version") if isinstance(value, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        # Said before the rest is read, which may have keys that this version does not know.
        raise ConfigError(f"{root.uri} has format {version}; this provoice reads up to {FORMAT_VERSION}")
    return parse(LakeHead, value, where)
