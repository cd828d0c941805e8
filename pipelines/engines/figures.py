"""The account of a receipt as counters, in the words of the report, for engines that have counters of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any


def plain(receipt: Any) -> Any:
    """A receipt as plain values, whatever class it has."""
    if hasattr(receipt, "model_dump"):
        return receipt.model_dump(mode="json")
    return asdict(receipt) if is_dataclass(receipt) and not isinstance(receipt, type) else receipt


def figures(values: Any) -> dict[str, int]:
    """The counters of a receipt's `counts`: whole numbers, those by reason as `rejected_silent`, seconds as `_ms`."""
    counts = values.get("counts") if isinstance(values, Mapping) else None
    found: dict[str, int] = {}
    for name, value in counts.items() if isinstance(counts, Mapping) else ():
        if isinstance(value, Mapping):
            found.update({f"{name}_{reason}": int(n) for reason, n in value.items()})
        elif isinstance(value, float):
            found[f"{name.removesuffix('_s')}_ms"] = round(value * 1000)
        elif isinstance(value, int):
            found[name] = int(value)
    return found
