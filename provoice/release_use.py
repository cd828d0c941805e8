"""`provoice release use`: what was trained on a release, for ever, so that whoever withdraws can be told."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime

from lake.lake import Lake
from lake.releases import read_release
from pipelines.notices.uses import read_uses
from schemas.errors import ConfigError
from schemas.ledger import Event, EventType, ReleaseRef


@dataclass(frozen=True, slots=True)
class Registered:
    """A use as it stands in the ledger."""

    position: int
    release: str
    version: int
    release_sha256: str
    model: str
    owner: str
    people_withdrawn: int = 0
    """People in the release who have taken that back by now."""


def register_use(
    lake_uri: str, name: str, version: int | None, *, model: str, owner: str, note: str | None = None
) -> Registered:
    """Appends a `used` event. What happened is recorded whatever the ledger says of it by now.

    Saying the same again changes nothing: its event bears the same id, and the first of an id counts. Raises
    ConfigError where there is no such release, or nobody answers for it.
    """
    for word, value in (("--model", model), ("--owner", owner)):
        if not value.strip():
            raise ConfigError(f"{word} must say something: it is recorded for ever")
    lake = Lake.open(lake_uri)
    release = read_release(lake, name, version)
    ledger = lake.ledger()
    before = ledger.head()
    said = [release.sha256, model.strip(), owner.strip(), note or ""]
    digest = hashlib.blake2b(json.dumps(said).encode(), digest_size=16).hexdigest()
    event = Event(
        event_id=f"used-{digest}",
        type=EventType.USED,
        recorded_at=datetime.now(UTC),
        release=ReleaseRef(
            lake=lake.root.uri,
            name=release.name,
            version=release.version,
            sha256=release.sha256,
            ledger_position=before,
        ),
        owner=owner.strip(),
        model=model.strip(),
        note=note,
    )
    ledger.append([event])
    # Others may have written before and after us.
    position = next(position for position, one in ledger.events(before) if one.event_id == event.event_id)
    gone = len({row["subject_id"] for row, _ in read_uses(lake).ended(release)})
    return Registered(position, release.name, release.version, release.sha256, model.strip(), owner.strip(), gone)
