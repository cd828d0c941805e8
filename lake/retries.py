"""The one place where a request to a store is made again: for a while, with growing, jittered pauses.

What comes back wrong for a moment only (429, 500, 502, 503, 504, a broken connection, a timeout) is asked again until
`PATIENCE_S` have passed since it first failed; then the error is raised. By time and not by count, for the clients try
again by themselves (`clients` says how long), and counts would multiply.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Callable
from typing import TypeVar

from lake.store_errors import in_one_line, is_transient
from schemas.errors import ConfigError

T = TypeVar("T")
log = logging.getLogger("provoice.store")

PATIENCE_S = 60.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 10.0
_chance = random.SystemRandom()  # the global one is the same in every forked process: all would come back at once


def patience_s() -> float:
    """Seconds, from `PROVOICE_STORE_PATIENCE_S` where that is set."""
    said = os.environ.get("PROVOICE_STORE_PATIENCE_S", "")
    try:
        seconds = float(said or PATIENCE_S)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86_400:
        raise ConfigError(f"PROVOICE_STORE_PATIENCE_S is {said!r}; say seconds, 0 to 86400")
    return seconds


def retried(call: Callable[[], T], also: Callable[[BaseException], bool] | None = None) -> T:
    """`call()`, again while it raises what is transient or what `also` holds of. Raises the last error.

    A call that succeeded without our hearing of it is made again too: it must bear that.
    """
    pause, given_up_at = _FIRST_PAUSE_S, None
    while True:
        try:
            return call()
        except Exception as error:
            if not is_transient(error) and not (also and also(error)):
                raise
            now = time.monotonic()
            given_up_at = now + patience_s() if given_up_at is None else given_up_at
            wait = pause * _chance.uniform(0.5, 1.0)
            if now + wait > given_up_at:
                raise
            log.info("%s; asked again in %.1f s", in_one_line(error), wait)
        time.sleep(wait)
        pause = min(2 * pause, _LONGEST_PAUSE_S)
