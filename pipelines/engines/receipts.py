"""Progress as the store tells it: which receipts appeared since the last look, at a pace that the store can bear."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Generic

from pipelines.engines.contract import Receipt, Task, Work

_PAUSES_S = (1.0, 15.0)
_SLOWING = 20.0
"""A job that has run for so many seconds is looked at once a second, for ten times as many every ten seconds."""
_SHARE = 10.0
"""A look may take a tenth of the time at most: a listing grows with what is committed."""


class Poll(Generic[Receipt]):
    """Looks for the receipts of `tasks`; those that were there before and belong to no task are nobody's business."""

    def __init__(self, work: Work[Receipt], tasks: Sequence[Task]) -> None:
        self._work = work
        self.outstanding: dict[str, Task] = {task.name: task for task in tasks}
        self._began = time.monotonic()
        self.pause_s = _PAUSES_S[0]

    def __call__(self) -> Iterator[Receipt]:
        """What is new, each once; one listing. The next pause grows with the age of the job and what this one took."""
        if not self.outstanding:
            return
        began = time.monotonic()
        for name, receipt in self._work.receipts(_AllBut(self.outstanding)):
            if self.outstanding.pop(name, None) is not None:
                yield receipt
        now = time.monotonic()
        slowing = min(max((now - self._began) / _SLOWING, _PAUSES_S[0]), _PAUSES_S[1])
        self.pause_s = max(slowing, _SHARE * (now - began))


class _AllBut(Collection[str]):
    """Every name but the outstanding ones counts as known, so that nothing else is read."""

    def __init__(self, outstanding: Mapping[str, Any]) -> None:
        self._outstanding = outstanding

    def __contains__(self, name: object) -> bool:
        return name not in self._outstanding

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0
