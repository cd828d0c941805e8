"""Uses that lean on a grant which had ended before: a release decided on it, or a model trained on such a release."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from pipelines.notices.uses import Ending, Uses
from schemas.consent import ConsentRecord
from schemas.ledger import Event
from schemas.releases import ReleaseRecord
from transforms.consent import decide, fold

_Row = dict[str, Any]


def uses_after_withdrawal(uses: Uses) -> Iterator[_Row]:
    """A row per release or registered use and audit row whose grant had ended by then; there should be none.

    Openings are left out: the loader and exports hand out nothing that the ledger denies when they look.
    """
    for record in uses.records.values():
        ended = uses.ended(record)
        for row, ending in ended:
            if ending.position <= record.ledger_position:
                yield _said("released", record, row, ending, record.ledger_position, record.decided_at, None, None)
        for used in uses.used if ended else ():
            if used["release"]["sha256"] == record.sha256:
                yield from _used(uses, record, used, ended)


def _used(uses: Uses, record: ReleaseRecord, used: _Row, ended: Sequence[tuple[_Row, Ending]]) -> Iterator[_Row]:
    before = [(row, ending) for row, ending in ended if ending.position < used["position"]]
    people = sorted({row["subject_id"] for row, _ in before})
    if not people:
        return
    events = [pair for pair in uses.lake.ledger().events_about(people, ()) if pair[0] < used["position"]]
    for row, ending in before:
        if not _is_allowed_anew(row["subject_id"], record, events, used["recorded_at"]):
            yield _said(
                "used", record, row, ending, used["position"], used["recorded_at"], used["model"], used["owner"]
            )


def _is_allowed_anew(
    subject_id: str, record: ReleaseRecord, events: Sequence[tuple[int, Event]], at: datetime
) -> bool:  # fmt: skip
    """Whether another grant of theirs, about everything of theirs, permitted the use by then: a renewal."""
    anybody = ConsentRecord((subject_id,), True, "", "")
    return decide(anybody, record.use, fold(events), at).is_allowed


def _said(
    what: str, record: ReleaseRecord, row: _Row, ending: Ending, position: int, at: datetime, model: str | None,
    owner: str | None,
) -> _Row:  # fmt: skip
    return {
        "what": what, "release": record.name, "version": record.version, "model": model, "owner": owner,
        "action": record.use.action.value, "position": position, "used_at": at, "subject_id": row["subject_id"],
        "grant_id": row["grant_id"], "rule": row["rule"], "utterances": row["utterances"], "audio_s": row["audio_s"],
        "ended": ending.type, "ended_position": ending.position, "ended_at": ending.at,
    }  # fmt: skip
