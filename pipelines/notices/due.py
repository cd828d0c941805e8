"""Which notices are due: worked out from ledger and releases alone, so that whoever asks next finds the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from pipelines.notices.notice import WHAT_TO_DO, Notice, Stored, covered
from pipelines.notices.uses import Ending, Uses
from schemas.releases import ReleaseRecord, Share

_Row = dict[str, Any]


def due(uses: Uses, known: Sequence[Stored], now: datetime, days: float) -> Iterator[Notice]:
    """What is to be told and was not: of each registered use, by its position in the ledger."""
    told, names = covered(known), {one.notice.name for one in known}
    for row in uses.used:
        record = uses.records.get(row["release"]["sha256"])
        if record is None:
            continue  # a release of another lake with this ledger, whose own `provoice notify` tells
        found = [*_erased(uses, record), *_withdrawn(uses, record, told.get(row["position"], 0))]
        for values in found:
            name = f"{_name(row)}-{values['reason'][0]}{values['up_to']:012d}"
            if name not in names:
                yield _notice(uses, row, record, values, name, now, days)


def _erased(uses: Uses, record: ReleaseRecord) -> Iterator[_Row]:
    """A notice for each version that took this one's place: what was left out each time was in it."""
    versions = uses.versions_since(record)
    for old, new in zip(versions, [*versions[1:], None], strict=True):
        said = old.replaced
        if said is None:
            continue
        left_out = new.replaces.left_out if new is not None and new.replaces is not None else old.chosen
        number = said.erasure or 0
        yield {"reason": "erasure", "taken_back": left_out, "replaced_by": said.by, "up_to": number}


def _withdrawn(uses: Uses, record: ReleaseRecord, since: int) -> Iterator[_Row]:
    """What was taken back beyond position `since`, of people who are not erased yet; of those a notice tells that."""
    last = uses.versions_since(record)[-1]
    if last.replaced is not None:
        return
    new = [(one, ending) for one, ending in uses.ended(last) if ending.position > since]
    if new:
        yield {"reason": "withdrawal", "taken_back": _share(new), "up_to": max(end.position for _, end in new)}


def _share(found: Sequence[tuple[_Row, Ending]]) -> Share:
    return Share(
        # An utterance of two people counts for each of them here: the rows are by person.
        utterances=sum(row["utterances"] for row, _ in found),
        audio_s=round(sum(row["audio_s"] for row, _ in found), 6),
        people=len({row["subject_id"] for row, _ in found}),
    )


def _notice(
    uses: Uses, row: _Row, record: ReleaseRecord, values: _Row, name: str, now: datetime, days: float
) -> Notice:  # fmt: skip
    return Notice(
        name=name,
        lake=uses.lake.root.uri,
        release=record.name,
        version=record.version,
        release_sha256=record.sha256,
        model=row["model"],
        owner=row["owner"],
        used_at=row["recorded_at"],
        use_position=row["position"],
        issued_at=now,
        due_at=now + timedelta(days=days),
        what_to_do=WHAT_TO_DO[values["reason"]],
        **values,
    )


def _name(row: _Row) -> str:
    """Of a use, the same for whoever looks; positions alone would be another ledger's, too."""
    said = repr((row["position"], row["release"]["sha256"], row["model"], row["owner"]))
    return hashlib.blake2b(said.encode(), digest_size=16).hexdigest()
