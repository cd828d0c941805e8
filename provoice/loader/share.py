"""Which rows of a release one process reads: every row in exactly one share, whoever else takes part."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from schemas.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Share:
    """Rows `[first, last)` of the whole index: a stretch of neighbours, so that few shards are shared with others."""

    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first

    def part(self, number: int, of: int) -> Share:
        """Part `number` of `of` parts that differ by one row at most."""
        size = len(self)
        return Share(self.first + size * number // of, self.first + size * (number + 1) // of)


@dataclass(frozen=True, slots=True)
class Seat:
    """Which of how many processes: nodes of a training (`rank`), or workers of one node."""

    number: int = 0
    of: int = 1

    @classmethod
    def of_rank(cls, rank: int | None, world_size: int | None) -> Seat:
        """As told; else as torch.distributed says where it has been set up; else RANK and WORLD_SIZE; else alone."""
        if rank is None and world_size is None:
            rank, world_size = _distributed() or (_environment("RANK"), _environment("WORLD_SIZE"))
        if (rank is None) != (world_size is None):
            raise ConfigError(f"rank and world_size are told together or not at all, got {rank} and {world_size}")
        place = cls() if rank is None or world_size is None else cls(rank, world_size)
        if not 0 <= place.number < place.of:
            raise ConfigError(
                f"rank {place.number} is none of a world of {place.of}: ranks go from 0 to world_size - 1"
            )
        return place

    @classmethod
    def of_worker(cls) -> Seat | None:
        """Which worker of a PyTorch DataLoader this process is; None where it is none."""
        data = sys.modules.get("torch.utils.data")
        found = None if data is None else data.get_worker_info()
        return None if found is None else cls(found.id, found.num_workers)


def _distributed() -> tuple[int, int] | None:
    # Never imported here: who has not imported torch has not set it up either.
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    return distributed.get_rank(), distributed.get_world_size()


def _environment(name: str) -> int | None:
    text = os.environ.get(name)
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"the environment's {name} is {text!r}, which is no whole number") from None
