"""Sending notices to a webhook: an HTTP POST of JSON each, in a few tries that take seconds."""

from __future__ import annotations

import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPException
from urllib.parse import urlsplit

from pipelines.notices.notice import Notice
from schemas.errors import ConfigError

TRIES = 3
TIMEOUT_S = 10.0
_PAUSES_S = (1.0, 3.0)
_ACCEPTED = range(200, 300)
_BUSY = frozenset({408, 425, 429})

Sleep = Callable[[float], None]


@dataclass(frozen=True)
class Webhook:
    """Where notices are sent. The address may hold a secret, so only its host is ever shown."""

    url: str
    tries: int = TRIES
    timeout_s: float = TIMEOUT_S
    sleep: Sleep = field(default=time.sleep, repr=False)

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    def send(self, notice: Notice) -> int:
        """The status with which it was taken. Raises NotSent."""
        for attempt in range(self.tries):
            try:
                return self._post(notice)
            except NotSent as error:
                if not error.may_help_again or attempt + 1 == self.tries:
                    raise
                self.sleep(_PAUSES_S[min(attempt, len(_PAUSES_S) - 1)])
        raise NotSent("no try was made", may_help_again=True)

    def _post(self, notice: Notice) -> int:
        headers = {
            "Content-Type": "application/json",
            # The same notice may come twice, where an answer was lost: by this a receiver knows it again.
            "Idempotency-Key": notice.name,
            "User-Agent": "provoice",
        }
        request = urllib.request.Request(self.url, notice.model_dump_json().encode(), headers, method="POST")
        try:
            with _opener().open(request, timeout=self.timeout_s) as answer:
                status = int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            again = error.code >= 500 or error.code in _BUSY
            raise NotSent(f"{self.host} answered {error.code}", may_help_again=again) from None
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise NotSent(f"{self.host}: {str(reason) or type(reason).__name__}", may_help_again=True) from None
        if status not in _ACCEPTED:
            raise NotSent(f"{self.host} answered {status}", may_help_again=False)
        return status


class NotSent(Exception):
    """A webhook did not take a notice. No ProvoiceError: nobody stops for it."""

    def __init__(self, said: str, *, may_help_again: bool) -> None:
        super().__init__(said)
        self.may_help_again = may_help_again


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A notice goes where it was meant to go, and nowhere else."""

    def redirect_request(self, *_: object) -> None:
        """Never followed: the answer is an error, as any other that is no success."""


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_NoRedirect())


def webhook_from_environment() -> Webhook | None:
    """The webhook that the environment names; None where it names none. Raises ConfigError for no http(s) address."""
    url = os.environ.get("PROVOICE_NOTICE_WEBHOOK")
    if not url:
        return None
    parts = urlsplit(url)
    # Blanks would be quoted in what the client says of them, and the address is shown nowhere.
    is_odd = any(character.isspace() or not character.isprintable() for character in url)
    if is_odd or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("PROVOICE_NOTICE_WEBHOOK is no http:// or https:// address")
    return Webhook(url)


def check_environment() -> None:
    """Raises ConfigError where what the environment says of notices cannot be followed: before anything is done."""
    webhook_from_environment()
    days_from_environment()


def days_from_environment() -> float:
    """Days that owners have to answer. Raises ConfigError."""
    said = os.environ.get("PROVOICE_NOTICE_DAYS") or "30"
    try:
        days = float(said)
    except ValueError:
        days = -1.0
    if not 0 <= days <= 3650:
        raise ConfigError(f"PROVOICE_NOTICE_DAYS is a number of days, 0 to 3650, not `{said}`")
    return days
