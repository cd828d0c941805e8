"""A notice: what whoever trained on a release is told when somebody in it takes back what they allowed.

It names nobody. `<ledger>/notices/<name>.json` is created once; `<name>.sent.json` says that a webhook took it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from lake import layout
from lake.reading import read_each
from lake.storage import Root
from schemas.errors import AlreadyExists, ConfigError, LakeError
from schemas.instants import Instant
from schemas.model import Frozen, ModelT, parse
from schemas.records import FORMAT_VERSION
from schemas.releases import Share

_NOTICE = re.compile(r"notices/(?P<name>[0-9a-f]{32}-[we]\d+)(?P<sent>\.sent)?\.json")
WHAT_TO_DO = {
    "withdrawal": (
        "stop training on what was taken back: the loader refuses it from now on",
        "make or open a version of the release without it, and say what becomes of the model: provoice model mark",
        "acknowledge this notice: provoice notify LAKE --acknowledge NAME --owner WHO",
    ),
    "erasure": (
        "delete every copy of the release: exports, downloads, caches",
        "open the version that replaced it, and say what becomes of the model: provoice model mark",
        "acknowledge this notice: provoice notify LAKE --acknowledge NAME --owner WHO",
    ),
}


class Notice(Frozen):
    """What one user of a release is told, once."""

    format_version: int = FORMAT_VERSION
    name: str
    reason: Literal["withdrawal", "erasure"]
    lake: str
    release: str
    version: int
    release_sha256: str
    model: str | None
    owner: str
    used_at: Instant
    use_position: int
    """Of the event by which the use was registered."""
    taken_back: Share
    """How much of the release; the release's own users can tell which keys from `provoice release diff`."""
    replaced_by: int | None = None
    """The version to open in its place; None: nothing was left, or nothing was erased yet."""
    up_to: int
    """Of a withdrawal: the ledger position up to which it covers; of an erasure: its number."""
    issued_at: Instant
    due_at: Instant
    """By when its owner is to have acknowledged it, or to have said what becomes of the model."""
    what_to_do: tuple[str, ...]


class Sent(Frozen):
    """That a webhook took a notice."""

    sent_at: Instant
    host: str
    """Where to; the rest of the address may be a secret."""
    status: int


@dataclass(frozen=True, slots=True)
class Stored:
    """A notice in the ledger, and whether it was sent."""

    notice: Notice
    sent: Sent | None = None


def put_notice(ledger: Root, notice: Notice) -> bool:
    """Creates it; False where it was there, as it is told once."""
    try:
        ledger.create(layout.notice_path(notice.name), notice.model_dump_json(indent=1).encode())
    except AlreadyExists:
        return False
    return True


def mark_sent(ledger: Root, name: str, host: str, status: int, now: datetime) -> None:
    """Remembers that a webhook took it; whoever sent it first is remembered."""
    said = Sent(sent_at=now, host=host, status=status)
    with suppress(AlreadyExists):
        ledger.create(layout.sent_notice_path(name), said.model_dump_json().encode())


def read_notices(ledger: Root) -> list[Stored]:
    """Every notice, by when it was issued. Raises LakeError for one that is none."""
    infos = [(match, info) for info in ledger.list("notices") if (match := _NOTICE.fullmatch(info.path))]
    texts = read_each(ledger, [info for _, info in infos])
    notices: dict[str, Notice] = {}
    sent: dict[str, Sent] = {}
    for (match, info), text in zip(infos, texts, strict=True):
        if match["sent"]:
            sent[match["name"]] = _parsed(Sent, ledger.uri_of(info.path), text)
        else:
            notices[match["name"]] = _parsed(Notice, ledger.uri_of(info.path), text)
    found = [Stored(notice, sent.get(name)) for name, notice in notices.items()]
    return sorted(found, key=lambda one: (one.notice.issued_at, one.notice.name))


def covered(notices: Sequence[Stored]) -> dict[int, int]:
    """Use, by its position, to the ledger position up to which withdrawals were told."""
    found: dict[int, int] = {}
    for one in notices:
        if one.notice.reason == "withdrawal":
            found[one.notice.use_position] = max(one.notice.up_to, found.get(one.notice.use_position, 0))
    return found


def _parsed(model: type[ModelT], where: str, text: bytes) -> ModelT:
    try:
        return parse(model, json.loads(text), where)
    except (ValueError, ConfigError) as error:
        raise LakeError(f"{where} is no notice: {error}") from None
