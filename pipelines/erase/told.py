"""What a certificate tells: digests before and after, releases that were replaced, who holds copies, and what stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lake.commits import read_commit, read_generation
from lake.lake import Lake
from lake.releases import list_releases
from pipelines.erase.certificate import Copy, Digests, Remaining, ReplacedRelease
from schemas.ledger import Event, EventType
from schemas.records import Commit

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.erase.record import Erasure
    from schemas.releases import ReleaseRecord


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
                sha256_before=sha256_of(before), sha256_after=sha256_of(after),
            )
        )  # fmt: skip
    return tuple(found), sources, utterances


def sha256_of(commit: Commit) -> tuple[str, ...]:
    """Of the objects that it names."""
    return tuple(sorted(stored.sha256 for stored in commit.objects))


def replaced_releases(lake: Lake, number: int) -> tuple[ReplacedRelease, ...]:
    """The versions that the erasure of this number replaced."""
    return tuple(
        ReplacedRelease(name=one.name, version=one.version, sha256=one.sha256, by=one.replaced.by)
        for one in list_releases(lake)
        if one.replaced is not None and one.replaced.erasure == number
    )


def copies_of(lake: Lake, releases: Sequence[ReplacedRelease]) -> tuple[Copy, ...]:
    """Whoever opened one of these, or a version that it once stood in for, or trained on it, as the ledger has it."""
    known = _with_earlier(lake, releases)
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


def _with_earlier(lake: Lake, releases: Sequence[ReplacedRelease]) -> set[str]:
    """Digests of these and of what earlier erasures replaced by them: those held all that these hold."""
    replaced: dict[tuple[str, int | None], list[ReleaseRecord]] = {}
    for one in list_releases(lake) if releases else ():
        if one.replaced is not None:
            replaced.setdefault((one.name, one.replaced.by), []).append(one)
    found = {one.sha256 for one in releases}
    waiting = [(one.name, one.version) for one in releases]
    while waiting:
        earlier = replaced.get(waiting.pop(), [])
        found |= {one.sha256 for one in earlier}
        waiting += [(one.name, one.version) for one in earlier]
    return found


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
    why = "events, audit rows and notices about them, by pseudonym, and this certificate"
    found = [
        Remaining(what="ledger", count=people, why=why),
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
