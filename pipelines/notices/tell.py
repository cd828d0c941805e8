"""Telling users: notices that are due are written, and sent where a webhook is configured.

Writing them is part of what must be done; sending them is not: what a webhook does not take is said, stays written, and
is sent by the next `provoice notify`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime

from lake.lake import Lake
from pipelines.notices.due import due
from pipelines.notices.notice import Stored, mark_sent, put_notice, read_notices
from pipelines.notices.uses import read_uses
from pipelines.notices.webhook import NotSent, Webhook, days_from_environment, webhook_from_environment
from schemas.errors import ConfigError, ConsentError, LakeError

log = logging.getLogger("provoice.notices")


@dataclass
class Told:
    """What was written and sent, and what was not."""

    written: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    unsent: list[str] = field(default_factory=list)
    """Written, now or before, and taken by no webhook; nothing, where none is configured."""
    why: str = ""
    """Why the first of these was not taken."""
    has_webhook: bool = False
    failed: str = ""
    """Why nobody could be told, where `tell_if_possible` could not."""


def tell_if_possible(lake: Lake, now: datetime) -> Told:
    """Tells, and goes on where that cannot be done: a withdrawal and an erasure wait for nothing of it."""
    try:
        return tell(lake, now)
    except (ConfigError, LakeError, ConsentError) as error:
        log.warning("nobody was told: %s; `provoice notify` does that", error)
        return Told(failed=str(error))


def tell(lake: Lake, now: datetime, webhook: Webhook | None = None) -> Told:
    """Writes what is due, and sends what was not sent. Raises ConfigError for settings that are none, LakeError and
    ConsentError; never for what a webhook does."""
    days, webhook = days_from_environment(), webhook or webhook_from_environment()
    told = Told(has_webhook=webhook is not None)
    uses = read_uses(lake)
    if not uses.used:
        return told
    ledger = lake.ledger().root
    known = read_notices(ledger)
    new = [one for one in due(uses, known, now, days) if put_notice(ledger, one)]
    told.written = [one.name for one in new]
    if webhook is not None:
        waiting = [one for one in known if one.sent is None and one.notice.lake == lake.root.uri]
        _send(lake, [*waiting, *map(Stored, new)], webhook, now, told)
    return told


def _send(lake: Lake, waiting: list[Stored], webhook: Webhook, now: datetime, told: Told) -> None:
    for number, one in enumerate(waiting):
        try:
            status = webhook.send(one.notice)
        except NotSent as error:
            told.unsent.append(one.notice.name)
            told.why = told.why or str(error)
            if error.may_help_again:
                # It did not answer in all its tries; the others would wait as long, each.
                told.unsent += [other.notice.name for other in waiting[number + 1 :]]
                break
        else:
            mark_sent(lake.ledger().root, one.notice.name, webhook.host, status, now)
            told.sent.append(one.notice.name)
    if told.unsent:
        log.warning("%d notices were not sent: %s; `provoice notify` sends them", len(told.unsent), told.why)
