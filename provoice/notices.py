"""What `provoice notify` and `provoice model` say: who was told what, and what becomes of models."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from lake.lake import Lake
from pipelines.notices.models import MOVES, Model, State, models
from pipelines.notices.notice import Notice, Stored, read_notices
from pipelines.notices.tell import Told, tell
from pipelines.notices.uses import read_uses
from provoice.words import hours, several
from schemas.errors import ConfigError
from schemas.instants import to_text
from schemas.ledger import Event, EventType, ReleaseRef
from schemas.model import nearest


def notify(lake_uri: str, *, as_json: bool) -> tuple[str, bool]:
    """Writes and sends what is due; what is said, and whether a webhook took all that there was."""
    lake = Lake.open(lake_uri)
    told = tell(lake, datetime.now(UTC))
    if as_json:
        return json.dumps(asdict(told)) + "\n", not told.unsent
    return "".join(f"{line}\n" for line in said(told)), not told.unsent


def said(told: Told) -> list[str]:
    """What was written and sent, in words."""
    lines = [f"{several(len(told.written), 'notice')} written" if told.written else "no new notice"]
    if told.has_webhook:
        lines.append(f"  {len(told.sent):,} sent")
    if told.unsent:
        lines.append(f"  {len(told.unsent):,} not sent: {told.why}; `provoice notify` tries again")
    return lines


def acknowledge(lake_uri: str, name: str, owner: str) -> str:
    """Records that whoever answers for a use has read its notice. Saying it again changes nothing."""
    lake = Lake.open(lake_uri)
    notice = _notice(read_notices(lake.ledger().root), name)
    _check_owner(owner, [notice.owner], f"notice {name}")
    ledger = lake.ledger()
    event = Event(
        event_id=_event_id("acknowledged", name),
        type=EventType.ACKNOWLEDGED,
        recorded_at=datetime.now(UTC),
        release=ReleaseRef(
            lake=notice.lake, name=notice.release, version=notice.version, sha256=notice.release_sha256,
            ledger_position=ledger.head(),
        ),
        owner=owner.strip(),
        model=notice.model,
        note=name,
    )  # fmt: skip
    ledger.append([event])
    return f"acknowledged: {name}, about {notice.model or 'a use'} on {notice.release}@{notice.version}\n"


def mark(lake_uri: str, name: str, state: str, owner: str, reason: str | None) -> str:
    """Records what becomes of a registered model."""
    lake = Lake.open(lake_uri)
    found = _model(models(read_uses(lake)), name)
    _check_owner(owner, found.owners, f"model {name}")
    to = State(state)
    if to is State.EXEMPT and not (reason or "").strip():
        raise ConfigError("an exemption needs its --reason: it is recorded for ever, and a steward reads it")
    now = datetime.now(UTC)
    event = Event(
        event_id=_event_id(to.value, name, owner, reason or "", to_text(now)),
        type=MOVES[to],
        recorded_at=now,
        owner=owner.strip(),
        model=name,
        note=(reason or "").strip() or None,
    )
    if found.state is to and found.reason == event.note:
        return f"{name} is {_words(to)} already, since {to_text(found.since)}\n"
    position = lake.ledger().append([event])
    return f"recorded at ledger position {position}: {name} is {_words(to)} (was {_words(found.state)})\n"


def list_models(lake_uri: str, *, as_json: bool) -> str:
    """Every registered model and its state, one line or one JSON object each."""
    lake = Lake.open(lake_uri)
    found = models(read_uses(lake))
    if as_json:
        return "".join(json.dumps({**asdict(one), "since": to_text(one.since)}) + "\n" for one in found)
    if not found:
        return "no model is registered; `provoice release use LAKE NAME --model … --owner …` does\n"
    width = max(len(one.model) for one in found)
    return "".join(_line(one, width) for one in found)


def list_notices(lake_uri: str, *, as_json: bool) -> str:
    """Every notice, one line or one JSON object each."""
    found = read_notices(Lake.open(lake_uri).ledger().root)
    if as_json:
        return "".join(one.notice.model_dump_json() + "\n" for one in found)
    return "".join(_notice_line(one) for one in found) or "no notice was written yet\n"


def _line(one: Model, width: int) -> str:
    reason = f": {one.reason}" if one.reason else ""
    people = f"; {several(one.people_withdrawn, 'person', 'people')} in it took it back" if one.people_withdrawn else ""
    on = ", ".join(one.releases)
    return (
        f"{one.model:<{width}}  {_words(one.state)} since {to_text(one.since)[:10]}{reason}{people}  "
        f"(on {on}; {', '.join(one.owners)})\n"
    )


def _notice_line(one: Stored) -> str:
    notice = one.notice
    how = "erased" if notice.reason == "erasure" else "taken back"
    much = f"{several(notice.taken_back.utterances, 'utterance')}, {hours(notice.taken_back.audio_s)}"
    instead = f"; open {notice.release}@{notice.replaced_by}" if notice.replaced_by else ""
    was_sent = "" if one.sent is None else f", sent {to_text(one.sent.sent_at)[:10]}"
    return (
        f"{notice.name}  {notice.owner}, {notice.model}: {much} of {notice.release}@{notice.version} {how}{instead}; "
        f"due {to_text(notice.due_at)[:10]}{was_sent}\n"
    )


def _words(state: State) -> str:
    return state.value.replace("_", " ")


def _notice(found: Sequence[Stored], name: str) -> Notice:
    for one in found:
        if one.notice.name == name:
            return one.notice
    raise ConfigError(f"there is no notice {name}; `provoice notify LAKE --list` names them")


def _model(found: Sequence[Model], name: str) -> Model:
    for one in found:
        if one.model == name:
            return one
    known = [one.model for one in found]
    raise ConfigError(f"no model {name} is registered{nearest(name, known)}; `provoice model list LAKE` names them")


def _check_owner(owner: str, owners: Sequence[str], what: str) -> None:
    if owner.strip() not in owners:
        who = ", ".join(owners)
        raise ConfigError(
            f"{who} answers for {what}, not {owner}; whoever takes it over registers that: provoice release use"
        )


def _event_id(*said: str) -> str:
    return f"{said[0]}-{hashlib.blake2b(json.dumps(said).encode(), digest_size=16).hexdigest()}"
