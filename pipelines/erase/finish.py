"""The end of an erasure, once a look has found nothing: raw sources, what stores keep, the certificate, and forgetting
whom it was about.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from lake import layout
from lake.lake import Lake
from lake.storage import Root
from pipelines.erase import closure as closures
from pipelines.erase.announce import announce
from pipelines.erase.certificate import Certificate, Clocks, Remaining, issue
from pipelines.erase.clock import Clock
from pipelines.erase.kept import purge_lake, purge_paths
from pipelines.erase.outcome import Outcome
from pipelines.erase.raw import Raw, delete_raw
from pipelines.erase.record import Erasure, Finished, Looked
from pipelines.erase.subjects import withdrawn_at
from pipelines.erase.told import copies_of, digests_of, exceptions_of, replaced_releases
from pipelines.notices.notice import read_notices
from pipelines.notices.tell import tell_if_possible
from schemas.errors import LakeError
from schemas.ledger import EventType

if TYPE_CHECKING:
    import pyarrow as pa


def finish(lake: Lake, erasure: Erasure, touched: pa.Table | None, outcome: Outcome, clock: Clock) -> None:
    """Ends it, and says so in `outcome`; what is done already is not done again. `touched`: all that its looks found;
    None where who went before has given it up already, which is after the certificate was made.

    Only when raw sources and versions are gone, too, the certificate is made: that is when all of it was purged.
    """
    root, path = lake.ledger().root, layout.certificate_path(erasure.number, 0)
    if root.exists(path):  # who went before came so far
        outcome.certificate = root.uri_of(path)
    elif touched is None:
        raise LakeError(
            f"erasure {erasure.number} has neither a certificate nor what its looks found: {root.uri_of(path)}"
        )
    else:
        outcome.told = tell_if_possible(lake, clock.now())
        storage = _raw_and_kept(lake, erasure, touched, outcome, clock.now())
        said = _certificate(lake, erasure, touched, outcome, storage, clock.now())
        outcome.certificate, _ = issue(lake, said)
    purge_paths(root, erasure.forget(outcome.looks), clock.now())
    announce(lake, erasure.started, EventType.ERASED, clock.now(), path)
    purge_paths(root, [erasure.finish(Finished(finished_at=clock.now()))], clock.now())
    outcome.is_finished = True


def _notified_at(lake: Lake, number: int) -> datetime | None:
    """When the first who trained on a release that this erasure replaced was told; None where nobody had to be."""
    try:
        found = [one.notice for one in read_notices(lake.ledger().root) if one.notice.lake == lake.root.uri]
    except LakeError:
        return None  # said by who tried to tell
    about = (one.issued_at for one in found if one.reason == "erasure" and one.up_to == number)
    return min(about, default=None)


def _looked(erasure: Erasure, outcome: Outcome) -> list[Looked]:
    return [said for look in range(1, outcome.looks + 1) if (said := erasure.looked(look)) is not None]


def _raw_and_kept(
    lake: Lake, erasure: Erasure, touched: pa.Table, outcome: Outcome, now: datetime
) -> list[Remaining]:  # fmt: skip
    """Deletes raw sources if that was asked for, and ends what stores keep; what they do not let go."""
    raw = delete_raw(lake, touched, is_asked=erasure.started.raw)
    outcome.raw_deleted, outcome.raw_remaining = len(raw.deleted), dict(raw.remaining)
    looked = _looked(erasure, outcome)
    kept = [purge_lake(lake, sum(said.removed for said in looked), now)]
    ledger = lake.ledger().root
    if not ledger.uri.startswith(lake.root.uri_of("")):
        # Before they are deleted, so that the certificate can say what is kept of them.
        folder = layout.erasure_folder(erasure.number)
        kept.append(purge_paths(ledger, [f"{folder}/closure-{said.look}.parquet" for said in looked], now))
    if erasure.started.raw:
        kept += [purge_paths(root, paths, now) for root, paths in _by_root(raw)]
    outcome.versions = sum(one.versions for one in kept)
    outcome.kept = tuple(one for found in kept for one in found.remaining)
    return list(outcome.kept)


def _by_root(raw: Raw) -> list[tuple[Root, list[str]]]:
    found: dict[str, tuple[Root, list[str]]] = {}
    for root, path in raw.gone:
        found.setdefault(root.uri, (root, []))[1].append(path)
    return list(found.values())


def _certificate(
    lake: Lake, erasure: Erasure, touched: pa.Table, outcome: Outcome, storage: Sequence[Remaining], now: datetime
) -> Certificate:
    started, looked = erasure.started, _looked(erasure, outcome)
    units, sources, utterances = digests_of(lake, touched)
    releases = replaced_releases(lake, started.number)
    places = set(zip(touched["source_root"].to_pylist(), touched["source_path"].to_pylist(), strict=True))
    contents = set(touched["source_sha256"].drop_null().to_pylist())
    denied_at = withdrawn_at(lake.ledger(), started.subjects)
    return Certificate(
        number=started.number,
        lake=lake.root.uri,
        ledger=lake.ledger().root.uri,
        subjects=started.subjects,
        raw=started.raw,
        clocks=Clocks(
            denied_at=denied_at, began_at=started.began_at, purged_at=now,
            notified_at=_notified_at(lake, started.number),
        ),
        looks=len(looked),
        recordings=len(set(touched["recording_id"].to_pylist())),
        sources_erased=sources,
        utterances_erased=utterances,
        units=units,
        releases=releases,
        objects_swept=sum(said.removed for said in looked),
        bytes_swept=sum(said.removed_bytes for said in looked),
        suppressed=len(places) + len(contents),
        exceptions=exceptions_of(
            lake, erasure, touched, raw=outcome.raw_remaining, young=outcome.young, foreign=outcome.foreign,
            shared=closures.still_there(lake, touched), storage=storage,
        ),
        copies=copies_of(lake, releases),
    )  # fmt: skip
