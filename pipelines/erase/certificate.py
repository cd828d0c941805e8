"""The certificate of an erasure: what went, from where to where, what stays and why, and when.

`certificates/<number>.<generation>.json` in the ledger's root holds it with its signature, and the page beside it says
the same to a person. Generation 0 is provisional: it is what the erasure says of itself. It names nobody but by
pseudonym, no path of a source and no key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from pydantic import Field

from lake import layout
from lake.commits import read_commit, read_generation
from lake.lake import Lake
from lake.releases import list_releases
from pipelines.erase.page import page
from pipelines.erase.signing import Signature, sign
from schemas.errors import AlreadyExists, ConfigError, LakeError
from schemas.instants import Instant
from schemas.ledger import Event, EventType
from schemas.model import Frozen, parse
from schemas.records import FORMAT_VERSION, Commit

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.erase.record import Erasure

PROVISIONAL = "provisional"
_FIRST = re.compile(r"certificates/(\d+)\.0\.json")


class Digests(Frozen):
    """A unit before and after."""

    run_id: str
    unit_id: str
    generation: int
    replaced_generation: int
    sha256_before: tuple[str, ...]
    """Of the objects that its commit named; those that are not in `sha256_after` are deleted."""
    sha256_after: tuple[str, ...]


class ReplacedRelease(Frozen):
    """A release in which somebody was heard who is erased."""

    name: str
    version: int
    sha256: str
    by: int | None
    """The version that stands in for it; None where nothing was left."""


class Remaining(Frozen):
    """Something that stays."""

    what: str
    count: int
    why: str
    where: tuple[str, ...] = ()
    recoverable_until: Instant | None = None
    """When the store gives it up by itself; None: it does not say, or it is not about that."""


class Copy(Frozen):
    """Somebody opened a release in which they were heard, or trained on it: whom to tell."""

    release: str
    what: str
    owner: str
    at: Instant
    position: int


class Clocks(Frozen):
    """Denied, purged, notified, proved."""

    denied_at: dict[str, Instant]
    """When each withdrew: from then on everything was denied."""
    began_at: Instant
    purged_at: Instant
    notified_at: Instant | None = None
    proved_at: Instant | None = None


class Certificate(Frozen):
    """What an erasure certifies."""

    format_version: int = FORMAT_VERSION
    number: int
    generation: int = 0
    status: str = PROVISIONAL
    lake: str
    ledger: str
    subjects: tuple[str, ...]
    raw: bool = False
    """Whether raw sources were to go, too."""
    clocks: Clocks
    looks: int
    recordings: int
    """Recordings in which they were heard, however often they were prepared."""
    sources_erased: int
    """Sources of the runs' accounts that count as erased now and did not before."""
    utterances_erased: int
    units: tuple[Digests, ...] = ()
    releases: tuple[ReplacedRelease, ...] = ()
    objects_swept: int
    """Objects that the looks deleted; where one was broken off, those that were left for who went on."""
    bytes_swept: int
    suppressed: int = Field(ge=0)
    """Entries of the suppression list."""
    exceptions: tuple[Remaining, ...] = ()
    copies: tuple[Copy, ...] = ()

    def text(self) -> bytes:
        """Canonical JSON: what is signed."""
        content = self.model_dump(mode="json")
        return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class Signed(Frozen):
    """The file: a certificate, and who says so; None where no key was configured."""

    certificate: Certificate
    signature: Signature | None = None


def issue(lake: Lake, certificate: Certificate) -> tuple[str, Signed]:
    """Signs the certificate if a key is configured, and stores it with its page; its URI, and what holds: this, or what
    whoever came first had stored."""
    root = lake.ledger().root
    path = layout.certificate_path(certificate.number, certificate.generation)
    signed = Signed(certificate=certificate, signature=sign(certificate.text()))
    try:
        root.create(path, signed.model_dump_json(indent=1).encode())
    except AlreadyExists:
        signed = read_certificate(lake, certificate.number, certificate.generation)
    with suppress(AlreadyExists):
        shown = page(signed.certificate.model_dump(mode="json"), signed.signature)
        root.create(layout.certificate_path(certificate.number, certificate.generation, "html"), shown)
    return root.uri_of(path), signed


def read_certificate(lake: Lake, number: int, generation: int = 0) -> Signed:
    """A certificate as stored. Raises Missing, and LakeError where it is none."""
    root = lake.ledger().root
    path = layout.certificate_path(number, generation)
    try:
        return parse(Signed, json.loads(root.read(path)), root.uri_of(path))
    except (ValueError, ConfigError) as error:
        raise LakeError(f"{root.uri_of(path)} is not a certificate: {error}") from None


def certificates(lake: Lake) -> list[Certificate]:
    """Every certificate of this lake as it was first issued, by number."""
    root = lake.ledger().root
    found = (_FIRST.fullmatch(info.path) for info in root.list("certificates"))
    every = [read_certificate(lake, number).certificate for number in sorted(int(one[1]) for one in found if one)]
    return [one for one in every if one.lake == lake.root.uri]


def digests_of(lake: Lake, touched: pa.Table) -> tuple[tuple[Digests, ...], int, int]:
    """Every unit that was rewritten before and after; and how many sources and utterances less it accounts for."""
    first: dict[tuple[str, str], int] = {}
    for row in touched.select(["run_id", "unit_id", "generation"]).to_pylist():
        unit = row["run_id"], row["unit_id"]
        if row["generation"] is not None:
            first[unit] = min(row["generation"], first.get(unit, row["generation"]))
    found: list[Digests] = []
    sources = utterances = 0
    for (run_id, unit_id), generation in sorted(first.items()):
        before, after = read_generation(lake, run_id, unit_id, generation), read_commit(lake, run_id, unit_id)
        if before is None or after is None or before.generation == after.generation:
            continue
        sources += after.counts.erased - before.counts.erased
        utterances += before.counts.utterances - after.counts.utterances
        found.append(
            Digests(
                run_id=run_id, unit_id=unit_id, generation=after.generation, replaced_generation=generation,
                sha256_before=_sha256_of(before), sha256_after=_sha256_of(after),
            )
        )  # fmt: skip
    return tuple(found), sources, utterances


def _sha256_of(commit: Commit) -> tuple[str, ...]:
    return tuple(sorted(stored.sha256 for stored in commit.objects))


def replaced_releases(lake: Lake, number: int) -> tuple[ReplacedRelease, ...]:
    """The versions that the erasure of this number replaced."""
    return tuple(
        ReplacedRelease(name=one.name, version=one.version, sha256=one.sha256, by=one.replaced.by)
        for one in list_releases(lake)
        if one.replaced is not None and one.replaced.erasure == number
    )


def copies_of(lake: Lake, releases: Sequence[ReplacedRelease]) -> tuple[Copy, ...]:
    """Whoever opened one of these, or trained on it, as the ledger has it."""
    known = {one.sha256 for one in releases}
    if not known:
        return ()
    return tuple(
        Copy(
            release=f"{event.release.name}@{event.release.version}", what=_said(event), owner=event.owner or "",
            at=event.recorded_at, position=position,
        )
        for position, event in lake.ledger().events()
        if event.type in (EventType.OPENED, EventType.USED) and event.release and event.release.sha256 in known
    )  # fmt: skip


def _said(event: Event) -> str:
    if event.type is EventType.USED:
        return f"trained {event.model}" if event.model else "trained on it"
    return f"opened for {event.purpose}" if event.purpose else "opened it"


def places_in_ledger(lake: Lake, subjects: Sequence[str], touched: pa.Table) -> int:
    """Places of their sources that the ledger names: in what was said about catalogue rows, and in grants."""
    sources = {
        (row["source_root"], row["source_path"])
        for row in touched.select(["source_root", "source_path"]).to_pylist()
        if row["source_path"] is not None
    }
    named: set[tuple[str, str]] = set()
    for _, event in lake.ledger().events_about(subjects, sources):
        if event.type is EventType.CATALOGUE_CHANGED:
            named.add((event.source_root or "", event.source_path or ""))
        elif event.grant is not None:
            named |= {(one.root, one.path) for one in event.grant.scope.recordings}
    return len(named)


def exceptions_of(
    lake: Lake, erasure: Erasure, touched: pa.Table, *, raw: Mapping[str, int], young: Sequence[str],
    foreign: Sequence[str], shared: int, storage: Sequence[Remaining],
) -> tuple[Remaining, ...]:  # fmt: skip
    """Everything that stays, in a person's words."""
    people = len(erasure.started.subjects)
    found = [
        Remaining(what="ledger", count=people, why="events about them, by pseudonym, and this certificate"),
        *(
            Remaining(what="raw sources", count=count, why=f"left where they are: {reason}")
            for reason, count in sorted(raw.items())
        ),
    ]
    places = places_in_ledger(lake, erasure.started.subjects, touched)
    if places:
        found.append(Remaining(what="places in the ledger", count=places, why="events are never edited"))
    if shared:
        why = "others are heard in them, too: their rows name the recording and its path"
        found.append(Remaining(what="shared recordings", count=shared, why=why))
    if young:
        why = "being written, or left by a writer that died within the last hours"
        found.append(Remaining(what="unfinished files", count=len(young), why=why, where=tuple(young)))
    if foreign:
        why = "under names that are not ours, and neither tar nor Parquet"
        found.append(Remaining(what="foreign files", count=len(foreign), why=why, where=tuple(foreign)))
    return (*found, *storage)
