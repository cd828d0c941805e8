"""Grants and events as people write them down: JSONL, or CSV with one rule per line."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from schemas.consent import TERMS, Grant
from schemas.errors import ConfigError
from schemas.ledger import Event, EventType
from schemas.model import nearest, parse

_GRANT_COLUMNS = ("grant_id", "subject_id", "evidence_sha256", "jurisdiction", "valid_from", "valid_until")
_RULE_COLUMNS = ("effect", "action", *TERMS, "durable_until")
_SCOPE_COLUMNS = ("scope", "collected_from", "collected_until")


def read_events(path: Path, recorded_at: datetime) -> Iterator[Event]:
    """Events in `path`; a line that is a bare grant becomes a `given` event. Ids are digests of the content, so that
    the same file imported twice says everything once."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as UTF-8 text: {error}") from None
    rows = _csv_grants(path, text) if path.suffix.lower() == ".csv" else _json_lines(path, text)
    for where, row in rows:
        yield parse(Event, _as_event(row, recorded_at), where)


def _as_event(row: dict[str, Any], recorded_at: datetime) -> dict[str, Any]:
    event: dict[str, Any] = dict(row) if "type" in row else {"type": EventType.GIVEN.value, "grant": row}
    grant = event.get("grant")
    if event["type"] == EventType.GIVEN and isinstance(grant, dict):
        event.setdefault("subject_id", grant.get("subject_id"))
        event.setdefault("grant_id", grant.get("grant_id"))
    content = json.dumps({**event, "recorded_at": None}, sort_keys=True, default=str)
    event.setdefault("event_id", hashlib.sha256(content.encode()).hexdigest()[:32])
    event.setdefault("recorded_at", recorded_at)
    return event


def _json_lines(path: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ConfigError(f"{where}: not JSON: {error}") from None
        if not isinstance(row, dict):
            raise ConfigError(f"{where}: expected an object with an event or a grant")
        yield where, row


def _csv_grants(path: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """One line per rule; lines of one grant_id stand together in its grant and must agree on all but the rule."""
    reader = csv.DictReader(text.splitlines())
    known = (*_GRANT_COLUMNS, *_RULE_COLUMNS, *_SCOPE_COLUMNS)
    for column in reader.fieldnames or ():
        if column not in known:
            raise ConfigError(f"{path}: unknown column `{column}`{nearest(column, known)}")
    missing = [c for c in (*_GRANT_COLUMNS, "effect", "action", *TERMS) if c not in (reader.fieldnames or ())]
    if missing:
        raise ConfigError(f"{path}: columns missing: {', '.join(missing)}")
    grants: dict[str, tuple[str, dict[str, Any]]] = {}
    for number, row in enumerate(reader, 2):
        where = f"{path}, line {number}"
        rule = {c: _several(row[c]) for c in ("action", *TERMS)} | {"effect": row["effect"]}
        if row.get("durable_until"):
            rule["durable_until"] = row["durable_until"]
        head = {c: row[c] for c in _GRANT_COLUMNS} | {"scope": _scope(row)}
        first_where, grant = grants.setdefault(head["grant_id"], (where, {**head, "rules": []}))
        if any(grant[c] != head[c] for c in head):
            raise ConfigError(f"{where}: grant {head['grant_id']} was begun at {first_where} with other words")
        grant["rules"].append(rule)
    for where, grant in grants.values():
        parse(Grant, grant, where)
        yield where, grant


def _several(cell: str | None) -> list[str]:
    return [part.strip() for part in (cell or "").split(";") if part.strip()]


def _scope(row: dict[str, str]) -> dict[str, Any]:
    dates = {c: row[c] for c in ("collected_from", "collected_until") if row.get(c)}
    return {"kind": row.get("scope") or ("collected" if dates else "all"), **dates}
