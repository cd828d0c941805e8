"""Opening a release: nothing is handed out before the ledger has been asked, and the opening is recorded."""

from __future__ import annotations

import logging
import sys
import uuid
from collections.abc import Collection
from typing import Literal

from lake.lake import Lake
from lake.releases import check_not_replaced, read_release
from provoice.loader.dataset import Options, ReleaseDataset
from provoice.loader.gate import Gate, OnDenied
from provoice.loader.index import Index
from provoice.loader.permissions import Permissions
from provoice.loader.places import moved_rows
from provoice.loader.samples import FIELDS
from provoice.loader.share import Seat, Share
from provoice.loader.watch import Clock, Watch, utc_now
from schemas.errors import ConfigError, ConsentError, LakeError
from schemas.ledger import Event, EventType, ReleaseRef
from schemas.model import nearest
from schemas.releases import ReleaseRecord

Record = Literal[True, False, "require"]
_log = logging.getLogger("provoice.loader")


def open_release(
    lake_uri: str,
    name: str,
    version: int | None = None,
    *,
    owner: str,
    purpose: str,
    decode: bool = False,
    fields: Collection[str] = FIELDS,
    verify: bool = False,
    shuffle: bool = False,
    seed: int = 0,
    buffer: int = 1000,
    recheck_interval_s: float = 300.0,
    on_denied: OnDenied = "refuse",
    record: Record = True,
    rank: int | None = None,
    world_size: int | None = None,
    clock: Clock = utc_now,
) -> ReleaseDataset:
    """A release's utterances as an iterable of dicts; the newest version, unless told. docs/loader.md explains each
    option and what it costs.

    `owner` answers for the opening and `purpose` says what it is for: both go into the ledger. Raises ConfigError where
    the request is wrong, ConsentError where a row may not be used any more or the ledger cannot be asked, LakeError
    where the store fails.
    """
    options = _options(fields, decode=decode, verify=verify, shuffle=shuffle, seed=seed, buffer=buffer)
    _check(owner, purpose, recheck_interval_s, on_denied, record)
    place = Seat.of_rank(rank, world_size)
    lake = Lake.open(lake_uri)
    release = read_release(lake, name, version)
    check_not_replaced(release)
    index = Index(lake, release)
    share = Share(0, index.rows).part(place.number, place.of)
    watch = Watch(lake.ledger(), release, recheck_interval_s, clock)
    gate = Gate(lake_uri, release, watch, Permissions(index, share, release.use), on_denied)
    gate.look()
    # After the decision, which is refused sooner so; nothing is handed out before both.
    index.check(share)
    moved = moved_rows(lake, index, share)
    gate.erased([row for row, where in moved.items() if where is None])
    if place.number == 0 and Seat.of_worker() is None:
        _record(_opening(lake, release, watch, owner, purpose, clock), watch, release, record)
    dataset = ReleaseDataset(lake, release, place, share, gate, moved, options)
    _introduce_to_torch()
    return dataset


def _options(
    fields: Collection[str], *, decode: bool, verify: bool, shuffle: bool, seed: int, buffer: int
) -> Options:  # fmt: skip
    unknown = [field for field in fields if field not in FIELDS]
    if unknown or isinstance(fields, str):
        said = unknown[0] if unknown else str(fields)
        raise ConfigError(f"fields is a list of {', '.join(FIELDS)}, not `{said}`{nearest(said, FIELDS)}")
    if buffer < 1:
        raise ConfigError(f"buffer counts samples that are shuffled among each other, at least 1, got {buffer}")
    return Options(frozenset(fields), decode, verify, shuffle, seed, buffer)


def _check(owner: str, purpose: str, recheck_interval_s: float, on_denied: str, record: object) -> None:
    for name, value in (("owner", owner), ("purpose", purpose)):
        if not isinstance(value, str) or not value.strip():
            raise ConfigError(f"{name} must say something: it is recorded with the opening")
    if not recheck_interval_s > 0:
        raise ConfigError(f"recheck_interval_s is seconds between two looks at the ledger, got {recheck_interval_s}")
    if on_denied not in ("refuse", "skip"):
        raise ConfigError(f'on_denied is "refuse" or "skip", got {on_denied!r}')
    if record not in (True, False, "require"):
        raise ConfigError(f'record is True, False or "require", got {record!r}')


def _opening(lake: Lake, release: ReleaseRecord, watch: Watch, owner: str, purpose: str, clock: Clock) -> Event:
    ref = ReleaseRef(
        lake=lake.root.uri,
        name=release.name,
        version=release.version,
        sha256=release.sha256,
        ledger_position=watch.position,
    )
    return Event(
        event_id=f"opened-{uuid.uuid4()}",
        type=EventType.OPENED,
        recorded_at=clock(),
        release=ref,
        owner=owner.strip(),
        purpose=purpose.strip(),
    )


def _record(event: Event, watch: Watch, release: ReleaseRecord, record: Record) -> None:
    """Adds the opening to the ledger. Where that fails, or is not wanted, the release may refuse to be opened."""
    is_required = record == "require" or release.demands.record_openings
    named = f"release {release.name} {release.version}"
    if record is False:
        if is_required:
            raise ConsentError(f"{named} demands that openings are recorded; leave record=False out")
        return
    try:
        watch.record(event)
    except (LakeError, ConsentError) as error:
        if is_required:
            raise ConsentError(f"{named} is not opened, for that cannot be recorded: {error}") from None
        _log.warning("the opening of %s could not be recorded in the ledger: %s", named, error)


def _introduce_to_torch() -> None:
    """Tells PyTorch's DataLoader what the dataset is, where there is one: torch is never imported for it."""
    data = sys.modules.get("torch.utils.data")
    if data is not None:
        data.IterableDataset.register(ReleaseDataset)
