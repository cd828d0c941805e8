"""What time it is while an erasure runs: the wall clock, asked once, and what has passed since by one that nobody sets
back."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta


class Clock:
    """From `at`, where it stands still; or, if that is None, from now on."""

    def __init__(self, at: datetime | None = None) -> None:
        self.began = at or datetime.now(UTC)
        self._stands = at is not None
        self._since = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds since then, whether it stands or not."""
        return time.monotonic() - self._since

    def now(self) -> datetime:
        return self.began if self._stands else self.began + timedelta(seconds=self.elapsed_s)
