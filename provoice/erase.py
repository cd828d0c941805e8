"""What `provoice erase` says: what would go, and what went."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from lake.lake import Lake
from pipelines.erase import closure
from pipelines.erase.erase import Outcome, Planned, Wanted, erase, plan
from pipelines.erase.record import unfinished
from pipelines.erase.releases import people_in_releases
from pipelines.erase.subjects import who_has_withdrawn
from pipelines.notices.webhook import check_environment
from provoice.lineage import lineage, of_erasure
from provoice.words import hours, several, size
from schemas.errors import ConfigError
from schemas.instants import to_text


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line."""

    lake_uri: str
    subjects: tuple[str, ...]
    due: bool = False
    is_sure: bool = False
    raw: bool = False
    engine: str = "local"
    as_json: bool = False


def command(asked: Asked) -> str:
    """Erases, or says what would be erased, as text or as one JSON object a line."""
    if bool(asked.subjects) == asked.due:
        raise ConfigError("say whom to erase: --subject ID (as often as you like), or --due; not both")
    lake = Lake.open(asked.lake_uri)
    wanted = _wanted(lake, asked)
    if not wanted:
        return "{}\n" if asked.as_json else f"{lake.root.uri}: nobody who has withdrawn has anything left in it\n"
    check_environment()
    if not asked.is_sure:
        return "".join(_would(lake, one, asked) for one in wanted)
    lake.root.check_exclusive_create()
    return "".join(_did(lake, one, asked) for one in wanted)


def _wanted(lake: Lake, asked: Asked) -> list[Wanted]:
    """Whom: those who are named, or all who are due, who go together, for each rewriting costs."""
    if not asked.due:
        return [Wanted(asked.subjects, asked.raw, asked.engine)]
    begun = [one.started for one in unfinished(lake)]
    known = {subject for one in begun for subject in one.subjects}
    ended = [subject for subject in who_has_withdrawn(lake.ledger()) if subject not in known]
    found = closure.find(lake, ended).touched["people"].to_pylist() if ended else []
    due = sorted({subject for people in found for subject in people} | (people_in_releases(lake) & set(ended)))
    wanted = [Wanted(one.subjects, one.raw, asked.engine) for one in begun]
    return wanted + ([Wanted(tuple(due), asked.raw, asked.engine)] if due else [])


# --- what would go ----------------------------------------------------------------------------------------------------


def _would(lake: Lake, wanted: Wanted, asked: Asked) -> str:
    said = plan(lake, wanted.subjects)
    if asked.as_json:
        return json.dumps(_planned_object(said)) + "\n"
    words = ["provoice", "erase", asked.lake_uri, *(w for s in wanted.subjects for w in ("--subject", s))]
    again = shlex.join([*words, *(["--raw"] if wanted.raw else []), "--yes"])
    lines = [f"{lake.root.uri}: would erase {_people(wanted.subjects)}", *_going(said, wanted.raw)]
    return "\n".join([*lines, "nothing was erased; this does it:", again]) + "\n"


def _going(said: Planned, raw: bool) -> Iterator[str]:
    found = said.closure
    for subject, at in said.withdrawn_at.items():
        yield f"  withdrawn   {subject}, {to_text(at)}"
    recordings = len(found.recordings())
    spoken = f"{several(found.utterances, 'utterance')}, {hours(found.audio_s)}"
    yield f"  goes        {spoken}, of {several(recordings, 'recording')}"
    yield (
        f"  rewritten   {several(said.units, 'unit')} ({several(said.objects, 'object')}, {size(said.size_bytes)}: "
        f"read once, and what is left written), {several(said.plans, 'plan')}"
    )
    if found.others:
        yield f"  also loses  {several(found.others, 'other person', 'other people')}, who cannot be told apart in it"
    if found.kept:
        among = several(found.kept_recordings, "recording")
        yield f"  stays       {several(found.kept, 'utterance')} of others in {among} where they are heard, too"
    for release in said.releases:
        yield f"  replaced    release {release.name}@{release.version}"
    if not raw and recordings:
        yield f"  remains     {several(recordings, 'raw source')}; --raw deletes those in which nobody else is heard"
    if said.again_at is not None:
        yield f"  again       at {to_text(said.again_at)}, when no worker can have any of it in hand"


def _planned_object(said: Planned) -> dict[str, object]:
    found = said.closure
    return {
        "subjects": list(found.subjects),
        "withdrawn_at": {subject: to_text(at) for subject, at in said.withdrawn_at.items()},
        "utterances": found.utterances,
        "audio_s": found.audio_s,
        "recordings": len(found.recordings()),
        "units": said.units,
        "objects": said.objects,
        "size_bytes": said.size_bytes,
        "plans": said.plans,
        "other_people": found.others,
        "kept_utterances": found.kept,
        "releases": [f"{one.name}@{one.version}" for one in said.releases],
        "again_at": None if said.again_at is None else to_text(said.again_at),
    }


# --- what went --------------------------------------------------------------------------------------------------------


def _did(lake: Lake, wanted: Wanted, asked: Asked) -> str:
    show = _progress if sys.stderr.isatty() and not asked.as_json else _nothing
    with lineage("erase") as told:
        told.start(lambda: of_erasure(lake))
        outcome = erase(lake, wanted, show)
        told.know(lambda: of_erasure(lake, outcome))
    if show is _progress:
        sys.stderr.write("\r\x1b[K")
    if asked.as_json:
        return json.dumps(_outcome_object(outcome)) + "\n"
    return "\n".join([f"{lake.root.uri}: {_headline(outcome)}", *_told(outcome)]) + "\n"


def _headline(outcome: Outcome) -> str:
    whom, number = _people(outcome.erasure.started.subjects), outcome.erasure.number
    return f"erased {whom} (erasure {number})" if outcome.is_finished else f"erasing {whom} (erasure {number})"


def _told(outcome: Outcome) -> Iterator[str]:
    yield (
        f"  {several(outcome.units, 'unit')} rewritten, {several(outcome.removed, 'object')} removed "
        f"({size(outcome.removed_bytes)}), in {hours(outcome.wall_s)}"
    )
    for old, new in outcome.replaced.items():
        yield f"  release {old} is replaced by {new}" if new else f"  release {old} is gone: all of it was erased"
    if outcome.told.failed:
        yield f"  nobody who trained on it was told: {outcome.told.failed}; `provoice notify` does that"
    if outcome.told.written:
        yield f"  {several(len(outcome.told.written), 'notice')} written to whoever trained on it"
    if outcome.told.unsent:
        yield f"  {len(outcome.told.unsent):,} of them not sent: {outcome.told.why}; `provoice notify` tries again"
    if outcome.versions:
        yield f"  {several(outcome.versions, 'older version')} removed, which the store had kept"
    for one in outcome.kept:
        until = f", recoverable until {to_text(one.recoverable_until)}" if one.recoverable_until else ""
        yield f"  {one.count:,} {one.what}{until}: {one.why}"
    if outcome.raw_deleted:
        yield f"  {several(outcome.raw_deleted, 'raw source')} deleted"
    for reason, count in outcome.raw_remaining.items():
        yield f"  {several(count, 'raw source')} left where {'it is' if count == 1 else 'they are'}: {reason}"
    if outcome.foreign:
        yield f"  {several(len(outcome.foreign), 'object')} under names that are not ours, which cannot be read:"
        yield from (f"    {one}" for one in outcome.foreign[:3])
    if outcome.young:
        yield f"  {several(len(outcome.young), 'object')} that somebody may be writing now, not looked into:"
        yield from (f"    {one}" for one in outcome.young[:3])
    if outcome.certificate:
        yield f"  certificate {outcome.certificate} (provisional: `provoice audit scan` has to pass)"
    if not outcome.is_finished and outcome.again_at is not None:
        yield (
            "  not finished: a worker may still have some of it in hand; start the same command again after "
            f"{to_text(outcome.again_at)}"
        )


def _outcome_object(outcome: Outcome) -> dict[str, object]:
    started = outcome.erasure.started
    return {
        "erasure": outcome.erasure.number,
        "subjects": list(started.subjects),
        "is_finished": outcome.is_finished,
        "again_at": None if outcome.again_at is None else to_text(outcome.again_at),
        "looks": outcome.looks,
        "units": outcome.units,
        "removed": outcome.removed,
        "removed_bytes": outcome.removed_bytes,
        "replaced": outcome.replaced,
        "notices": outcome.told.written,
        "notices_not_sent": outcome.told.unsent,
        "certificate": outcome.certificate or None,
        "versions": outcome.versions,
        "kept": [one.model_dump(mode="json") for one in outcome.kept],
        "raw_deleted": outcome.raw_deleted,
        "raw_remaining": outcome.raw_remaining,
        "not_looked_into": [*outcome.young, *outcome.foreign],
        "wall_s": outcome.wall_s,
        "said_at": to_text(datetime.now(UTC)),
    }


def _people(subjects: Sequence[str]) -> str:
    return subjects[0] if len(subjects) == 1 else f"{len(subjects):,} people"


def _nothing(_what: str, _count: int) -> None: ...


def _progress(what: str, count: int) -> None:
    sys.stderr.write(f"\r\x1b[K{count:,} {what}")
    sys.stderr.flush()
