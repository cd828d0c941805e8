"""`provoice consent check`: may this utterance or recording be used so, and what says so?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from lake.lake import Lake
from lake.ledger import Ledger
from pipelines.gate import consent_record
from pipelines.uses import read_use
from provoice.asking import plain
from provoice.consent_layout import laid_out
from provoice.history import Row, SourceStory, Story, find
from provoice.sql import connect, records
from schemas.catalogue import CatalogueRow
from schemas.consent import ConsentRecord
from schemas.errors import ConfigError
from schemas.instants import parse_instant
from transforms.consent_history import ConsentHistory, follow
from transforms.consent_remedies import remedies
from transforms.consent_words import Explanation, explain

_PLANNED = """
select catalogue_row, catalogue_row_sha256 from plans
where source_root = $1 and source_path = $2 order by run_number desc limit 1
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is printed, and whether the use is allowed."""

    text: str
    is_allowed: bool


def check(
    lake_uri: str, name: str, use_file: str, *, at: str | None, position: int | None, as_json: bool, width: int
) -> Answer:
    """The decision on `name` (an utterance key, recording id, path or URI), explained rule by rule.

    Raises ConfigError where the name, the use or the instant is not what it should be, ConsentError where the ledger
    cannot be read.
    """
    use = read_use(use_file)
    instant = datetime.now(UTC) if at is None else parse_instant(at, "--at")
    lake = Lake.open(lake_uri)
    story = find(lake, name)
    source = _only(name, story.sources)
    record, about = _record(lake, story, source)
    history = history_of(lake.ledger(), record, position)
    told = explain(record, use, history, instant)
    if as_json:
        return Answer(json.dumps(plain(as_object(told, about)), ensure_ascii=False) + "\n", told.decision.is_allowed)
    return Answer(laid_out(told, about, width), told.decision.is_allowed)


def _only(name: str, sources: Sequence[SourceStory]) -> SourceStory:
    if len(sources) == 1:
        return sources[0]
    ids = ", ".join(f"{source.root} ({_id(source)})" for source in sources)
    raise ConfigError(f"{name} stands under several roots; name one of these by its recording id: {ids}")


def _id(source: SourceStory) -> str:
    told = _told(source)
    return str(told["recording_id"]) if told else "not committed yet"


def _told(source: SourceStory) -> Row | None:
    """The source's current row, or its newest."""
    return next((row for row in source.rows if row["is_current"]), source.rows[0] if source.rows else None)


def _record(lake: Lake, story: Story, source: SourceStory) -> tuple[ConsentRecord, list[str]]:
    """What is decided on, and lines that say what it is. What was not emitted is asked by its catalogue row."""
    where = f"{source.path} (root {source.root})"
    row, told = story.utterance, _told(source)
    if row is not None:
        stale = [] if row["is_current"] else ["a later run has superseded it: no release takes it"]
        return record_of(row, source, row["lineage"]["catalogue_row_sha256"]), [
            f"utterance {row['key']}",
            where,
            *stale,
        ]
    if told is not None and told["status"] == "emitted":
        return record_of(told, source, told["catalogue_row_sha256"]), [f"recording {told['recording_id']}", where]
    with connect(lake, "plans") as connection:
        planned = records(connection, _PLANNED, [source.root, source.path])[0]
    text = planned["catalogue_row"]
    catalogue = CatalogueRow.model_validate_json(text) if text else CatalogueRow()
    became = "not committed yet" if told is None else f"{told['status']} at {told['stage']}: {told['reason']}"
    about = [f"source {where}", f"{became}; nothing of it is published, so its catalogue row is asked"]
    return consent_record(source.root, source.path, catalogue, planned["catalogue_row_sha256"]), about


def record_of(row: Row, source: SourceStory, row_sha256: str | None) -> ConsentRecord:
    """What the decision reads of a row of `utterances` or `recordings`.

    A row from before `grant_ids` was a column is narrowed to the grants that it was taken in on.
    """
    links = row["consent"] or ()
    taken_in_on = {link["grant_id"] for link in links if link["grant_id"]}
    return ConsentRecord(
        subject_ids=tuple(sorted({link["subject_id"] for link in links})),
        complete=row["consent_complete"],
        source_root=source.root,
        source_path=source.path,
        collected_at=row["collected_at"],
        grant_ids=tuple(sorted(taken_in_on) if row["grant_ids"] is None else row["grant_ids"]),
        catalogue_row_sha256=row_sha256,
    )


def history_of(ledger: Ledger, record: ConsentRecord, position: int | None) -> ConsentHistory:
    """The first `position` events, all of them unless told: those that say something of this record."""
    head = ledger.head()
    if position is not None and not 0 <= position <= head:
        raise ConfigError(f"--position {position}: the ledger stands at position {head}")
    last = head if position is None else position
    place = (record.source_root, record.source_path)
    about = ledger.events_about(record.subject_ids, [place])
    history = follow((at, event) for at, event in about if at <= last)
    history.state.position = last
    return history


def as_object(told: Explanation, about: Sequence[str]) -> dict[str, Any]:
    """The explanation as JSON knows it, the verdict first."""
    decision = told.decision
    first = told.first
    return {
        "allowed": decision.is_allowed,
        "allowed_until": decision.allowed_until,
        "reason": first.reason if first else None,
        "position": decision.position,
        "at": decision.at,
        "vocabulary_version": told.vocabulary.version if told.vocabulary else None,
        "use": told.use.model_dump(mode="json"),
        "about": list(about),
        "record": asdict(told.record),
        "justifications": [asdict(one) for one in decision.justifications],
        "denials": [asdict(one) for one in decision.denials],
        "remedies": list(remedies(told)),
        "subjects": [asdict(subject) for subject in told.subjects],
    }
