"""Everything that is known of one person, as data: what they allowed, what is held of them, what it was used for, until
when, and what is left after an erasure. Of others who are heard with them it says how many they are, and no more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lake.lake import Lake
from lake.reader import LakeReader
from pipelines.erase.certificate import Certificate, certificates, newest_certificate
from pipelines.notices.models import Model, models
from pipelines.notices.uses import Ending, Uses, read_uses
from pipelines.person.held import Held, held_of
from schemas.consent import Grant
from schemas.ledger import EventType
from schemas.releases import ReleaseRecord
from transforms.consent import fold

_Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Permission:
    """A grant of theirs, and where it stands."""

    grant: Grant
    standing: str
    """valid, expired, not_yet_valid, or what ended it."""
    ended: Ending | None


@dataclass(frozen=True, slots=True)
class HeldRecording:
    """A recording in which they are heard."""

    source_root: str
    source_path: str
    collected_at: datetime | None
    status: str
    reason: str | None
    is_current: bool
    """False: a later run has made it anew, and this is not removed yet."""
    others: int
    """How many other people are known to be heard in it."""
    utterances: int
    audio_s: float


@dataclass(frozen=True, slots=True)
class InRelease:
    """How much of theirs is, or was, in a release, on one grant and rule."""

    record: ReleaseRecord
    grant_id: str
    rule: int
    utterances: int
    audio_s: float
    allowed_until: datetime


@dataclass(frozen=True, slots=True)
class Opened:
    """Somebody opened a release with them in it."""

    release: str
    owner: str
    purpose: str | None
    at: datetime


@dataclass(frozen=True)
class PersonReport:
    """The report."""

    subject_id: str
    lake: str
    at: datetime
    ledger_position: int
    permissions: tuple[Permission, ...]
    recordings: tuple[HeldRecording, ...]
    planned: tuple[tuple[str, str], ...]
    """Root and path of recordings that name them, and of which nothing was prepared."""
    texts: int
    """Utterances with a transcript."""
    accents: dict[str, int]
    """Accent labels of their utterances, by how they came about: declared or predicted."""
    releases: tuple[InRelease, ...]
    models: tuple[Model, ...]
    openings: tuple[Opened, ...]
    events: dict[str, int]
    """What the ledger has of them, by kind."""
    certificates: tuple[Certificate, ...]

    @property
    def utterances(self) -> int:
        return sum(one.utterances for one in self.recordings)

    @property
    def audio_s(self) -> float:
        return round(sum(one.audio_s for one in self.recordings), 3)

    @property
    def is_known(self) -> bool:
        """Whether anything at all is known under this name."""
        return bool(self.permissions or self.recordings or self.planned or self.releases or self.events)


def report_on(lake: Lake, subject_id: str, now: datetime) -> PersonReport:
    """Reads what is known of `subject_id`. Raises ConsentError, LakeError."""
    uses = read_uses(lake)
    ledger = lake.ledger()
    events = list(ledger.events_about([subject_id], ()))
    held = held_of(LakeReader(lake), subject_id)
    releases = tuple(_releases(uses, subject_id))
    own = {one.record.sha256 for one in releases}
    named = {row["model"] for row in uses.used if row["release"]["sha256"] in own}
    return PersonReport(
        subject_id=subject_id,
        lake=lake.root.uri,
        at=now,
        ledger_position=ledger.position,
        permissions=tuple(_permission(grant, uses, now) for grant in _grants(events, subject_id)),
        recordings=_recordings(held),
        planned=tuple(held.planned),
        texts=sum(row["text"] is not None for row in held.utterances),
        accents=dict(Counter(row["accent"]["origin"] for row in held.utterances if _has_label(row))),
        releases=releases,
        models=tuple(one for one in models(uses) if one.model in named),
        openings=tuple(_opened(row) for row in uses.opened if row["release"]["sha256"] in own),
        events=dict(Counter(event.type.value for _, event in events if event.subject_id == subject_id)),
        certificates=tuple(_certificates(lake, subject_id)),
    )


def _certificates(lake: Lake, subject_id: str) -> Iterator[Certificate]:
    """Of their erasures, as each stands now: provisional until a scan has passed."""
    for one in certificates(lake):
        if subject_id in one.subjects:
            yield newest_certificate(lake, one.number).certificate


def _has_label(row: _Row) -> bool:
    return row["accent"] is not None and row["accent"]["label"] is not None


def _grants(events: Sequence[Any], subject_id: str) -> Iterator[Grant]:
    state = fold(events)
    for name in state.grants_of.get(subject_id, ()):
        yield state.grants[name].grant


def _permission(grant: Grant, uses: Uses, now: datetime) -> Permission:
    ending = uses.endings.of(grant.subject_id, grant.grant_id)
    if ending is not None:
        return Permission(grant, ending.type, ending)
    if now < grant.valid_from:
        return Permission(grant, "not_yet_valid", None)
    return Permission(grant, "expired" if now >= grant.valid_until else "valid", None)


def _recordings(held: Held) -> tuple[HeldRecording, ...]:
    count: Counter[tuple[str, str]] = Counter()
    seconds: Counter[tuple[str, str]] = Counter()
    for row in held.utterances:
        name = row["run_id"], row["recording_id"]
        count[name] += 1
        seconds[name] += row["duration_s"] or 0.0  # type: ignore[assignment]  # a Counter adds floats as well
    found = [
        HeldRecording(
            row["source_root"], row["source_path"], row["collected_at"], row["status"], row["reason"],
            row["is_current"], len({link["subject_id"] for link in row["consent"]}) - 1,
            count[row["run_id"], row["recording_id"]], round(seconds[row["run_id"], row["recording_id"]], 3),
        )
        for row in held.recordings
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda one: (one.source_root, one.source_path, not one.is_current)))


def _releases(uses: Uses, subject_id: str) -> Iterator[InRelease]:
    import pyarrow.compute as pc

    for record in uses.records.values():
        rows = uses.audit(record)
        if rows is None:
            continue
        for row in rows.filter(pc.equal(rows["subject_id"], subject_id)).to_pylist():
            yield InRelease(
                record, row["grant_id"], row["rule"], row["utterances"], row["audio_s"], row["allowed_until"]
            )


def _opened(row: _Row) -> Opened:
    release = row["release"]
    return Opened(f"{release['name']}@{release['version']}", row["owner"], row["purpose"], row["recorded_at"])


def erased_at(report: PersonReport) -> datetime | None:
    """When the last erasure of theirs was done; None where there was none."""
    if EventType.ERASED.value not in report.events or not report.certificates:
        return None
    return max(one.clocks.purged_at for one in report.certificates)
