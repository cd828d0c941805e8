"""CPU seconds per step of a script."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Seconds:
    """Adds up the CPU seconds of this process by step."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    def add(self, step: str, cpu_s: float) -> None:
        self.spent[step] = self.spent.get(step, 0.0) + cpu_s

    @contextmanager
    def of(self, step: str) -> Iterator[None]:
        """Counts what runs within it."""
        start = time.process_time()
        yield
        self.add(step, time.process_time() - start)
