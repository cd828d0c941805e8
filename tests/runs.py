"""Builders of whole runs, for tests: the functions that the command line calls, with few words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lake.lake import Lake
from pipelines.catalogue import load_catalogue
from pipelines.config import load_config
from pipelines.run import Progress, Request, execute, start
from pipelines.sources import parse_source
from provoice.sql import connect
from schemas.ledger import Event
from tests.consents import given, grant

QUICK = ("diarize.backend=single", "workers=2")


def request_for(
    sources: Path,
    lake: Path | str,
    config: str = "configs/explore.yaml",
    settings: Sequence[str] = QUICK,
    catalogue: Path | None = None,
    run_id: str | None = None,
) -> Request:
    made = Lake.create_or_open(str(lake))
    rows = load_catalogue(str(catalogue)) if catalogue else None
    return Request(made, load_config(config, settings), [parse_source(f"raw={sources}")], rows, run_id)


def run(*args: Any, **named: Any) -> Progress | None:
    """Runs to the end; None when there was nothing to do."""
    request = request_for(*args, **named)
    started = start(request)
    return None if started is None else execute(request, started, lambda _: None)


def rows(lake: Path | str, query: str) -> list[tuple[Any, ...]]:
    with connect(Lake.open(str(lake))) as connection:
        return connection.execute(query).fetchall()


def catalogue_file(path: Path, entries: dict[str, Sequence[str]], complete: bool = True, **extra: Any) -> Path:
    """A JSONL catalogue: path or prefix (ends with `/`) to subjects."""
    lines = []
    for place, people in entries.items():
        key = "prefix" if place.endswith(("/", "*")) else "path"
        lines.append(json.dumps({key: place, "subjects": list(people), "complete": complete, **extra}))
    path.write_text("\n".join(lines) + "\n")
    return path


def with_grants(lake: Path | str, *people: str) -> Lake:
    """A lake whose ledger holds a grant for everything, for a century, from each."""
    made = Lake.create_or_open(str(lake))
    window = {"valid_from": datetime(2020, 1, 1, tzinfo=UTC), "valid_until": datetime(2120, 1, 1, tzinfo=UTC)}
    events: list[Event] = [given(grant(person, **window)) for person in people]
    made.ledger().append(events)
    return made


def digests(lake: Path) -> dict[str, str]:
    """Path within the lake to SHA-256, of every committed tar and part."""
    from lake.reader import LakeReader

    stored = [o for _, commit in LakeReader(Lake.open(str(lake))).commits for o in commit.objects]
    found = {o.path: hashlib.sha256((lake / o.path).read_bytes()).hexdigest() for o in stored}
    assert all(found[o.path] == o.sha256 for o in stored)
    return found
