"""Grants and events as people write them down: JSONL, or CSV with one rule per line."""

from __future__ import annotations

import csv
import hashlib
import io
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
    """Events in `path`; a line that is a bare grant becomes a `given` event, recorded at `recorded_at` unless it says
    when. Ids are digests of the content, so that the same file imported twice says everything once."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as UTF-8 text: {error}") from None
    rows = _csv_grants(path, text) if path.suffix.lower() == ".csv" else _json_lines(path, text)
    for where, row in rows:
        event = parse(Event, _as_event(row, recorded_at, where), where)
        _check_plain(event, where)
        yield event


def _check_plain(event: Event, where: str) -> None:
    """Refuses what could be read as wider than it was meant."""
    if event.subject_id is not None and not event.subject_id.strip():
        raise ConfigError(f"{where}: `subject_id` is empty")
    scope = event.grant.scope if event.grant is not None else None
    if scope is None:
        return
    if scope.kind != "collected" and (scope.collected_from is not None or scope.collected_until is not None):
        raise ConfigError(
            f"{where}: a scope of kind `{scope.kind}` has no dates; one with dates is of kind `collected`"
        )
    if scope.kind != "recordings" and scope.recordings:
        raise ConfigError(f"{where}: a scope of kind `{scope.kind}` lists no recordings; make it kind `recordings`")


def _as_event(row: dict[str, Any], recorded_at: datetime, where: str) -> dict[str, Any]:
    event: dict[str, Any] = dict(row) if "type" in row else {"type": EventType.GIVEN.value, "grant": row}
    # Whoever withdraws all, gives anew and withdraws all once more says the same words twice: without an instant the
    # second time would pass for the first, and be skipped.
    says_which = any(event.get(name) for name in ("grant_id", "event_id", "recorded_at"))
    if event["type"] in [kind for kind in EventType if kind is not EventType.GIVEN] and not says_which:
        raise ConfigError(f"{where}: a `{event['type']}` that names no grant_id says when, in `recorded_at`")
    grant = event.get("grant")
    if event["type"] == EventType.GIVEN and isinstance(grant, dict):
        event.setdefault("subject_id", grant.get("subject_id"))
        event.setdefault("grant_id", grant.get("grant_id"))
    content = json.dumps(event, sort_keys=True, default=str)
    event.setdefault("event_id", hashlib.sha256(content.encode()).hexdigest()[:32])
    event.setdefault("recorded_at", recorded_at)
    return event


def _json_lines(path: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    # Not splitlines(): a note may hold U+2028, which is no end of a line of JSON.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = json.loads(line, object_pairs_hook=_once)
        except ValueError as error:
            raise ConfigError(f"{where}: not JSON: {error}") from None
        if not isinstance(row, dict):
            raise ConfigError(f"{where}: expected an object with an event or a grant")
        yield where, row


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose keys stand once each: of two windows none is the one that was meant."""
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for n, (key, _) in enumerate(pairs) if key in dict(pairs[:n]))
        raise ValueError(f"key `{twice}` stands there twice")
    return found


def _csv_grants(path: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """One line per rule; lines of one grant_id stand together in its grant and must agree on all but the rule."""
    grants: dict[str, tuple[str, dict[str, Any]]] = {}
    for where, row in _csv_lines(path, text):
        rule = {c: _several(row[c]) for c in ("action", *TERMS)} | {"effect": row["effect"]}
        if row.get("durable_until"):
            rule["durable_until"] = row["durable_until"]
        head: dict[str, Any] = {c: row[c] for c in _GRANT_COLUMNS} | {"scope": _scope(row)}
        first_where, grant = grants.setdefault(row["grant_id"], (where, {**head, "rules": []}))
        if any(grant[c] != head[c] for c in head):
            raise ConfigError(f"{where}: grant {head['grant_id']} was begun at {first_where} with other words")
        grant["rules"].append(rule)
    for where, grant in grants.values():
        parse(Grant, grant, where)
        yield where, grant


def _csv_lines(path: Path, text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Each line below the header, its cells by column, without the space around them."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = [cell.strip() for cell in next(reader, [])]
        _check_columns(path, columns)
        for cells in reader:
            where = f"{path}, line {reader.line_num}"
            if not any(cells):
                continue
            if len(cells) != len(columns):
                raise ConfigError(f"{where}: {len(cells)} cells under {len(columns)} columns; lists are joined by `;`")
            yield where, dict(zip(columns, (cell.strip() for cell in cells), strict=True))
    except csv.Error as error:
        raise ConfigError(f"{path}, line {reader.line_num}: not CSV: {error}") from None


def _check_columns(path: Path, columns: list[str]) -> None:
    known = (*_GRANT_COLUMNS, *_RULE_COLUMNS, *_SCOPE_COLUMNS)
    for n, column in enumerate(columns):
        if column not in known:
            raise ConfigError(f"{path}: unknown column `{column}`{nearest(column, known)}")
        if column in columns[:n]:
            raise ConfigError(f"{path}: column `{column}` stands there twice")
    missing = [c for c in (*_GRANT_COLUMNS, "effect", "action", *TERMS) if c not in columns]
    if missing:
        raise ConfigError(f"{path}: columns missing: {', '.join(missing)}")


def _several(cell: str) -> list[str]:
    return [part.strip() for part in cell.split(";") if part.strip()]


def _scope(row: dict[str, str]) -> dict[str, Any]:
    dates = {c: row[c] for c in ("collected_from", "collected_until") if row.get(c)}
    return {"kind": row.get("scope") or ("collected" if dates else "all"), **dates}
