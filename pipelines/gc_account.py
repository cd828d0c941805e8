"""What gc is asked for, and the account it gives."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipelines.gc_grace import Grace
from pipelines.gc_names import Kind

EXAMPLES = 3
"""Of each kind, how many are named."""


@dataclass
class Amount:
    """Some objects; `size_bytes` is 0 where it is not known (an unfinished upload)."""

    objects: int = 0
    size_bytes: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, uri: str, size_bytes: int) -> None:
        self.objects += 1
        self.size_bytes += size_bytes
        if len(self.examples) < EXAMPLES:
            self.examples.append(uri)


@dataclass
class Superseded:
    """Units of which newer runs replaced everything."""

    collected: int = 0
    """Those whose objects go."""
    released: int = 0
    """Those that stay, for a release names one of their shards."""
    waiting: int = 0
    """Those that stay for now: what replaced them is younger than the grace, explores, or is to be tried again."""


@dataclass
class Account:
    """What was deleted, or would be; and what is left alone, and why."""

    grace: Grace
    is_deleted: bool
    swept: dict[Kind, Amount] = field(default_factory=dict)
    young: Amount = field(default_factory=Amount)
    waiting: Amount = field(default_factory=Amount)
    """Old, and named by nobody; but whoever goes on where another stopped may find it and name it."""
    foreign: Amount = field(default_factory=Amount)
    """In our folders, under names that are not ours."""
    refused: Amount = field(default_factory=Amount)
    """In a ledger that lets nobody delete."""
    superseded: Superseded | None = None
    wall_s: float = 0.0

    @property
    def objects(self) -> int:
        return sum(amount.objects for amount in self.swept.values())

    @property
    def size_bytes(self) -> int:
        return sum(amount.size_bytes for amount in self.swept.values())


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person asks for."""

    is_sure: bool = False
    """Delete; else only say what would be deleted, and write nothing."""
    superseded: bool = False
    grace_s: float | None = None
