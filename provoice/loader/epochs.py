"""Which epoch an iteration is, and where it stands: also in workers that live on from one epoch to the next."""

from __future__ import annotations

import sys
from typing import Any


class Epochs:
    """Counts the iterations of one process; `set` reaches all that share it."""

    def __init__(self) -> None:
        self._told = _cell()
        """How often `set` was called, and with what last; in memory that worker processes share."""
        self._heard = 0
        self._last = -1
        self._resume: tuple[int, int] | None = None
        self.standing = (0, 0)
        """Epoch and position of the newest iteration."""

    def set(self, epoch: int) -> None:
        self._told[1] = epoch
        self._told[0] += 1
        if self._resume is None or self._resume[0] != epoch:
            self.standing = (epoch, 0)

    def resume(self, epoch: int, position: int) -> None:
        """The next iteration begins there, unless another epoch is set before."""
        self._resume = self.standing = (epoch, position)
        self._last = epoch - 1

    def begin(self) -> tuple[int, int]:
        """Epoch and position of the iteration that begins now."""
        resume, self._resume = self._resume, None
        calls, told = int(self._told[0]), int(self._told[1])
        if calls != self._heard:
            self._heard = calls
            self.standing = resume if resume is not None and resume[0] == told else (told, 0)
        else:
            self.standing = resume if resume is not None else (self._last + 1, 0)
        self._last = self.standing[0]
        return self.standing


def _cell() -> Any:
    """Two whole numbers. PyTorch's workers are the ones that live on: its shared tensors reach them however they were
    started, and are plain copies to everybody else."""
    torch = sys.modules.get("torch")
    return [0, 0] if torch is None else torch.zeros(2, dtype=torch.int64).share_memory_()
