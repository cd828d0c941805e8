"""Stops the whole run when too many sources crash or fail: then the fault is ours and not the files'."""

from __future__ import annotations

import threading

from pipelines.config import Limits
from schemas.errors import SUSPICIOUS, RunStopped
from schemas.records import Counts


class Breaker:
    """Judges each unit before its commit, together with the units that this process committed before."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._sources = 0
        self._suspicious = 0

    def __call__(self, counts: Counts) -> None:
        """Counts the unit in. Raises RunStopped where the share of suspicious rejections is past the limit."""
        found = {name: n for name, n in counts.rejected.items() if name in SUSPICIOUS}
        with self._lock:
            self._sources += counts.sources
            self._suspicious += sum(found.values())
            suspicious, sources = self._suspicious, self._sources
        if found and suspicious >= self._limits.breaker_min and suspicious > self._limits.breaker_share * sources:
            reasons = ", ".join(f"{n} {name}" for name, n in sorted(found.items()))
            raise RunStopped(
                f"{suspicious} of {sources} sources crashed or failed (in the last unit: {reasons}); that is more than "
                f"limits.breaker_share={self._limits.breaker_share}, and looks like a fault of the set-up, not of the "
                "files"
            )
