"""Ray's own counters of what an actor committed, in the words of the report: `ray_provoice_sources` and others.

Like Beam's, they say what was done, attempts that were repeated included; the account is read from the store.
"""

from __future__ import annotations

import logging
from typing import Any

from pipelines.engines.figures import figures, plain

log = logging.getLogger("provoice.worker")

PREFIX = "provoice_"


class Counters:
    """One Ray counter per figure of a receipt, made when it is first counted. One of these per process."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def add(self, receipt: Any) -> None:
        """Counts the receipt. What Ray refuses is said once: no unit fails for a counter."""
        for name, value in {"receipts": 1, **figures(plain(receipt))}.items():
            counter = self._counter(name)
            if counter is not None and value > 0:
                counter.inc(value)

    def _counter(self, name: str) -> Any:
        if name not in self._made:
            from ray.util.metrics import Counter

            try:
                self._made[name] = Counter(PREFIX + name, description=f"provoice: {name.replace('_', ' ')}")
            except ValueError as error:  # a name that Prometheus does not take
                log.warning("Ray does not count %s: %s", name, error)
                self._made[name] = None
        return self._made[name]
