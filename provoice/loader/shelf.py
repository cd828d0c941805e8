"""What a process must know of its rows to read them: keys, digests and places; numbers as arrays, words as codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from provoice.loader.index import Index
from provoice.loader.order import block_bounds
from provoice.loader.places import LOCATION_COLUMNS, NONE, Location, codes_of
from provoice.loader.share import Share

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TAR_HEADER_BYTES = 512
"""A member's header lies just before it, and names it."""


class Shelf:
    """The rows of one share, counted from its first. `moved`: those that lie elsewhere by now."""

    def __init__(self, index: Index, share: Share, moved: Mapping[int, Location | None]) -> None:
        self._moved = moved
        table = index.read(share, ["key", "run_id", "unit_id", "audio_sha256", *LOCATION_COLUMNS])
        self._words = table.select(["key", "run_id", "unit_id", "audio_sha256", "shard"])
        self._numbers = [_whole(table.column(name)) for name in LOCATION_COLUMNS[1:]]

    def bounds(self) -> list[int]:
        """Where blocks begin (`order.block_bounds`), by the places that the index names: those that a release was made
        with, and not those of today, so that an order stays what it was."""
        import numpy as np

        codes, _ = codes_of(self._words.column("shard"))
        audio, audio_size, json, json_size, text, text_size = self._numbers
        first = np.minimum(audio - TAR_HEADER_BYTES, json)
        last = np.maximum.reduce([audio + audio_size, json + json_size, text + text_size])
        return block_bounds(codes, first, last)

    def keys(self, rows: Sequence[int]) -> list[str]:
        return self._said("key", rows)

    def digests(self, rows: Sequence[int]) -> Sequence[str | None]:
        return self._said("audio_sha256", rows)

    def units(self, rows: Sequence[int]) -> list[tuple[str, str]]:
        """Run and unit of each row."""
        return list(zip(self._said("run_id", rows), self._said("unit_id", rows), strict=True))

    def locations(self, rows: Sequence[int]) -> list[Location | None]:
        """Where each row lies, as far as is known; None where it is known to be gone."""
        import numpy as np

        shards = self._said("shard", rows)
        chosen = slice(rows.start, rows.stop) if isinstance(rows, range) else np.array(rows, np.int64)
        numbers = [column[chosen].tolist() for column in self._numbers]
        found: list[Location | None] = [Location(*place) for place in zip(shards, *numbers, strict=True)]
        if self._moved:
            found = [self._moved.get(row, place) for row, place in zip(rows, found, strict=True)]
        return found

    def _said(self, name: str, rows: Sequence[int]) -> list[str]:
        import pyarrow as pa

        column = self._words.column(name)
        if isinstance(rows, range):
            said: list[str] = column.slice(rows.start, len(rows)).to_pylist()
        else:
            said = column.take(pa.array(rows, pa.int64())).to_pylist()
        return said


def _whole(column: object) -> NDArray[np.int64]:
    import numpy as np
    import pyarrow.compute as pc

    filled: NDArray[np.int64] = pc.fill_null(column, NONE).to_numpy().astype(np.int64, copy=False)
    return filled
