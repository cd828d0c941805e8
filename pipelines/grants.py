"""Grants and events as people write them down: JSONL, or CSV with one rule per line."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
from array import array
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError
from pydantic_core import from_json

from pipelines.grant_lines import KnownRules, id_of, keys_in
from schemas.consent import TERMS, Grant
from schemas.errors import ConfigError
from schemas.ledger import Event, EventType
from schemas.model import nearest, parse

_GRANT_COLUMNS = ("grant_id", "subject_id", "evidence_sha256", "jurisdiction", "valid_from", "valid_until")
_RULE_COLUMNS = ("effect", "action", *TERMS, "durable_until")
_SCOPE_COLUMNS = ("scope", "collected_from", "collected_until")


_MASK = (1 << 64) - 1
_CHUNK_ROWS = 5_000
_SMALL_BYTES = 32 << 20
"""A CSV file of no more is held whole while its lines are put together to grants."""


class Lines(NamedTuple):
    """Some lines of a file, each a text of JSON or a grant put together from CSV, with the numbers they stand at."""

    path: str
    numbers: list[int]
    rows: list[str | dict[str, Any]]


def read_events(path: Path, recorded_at: datetime) -> Iterator[Event]:
    """Events in `path`; a line that is a bare grant becomes a `given` event, recorded at `recorded_at` unless it says
    when. Ids are digests of the content, so that the same file imported twice says everything once."""
    for lines in read_lines(path):
        yield from (event for _, event, _ in events_in(lines, recorded_at))


def read_lines(path: Path) -> Iterator[Lines]:
    """The file's lines, some thousand at a time, not yet looked at. Raises ConfigError where it is no text, or no
    CSV."""
    rows: Iterator[tuple[int, str | dict[str, Any]]] = iter(_texts(path))
    if path.suffix.lower() == ".csv":
        rows = iter(_csv_grants(path))
    try:
        while some := list(itertools.islice(rows, _CHUNK_ROWS)):
            yield Lines(str(path), [number for number, _ in some], [row for _, row in some])
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as UTF-8 text: {error}") from None


def events_in(lines: Lines, recorded_at: datetime) -> Iterator[tuple[int, Event, bytes]]:
    """(line number, event, its line in the ledger without the end) of each. Raises ConfigError naming file and line."""
    rules = KnownRules()
    for number, row in zip(lines.numbers, lines.rows, strict=True):
        where = f"{lines.path}, line {number}"
        found = rules.event(row, recorded_at) if isinstance(row, str) else None
        if found is None:
            event = _event(row, recorded_at, where)
            found = event, event.model_dump_json(exclude_none=True).encode()
        _check_plain(found[0], where)
        yield number, *found


def _event(row: str | dict[str, Any], recorded_at: datetime, where: str) -> Event:
    said = _json_row(row, where) if isinstance(row, str) else row
    try:
        return Event.model_validate(_as_event(said, recorded_at, where))
    except ValidationError:
        if not isinstance(row, str):
            parse(Grant, said, where)  # in the words of the file's columns
        return parse(Event, _as_event(said, recorded_at, where), where)


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
    if event["type"] in _NOT_GIVEN and not says_which:
        raise ConfigError(f"{where}: a `{event['type']}` that names no grant_id says when, in `recorded_at`")
    grant = event.get("grant")
    if event["type"] == EventType.GIVEN and isinstance(grant, dict):
        event.setdefault("subject_id", grant.get("subject_id"))
        event.setdefault("grant_id", grant.get("grant_id"))
    if "event_id" not in event:
        event["event_id"] = id_of(event)
    event.setdefault("recorded_at", recorded_at)
    return event


_NOT_GIVEN = tuple(kind.value for kind in EventType if kind is not EventType.GIVEN)


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    # Not splitlines(): a note may hold U+2028, which is no end of a line of JSON.
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line.removesuffix("\n")


def _json_row(text: str, where: str) -> dict[str, Any]:
    row: Any = None
    with contextlib.suppress(ValueError):  # said better below, or a spelling that only the other reader knows
        row = from_json(text)
    if not isinstance(row, dict) or keys_in(row) != text.count('":'):
        # Marks within words, or a key that stands there twice.
        try:
            row = json.loads(text, object_pairs_hook=_once)
        except ValueError as error:
            raise ConfigError(f"{where}: not JSON: {error}") from None
    if not isinstance(row, dict):
        raise ConfigError(f"{where}: expected an object with an event or a grant")
    return row


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose keys stand once each: of two windows none is the one that was meant."""
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for n, (key, _) in enumerate(pairs) if key in dict(pairs[:n]))
        raise ValueError(f"key `{twice}` stands there twice")
    return found


def _csv_grants(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """One line per rule; lines of one grant_id stand together in its grant and must agree on all but the rule.

    They need not stand together in the file: of a large one, those grants whose lines do not are held in memory.
    """
    is_small = path.stat().st_size <= _SMALL_BYTES
    scattered = None if is_small else _scattered(path)
    whole = dict(_together(path, _csv_lines(path), scattered))
    if scattered is None:
        yield from whole.values()
        return
    for name, lines in itertools.groupby(_csv_lines(path), key=lambda line: line[1]["grant_id"]):
        if name not in scattered:
            yield from (grant for _, grant in _together(path, lines, None))
        elif name in whole:
            yield whole.pop(name)


def _together(
    path: Path, lines: Iterable[tuple[int, dict[str, str]]], names: set[str] | None
) -> Iterator[tuple[str, tuple[int, dict[str, Any]]]]:
    """The grants of these ids (None: of all), each with its first line and all its rules, in the order of the file."""
    grants: dict[str, tuple[int, dict[str, Any]]] = {}
    for number, row in lines:
        if names is not None and row["grant_id"] not in names:
            continue
        rule: dict[str, Any] = {c: _several(row[c]) for c in ("action", *TERMS)}
        rule["effect"] = row["effect"]
        if row.get("durable_until"):
            rule["durable_until"] = row["durable_until"]
        head: dict[str, Any] = {c: row[c] for c in _GRANT_COLUMNS}
        head["scope"] = _scope(row)
        first, grant = grants.setdefault(row["grant_id"], (number, {**head, "rules": []}))
        if any(grant[c] != head[c] for c in head):
            begun = f"grant {head['grant_id']} was begun at {path}, line {first} with other words"
            raise ConfigError(f"{path}, line {number}: {begun}")
        grant["rules"].append(rule)
    for name, (number, grant) in grants.items():
        yield name, (number, grant)


def _scattered(path: Path) -> set[str]:
    """Ids of grants whose lines do not all stand together. Finds them with eight bytes for each grant."""
    begun = array("Q")
    for name, _ in itertools.groupby(row["grant_id"] for _, row in _csv_lines(path)):
        begun.append(hash(name) & _MASK)
    marks = np.sort(np.frombuffer(begun, np.uint64))
    again = set(marks[1:][marks[1:] == marks[:-1]].tolist())
    if not again:
        return set()
    # Of two names with one mark neither need be scattered; to be held in memory does them no harm.
    return {row["grant_id"] for _, row in _csv_lines(path) if hash(row["grant_id"]) & _MASK in again}


def _csv_lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Each line below the header, by its number: its cells by column, without the space around them."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from _cells_of(path, csv.reader(file, strict=True))


def _cells_of(path: Path, reader: Any) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        columns = [cell.strip() for cell in next(reader, [])]
        _check_columns(path, columns)
        for cells in reader:
            if not any(cells):
                continue
            if len(cells) != len(columns):
                said = f"{len(cells)} cells under {len(columns)} columns; lists are joined by `;`"
                raise ConfigError(f"{path}, line {reader.line_num}: {said}")
            yield reader.line_num, dict(zip(columns, (cell.strip() for cell in cells), strict=True))
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
