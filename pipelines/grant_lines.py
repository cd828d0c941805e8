"""Bare grants, a line of JSON each, whose rules stand there in the same words as in a line before.

Ledgers of millions of grants know a few sets of rules. These are read, checked and written once, and each grant without
them, which is twice as fast; where anything is out of the ordinary the line is left to `pipelines.grants`, which says
the same of all others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from schemas.consent import Rule
from schemas.ledger import Event, EventType

CONTENT = json.JSONEncoder(sort_keys=True, default=str)
"""What an event says, in one spelling: its id is a digest of this."""

_RULES = '"rules":'
_PLACE = "\x01"
_PLACED = f'"rules": {CONTENT.encode(_PLACE)}'
_MOST = 10_000


def id_of(event: Mapping[str, Any]) -> str:
    """The id of an event that has none of its own."""
    return _id(CONTENT.encode(event))


def _id(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def keys_in(row: Mapping[str, Any]) -> int:
    """Keys of a mapping and of those within it. One that is overlooked makes the line look odd, and is read slowly."""
    keys = len(row)
    for value in row.values():
        if type(value) is dict:
            keys += keys_in(value)
        elif type(value) is list and value and type(value[0]) is dict:
            keys += sum(keys_in(one) for one in value if type(one) is dict)
    return keys


@dataclass(frozen=True, slots=True)
class _Rules:
    rules: tuple[Rule, ...]
    content: str
    line: bytes


class KnownRules:
    """Remembers the rules of the lines that it has read."""

    def __init__(self) -> None:
        self._known: dict[str, _Rules] = {}

    def event(self, text: str, recorded_at: datetime) -> tuple[Event, bytes] | None:
        """The event of a bare grant, and its line in the ledger; None where the line is not plainly one."""
        head, _, rest = text.partition(_RULES)
        if not rest.endswith("}") or _RULES in rest or "\\" in text:
            return None
        known = self._known.get(rest) or self._learnt(rest)
        row = _mapping(f"{head}{_RULES}null}}")
        if known is None or row is None or "type" in row or row.get("rules", "") is not None:
            return None
        row["rules"] = _PLACE
        said: dict[str, Any] = {"type": EventType.GIVEN.value, "grant": row}
        said |= {name: row.get(name) for name in ("subject_id", "grant_id")}
        content = CONTENT.encode(said)
        if content.count(_PLACED) != 1:
            return None
        said["event_id"] = _id(content.replace(_PLACED, f'"rules": {known.content}'))
        said["recorded_at"] = recorded_at
        row["rules"] = known.rules
        try:
            event = Event.model_validate(said)
        except ValidationError:
            return None
        line = event.model_dump_json(exclude_none=True, exclude={"grant": {"rules"}}).encode()
        # A grant ends with its rules, and a bare one's event with its grant.
        return event, line[:-2] + b',"rules":' + known.line + b"}}"

    def _learnt(self, rest: str) -> _Rules | None:
        row = _mapping(f'{{"rules":{rest}')
        if row is None or list(row) != ["rules"] or type(row["rules"]) is not list:
            return None
        try:
            rules = tuple(Rule.model_validate(rule) for rule in row["rules"])
        except ValidationError:
            return None
        if not rules:
            return None
        if len(self._known) >= _MOST:
            self._known.clear()
        line = ",".join(rule.model_dump_json(exclude_none=True) for rule in rules)
        self._known[rest] = found = _Rules(rules, CONTENT.encode(row["rules"]), f"[{line}]".encode())
        return found


def _mapping(text: str) -> dict[str, Any] | None:
    """A JSON object whose keys stand once each; None where it is none, or may not be."""
    try:
        row = from_json(text)
    except ValueError:
        return None
    return row if type(row) is dict and keys_in(row) == text.count('":') else None
