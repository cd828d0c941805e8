"""What a check of the past finds: one statement, and whether it still holds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """About what, what was looked at or is wrong with it, and whether it is as it was said to be."""

    about: str
    """`certificate 3`, `release gold@2`."""
    said: str
    holds: bool = True
